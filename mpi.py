"""Launching ranks, scattering work, gathering results, stopping.

    mpi.launch(8)                                   # goes on in 8 processes, each with one thread
    with mpi.Ranks() as ranks:
        if ranks.rank > 0:
            ranks.serve(evaluate)                   # until rank 0 leaves its `with`
        else:
            results = ranks.map(evaluate, tasks)    # evaluate: list of tasks -> list of results

Rank 0 leads and works too. Nobody waits inside an MPI call: MPICH's blocking calls spin a core and keep Python from
handling signals, so a rank that waits asks once a millisecond and sleeps in between.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from rollouts import UserError

Work = Callable[[list], list]  # a list of tasks -> their results, in the same order

POLL_SECONDS = 1e-3
STOP_SECONDS = 10.0  # how long followers may take to stop before they are aborted
MPIRUN_SECONDS = 3.0  # how long mpirun may take to pass a signal on before it is killed
READY, TASKS, RESULTS, FAILED, STOP, STOPPED = range(1, 7)  # message tags

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


# --- launching -----------------------------------------------------------------------------------------------------


def launch(num_ranks: int) -> None:
    """Go on as `num_ranks` processes with one thread each, by starting this command anew where that is needed.

    Called once, after argument parsing and before slow imports. Under mpirun or another launcher their number of
    processes stands. Libraries read the number of threads when they load, hence the new start; a variable of
    ONE_THREAD that is set already stands too, and whoever sets it gets numbers that depend on it.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    if under_launcher():
        _exit_on_signals()
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
        _let_mpirun_read()
    os._exit(status if status >= 0 else 128 - status)


def _let_mpirun_read() -> None:
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


