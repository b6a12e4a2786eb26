"""Starting the ranks of a run: mpirun, threads, signals and the watcher of each rank."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from pipeline.errors import UserError

# One core is one rank. The numbers too depend on it: a matrix product on two threads rounds differently.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
# Output at once rather than when a pipe is full; and Open MPI refuses to run as root or to share cores unless told.
LAUNCH_DEFAULTS = {
    "PYTHONUNBUFFERED": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
# Every process of an MPI job finds its number of processes or its rank in one of these (Hydra and Intel MPI, PMIx,
# Open MPI, MVAPICH). A Slurm batch shell has SLURM_PROCID too, so that one says nothing.
LAUNCHER_VARIABLES = ("PMI_SIZE", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
MPIRUN_SECONDS = 3.0  # how long mpirun may take to pass a signal on before it is killed


def launch(num_ranks: int) -> None:
    """Go on as `num_ranks` processes with one thread each, by starting this command anew where that is needed.

    Called once, after argument parsing and before slow imports. Under mpirun or another launcher their number of
    processes stands. Libraries read the number of threads when they load, hence the new start; a variable of
    ONE_THREAD that is set already stands too, and whoever sets it gets numbers that depend on it.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    if under_launcher():
        exit_on_signals()
    elif num_ranks > 1:
        mpirun = [_find_mpirun(), "-np", str(num_ranks)]
        sys.exit(_supervise(mpirun + command, ONE_THREAD | LAUNCH_DEFAULTS | os.environ))
    if not ONE_THREAD.keys() <= os.environ.keys():
        sys.stdout.flush()
        os.execve(sys.executable, command, ONE_THREAD | os.environ)
    if under_launcher():
        _watch_over_rank()


def under_launcher() -> bool:
    """Whether an MPI launcher started this process."""
    if any(name in os.environ for name in LAUNCHER_VARIABLES):
        return True
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks != "1":
        raise UserError(f"srun made {tasks} processes that know nothing of each other: use srun --mpi=pmi2, or mpirun")
    return False


def _find_mpirun() -> str:
    """The mpirun that came with this Python's packages, else the one on the PATH."""
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise UserError("no mpirun found: pip install mpich mpi4py, or load your cluster's MPI, or use one worker")
    return found


def _supervise(command: list[str], environment: dict[str, str]) -> int:
    """Run mpirun to its end and return its status, or 128 + signal when this process was told to stop meanwhile.

    mpirun has a session of its own, so that it hears of a Ctrl-C from here alone: it loses a signal that comes while
    it starts the ranks, and its own status then depends on how far they were. When it dies, they die.
    """
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=partial(_die_with, os.getpid()),
    )
    while process.poll() is None and not received:
        time.sleep(0.02)
    if not received:
        return process.returncode if process.returncode >= 0 else 128 - process.returncode
    process.terminate()
    try:
        process.wait(MPIRUN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 128 + received[0]


def _watch_over_rank() -> None:
    """Fork: the child goes on as the rank, the parent waits for its end and says so when it was killed.

    mpirun kills all ranks as soon as one is gone, and names any of them. So the one that was first has somebody to name
    it before mpirun hears of it: what mpirun started is this parent, which takes its time to die.
    """
    _die_with(os.getppid())  # mpirun's proxy: when that is killed, mpirun waits for the end of what it started
    sys.stdout.flush()  # or both would
    watcher, child = os.getpid(), os.fork()
    if child == 0:
        return _die_with(watcher)

    def pass_on(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        rank = next((os.environ[name] for name in RANK_VARIABLES if name in os.environ), "?")
        reason = signal.Signals(-status).name
        print(f"{sys.argv[0]}: error: rank {rank} = pid {child} died ({reason}), and with it the run", file=sys.stderr)
        let_mpirun_read()
    os._exit(status if status >= 0 else 128 - status)


def let_mpirun_read() -> None:
    """mpirun passes output on as it comes, and drops what it has not read when it ends the ranks."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(0.5)


def _die_with(parent: int) -> None:
    """Linux kills this process when its parent dies, however it dies (prctl PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it was too late for that
            os._exit(1)


def exit_on_signals() -> None:
    """A rank told to stop does so at once, in silence, and mpirun returns the usual 128 + signal.

    What is finished is on disk already, and an MPI farewell would wait for ranks that are gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: os._exit(128 + received))
