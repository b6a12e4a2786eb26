"""Start of a run's ranks: mpirun, thread counts, signals, and a watcher process for each rank."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from pipeline.errors import UserError

# Ranks and workers share the cores, one each. Results depend on it: a matrix product on two threads rounds differently.
# TensorFlow takes its number of threads from pipeline.networks.use_one_cpu_thread.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Unbuffered output, so that log lines appear as they are printed. Open MPI by default refuses to run as root (as in
# containers) and to start more ranks than cores.
LAUNCH_DEFAULTS = {
    "PYTHONUNBUFFERED": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
# Launchers set one of these to the number of processes or the rank (Hydra and Intel MPI, PMIx, Open MPI, MVAPICH).
# SLURM_PROCID is not one of them: Slurm sets it in a batch shell too, where no MPI launcher runs.
LAUNCHER_VARIABLES = ("PMI_SIZE", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
MPIRUN_SECONDS = 3.0  # time for mpirun to end its ranks after a signal, before it is killed


def launch(num_ranks: int) -> None:
    """Restart this command as `num_ranks` single-threaded processes, if it does not run as such already.

    Call it once, after argument parsing and before slow imports: libraries read the thread count when they load, hence
    the restart. Under mpirun or another launcher the number of processes is the launcher's.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    if under_launcher():
        exit_on_signals()
    elif num_ranks > 1:
        mpirun = [_find_mpirun(), "-np", str(num_ranks)]
        sys.exit(_supervise(mpirun + command, LAUNCH_DEFAULTS | os.environ | ONE_THREAD))
    if not ONE_THREAD.items() <= os.environ.items():
        sys.stdout.flush()
        os.execve(sys.executable, command, os.environ | ONE_THREAD)
    if under_launcher():
        _watch_rank()


def under_launcher() -> bool:
    """Whether an MPI launcher started this process; UserError under a plain srun, whose tasks do not use MPI."""
    if any(name in os.environ for name in LAUNCHER_VARIABLES):
        return True
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks != "1":
        raise UserError(f"srun made {tasks} processes without an MPI connection: use srun --mpi=pmi2, or mpirun")
    return False


def _find_mpirun() -> str:
    """The mpirun that was installed with this Python's packages, else the one on the PATH."""
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise UserError("no mpirun found: pip install mpich mpi4py, or load your cluster's MPI, or use --num_worker 1")
    return found


def _supervise(command: list[str], environment: dict[str, str]) -> int:
    """Run mpirun to its end and return its status, or 128 + signal if this process receives SIGINT, SIGTERM or SIGHUP.

    mpirun runs in a session of its own, so a Ctrl-C in the terminal reaches this process alone, which then terminates
    mpirun: mpirun loses a signal that arrives while it starts the ranks, and its exit status then depends on how far
    they got (guarded by tests/test_mpi.py::test_signal_during_startup_is_not_lost). The ranks die with mpirun.
    """
    received: list[int] = []
    _handle_signals(lambda number, frame: received.append(number))
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


def _watch_rank() -> None:
    """Run the rank in a forked child, so that the parent can report which rank died.

    mpirun kills all ranks as soon as one of its processes ends, and names an arbitrary one. The process that mpirun
    started is the parent here: it prints the rank that was killed, and only then exits. Guarded by tests/test_mpi.py:
    test_killed_rank_stops_all_ranks, test_killed_launcher_process_stops_all_ranks.
    """
    _die_with(os.getppid())  # mpirun's proxy: if it is killed, mpirun waits until its children have ended
    sys.stdout.flush()  # before the fork: buffered output would be printed twice
    watcher, child = os.getpid(), os.fork()
    if child == 0:
        return _die_with(watcher)

    def pass_on(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):  # the child has just ended
            os.kill(child, number)

    _handle_signals(pass_on)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        rank = next((os.environ[name] for name in RANK_VARIABLES if name in os.environ), "?")
        reason = signal.Signals(-status).name
        print(f"{sys.argv[0]}: error: rank {rank} = pid {child} died ({reason}), and with it the run", file=sys.stderr)
        flush_to_mpirun()
    os._exit(status if status >= 0 else 128 - status)


def flush_to_mpirun() -> None:
    """Flush the output and give mpirun time to read it: it drops what it has not read when it ends the ranks."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(0.5)


def _die_with(parent: int) -> None:
    """Let Linux kill this process when its parent dies for any reason (prctl PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)


def exit_on_signals() -> None:
    """Exit at once on SIGINT, SIGTERM and SIGHUP, without output; mpirun then returns the usual 128 + signal.

    Finished work is on disk already, and MPI_Finalize would wait for ranks that have exited.
    """
    _handle_signals(lambda number, frame: os._exit(128 + number))


def _handle_signals(handler: Callable[[int, object], object]) -> None:
    """Handle what stops a run: Ctrl-C, SIGTERM and, unless nohup ignores it, SIGHUP (a closed terminal)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