def _exit_on_signals() -> None:
    """A rank told to stop does so at once, in silence, and mpirun returns the usual 128 + signal.

    What is finished is on disk already, and an MPI farewell would wait for ranks that are gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: os._exit(128 + received))


# --- the ranks -----------------------------------------------------------------------------------------------------


class Ranks:
    """The processes of this run: `rank` of `size`. A process started without MPI is rank 0 of 1, and needs none.

    Leaving the `with` block stops all ranks. A UserError, on whichever rank, becomes one on rank 0, once, and the
    others exit with status 2 in silence; any other exception prints its traceback and aborts the whole run.
    """

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        if not under_launcher():
            return
        _exit_on_signals()
        self._mpi = _import_mpi()
        self._world = self._mpi.COMM_WORLD
        self.rank, self.size = self._world.rank, self._world.size
        self._check_launcher()
        if self.size > 1:
            self._introduce()

    def map(self, function: Work, tasks: list) -> list:
        """Results of the tasks, in their order; rank 0 only. Task i is done by rank i % size.

        Each rank gets its share as one list, and `function` (the one that the others `serve`) may treat it as a batch.
        """
        shares = [tasks[rank :: self.size] for rank in range(self.size)]
        busy = [rank for rank in range(1, self.size) if shares[rank]]
        # Large messages move only while both ends attend to MPI, so all are gone before rank 0 works.
        for request in [self._world.isend(shares[rank], rank, TASKS) for rank in busy]:
            _wait(request.Test)
        results = [None] * len(tasks)
        results[:: self.size] = _work(function, shares[0])
        while busy:
            source, tag, content = self._receive()
            if tag == FAILED:
                raise UserError(content)
            results[source :: self.size] = content
            busy.remove(source)
        return results

    def serve(self, function: Work) -> None:
        """Do the shares of tasks that rank 0 maps, until it stops; all ranks but 0 call this."""
        while True:
            _, tag, tasks = self._receive()
            if tag == STOP:
                return self._send(None, 0, STOPPED)
            self._send(_work(function, tasks), 0, RESULTS)

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.size == 1:
            return
        if error is not None and not isinstance(error, UserError):
            text = "".join(traceback.format_exception(error))
            if isinstance(error, self._mpi.Exception):  # a rank that was killed is noticed here by the others
                text = f"MPI: {str(error).splitlines()[0]}"
            self._abort("\n".join(f"[rank {self.rank}] {line}" for line in text.splitlines()), 1)
        if self.rank == 0:
            failure = self._stop_others(error)
        elif error is not None:
            self._report(error)
        self._mpi.Finalize()  # here, for at the end of the process the first to come would spin until the last comes
        if self.rank > 0 and error is not None:
            raise SystemExit(2) from None
        if self.rank == 0 and error is None and failure is not None:
            raise UserError(failure)

    # --- messages: everything between ranks passes through _send and _receive

    def _send(self, content: Any, rank: int, tag: int) -> None:
        _wait(self._world.isend(content, rank, tag).Test)

    def _receive(self, tag: int | None = None) -> tuple[int, int, Any]:
        """The next message for this rank, of that tag if one is given: (source, tag, content)."""
        status = self._mpi.Status()
        wanted = self._mpi.ANY_TAG if tag is None else tag
        _wait(lambda: self._world.Iprobe(tag=wanted, status=status))
        source, tag = status.Get_source(), status.Get_tag()
        return source, tag, self._world.recv(source=source, tag=tag)

    # --- start and end

    def _introduce(self) -> None:
        """Rank 0 prints where every rank is: whoever finds one in the way should know what it belongs to."""
        if self.rank > 0:
            return self._send((os.getpid(), socket.gethostname()), 0, READY)
        processes = {0: (os.getpid(), socket.gethostname())}
        while len(processes) < self.size:
            source, _, process = self._receive(READY)
            processes[source] = process
        for rank, (pid, host) in sorted(processes.items()):
            print(f"rank {rank} = pid {pid} on {host}", flush=True)

    def _check_launcher(self) -> None:
        """Another MPI's mpirun makes every process rank 0 of 1, and each would write the same files."""
        told = os.environ.get("PMI_SIZE") or os.environ.get("OMPI_COMM_WORLD_SIZE") or str(self.size)
        if int(told) != self.size:
            library = self._mpi.Get_library_version().splitlines()[0].strip("\0 ")
            raise UserError(f"this launcher made {told} processes, but mpi4py uses {library}: use the mpirun of that")

    def _stop_others(self, error: UserError | None) -> str | None:
        """Tell all to stop and hear that they do; returns the first UserError that one of them had meanwhile.

        After an error of our own they may be busy for long: they get STOP_SECONDS, then the run is aborted.
        """
        deadline = time.monotonic() + STOP_SECONDS if error else float("inf")
        running = set(range(1, self.size))
        requests = [self._world.isend(None, rank, STOP) for rank in running]
        failures = []
        while running:
            if self._world.Iprobe():
                source, tag, content = self._receive()
                if tag == FAILED:
                    failures.append(content)
                elif tag == STOPPED:
                    running.remove(source)
            elif time.monotonic() > deadline:
                self._abort(f"{sys.argv[0]}: error: {error}", 2)
            else:
                time.sleep(POLL_SECONDS)
        for request in requests:
            _wait(request.Test)
        return failures[0] if failures else None

    def _report(self, error: UserError) -> None:
        """Leave the word to rank 0: one mistake is reported once."""
        self._send(str(error), 0, FAILED)
        while self._receive()[1] != STOP:
            pass  # a share of tasks that was on its way
        self._send(None, 0, STOPPED)

    def _abort(self, last_words: str, status: int) -> NoReturn:
        print(last_words, file=sys.stderr)
        _let_mpirun_read()
        self._world.Abort(status)


def _work(function: Work, tasks: list) -> list:
    results = function(tasks)
    if len(results) != len(tasks):
        raise RuntimeError(f"{len(tasks)} tasks gave {len(results)} results")
    return results


def _wait(ready: Callable[[], Any]) -> None:
    """Wait without spinning until `ready()` is true; a signal is handled within a millisecond."""
    while not ready():
        time.sleep(POLL_SECONDS)


def _import_mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UserError(f"mpi4py does not load ({error}): pip install mpi4py mpich, or use one worker") from None
    return MPI
