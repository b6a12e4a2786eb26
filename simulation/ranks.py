"""MPI ranks: scattering tasks, gathering results, stopping.

    launch(8)                                       # restarts this command as 8 processes, each with one thread
    with Ranks() as ranks:
        ranks.functions = {"real": evaluate}        # evaluate: list of tasks -> list of results
        if ranks.rank > 0:
            ranks.serve()                           # until rank 0 leaves its `with`
        else:
            results = ranks.map("real", tasks)

Rank 0 distributes the tasks and does a share of them. No rank blocks in an MPI call: MPICH's blocking calls spin a core
and keep Python from handling signals, so a waiting rank polls once a millisecond and sleeps in between.
"""

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

from pipeline.errors import UserError
from simulation.launch import exit_on_signals, flush_to_mpirun, under_launcher

Work = Callable[[list[Any]], list[Any]]  # a list of tasks -> their results, in the same order
POLL_SECONDS = 1e-3
STOP_SECONDS = 10.0  # time for the other ranks to stop after an error on rank 0, before the run is aborted
READY, TASKS, RESULTS, FAILED, STOP, STOPPED = range(1, 7)  # message tags


class Ranks:
    """The processes of this run. A process started without MPI is rank 0 of 1 and does not load MPI.

    Leaving the `with` block stops all ranks. A UserError on any rank is raised once, on rank 0, and the other ranks
    exit with status 2 without output; any other exception prints its traceback and aborts the run.

    Attributes:
        rank, size: this process's number, and the number of processes.
        functions: the functions that `map` may name; set it on all ranks alike.
    """

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        self.functions: dict[str, Work] = {}
        if not under_launcher():
            return
        exit_on_signals()
        self._mpi = _import_mpi()
        self._world = self._mpi.COMM_WORLD
        self.rank, self.size = self._world.rank, self._world.size
        self._check_launcher()
        if self.size > 1:
            self._print_processes()

    def map(self, name: str, tasks: list[Any]) -> list[Any]:
        """Results of the tasks by one of the `functions`, in task order; call it on rank 0 only.

        Rank i % size does task i. Each rank gets its share as one list, which the function may treat as a batch.
        """
        shares = [tasks[rank :: self.size] for rank in range(self.size)]
        busy = [rank for rank in range(1, self.size) if shares[rank]]
        # Large messages progress only inside MPI calls of both ends: send all of them before rank 0 starts to work.
        for request in [self._world.isend((name, shares[rank]), rank, TASKS) for rank in busy]:
            _wait(request.Test)
        results: list[Any] = [None] * len(tasks)
        results[:: self.size] = _work(self.functions[name], shares[0])
        while busy:
            source, tag, content = self._receive()
            if tag == FAILED:
                raise UserError(content)
            results[source :: self.size] = content
            busy.remove(source)
        return results

    def serve(self) -> None:
        """Do this rank's share of every `map`, until rank 0 stops; call it on all ranks but 0."""
        while True:
            _, tag, content = self._receive()
            if tag == STOP:
                return self._send(None, 0, STOPPED)
            name, tasks = content
            self._send(_work(self.functions[name], tasks), 0, RESULTS)

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.size == 1:
            return
        if error is not None and not isinstance(error, UserError):
            text = "".join(traceback.format_exception(error))
            if isinstance(error, self._mpi.Exception):  # raised on the other ranks when one was killed
                text = f"MPI: {str(error).splitlines()[0]}"
            self._abort("\n".join(f"[rank {self.rank}] {line}" for line in text.splitlines()), 1)
        if self.rank == 0:
            failure = self._stop_others(error)
        elif error is not None:
            self._report(error)
        self._mpi.Finalize()  # now: at process exit, ranks that end early would spin until the last one ends
        if self.rank > 0 and error is not None:
            raise SystemExit(2) from None
        if self.rank == 0 and error is None and failure is not None:
            raise UserError(failure)

    # --- messages: all of them pass through _send and _receive, which do not block

    def _send(self, content: Any, rank: int, tag: int) -> None:
        _wait(self._world.isend(content, rank, tag).Test)

    def _receive(self, tag: int | None = None) -> tuple[int, int, Any]:
        """The next message for this rank, optionally of one tag: (source, tag, content)."""
        status = self._mpi.Status()
        wanted = self._mpi.ANY_TAG if tag is None else tag
        _wait(lambda: self._world.Iprobe(tag=wanted, status=status))
        source, tag = status.Get_source(), status.Get_tag()
        return source, tag, self._world.recv(source=source, tag=tag)

    # --- start and end

    def _print_processes(self) -> None:
        """Print pid and host of every rank on rank 0, so that stray processes can be attributed to a run."""
        if self.rank > 0:
            return self._send((os.getpid(), socket.gethostname()), 0, READY)
        processes = {0: (os.getpid(), socket.gethostname())}
        while len(processes) < self.size:
            source, _, process = self._receive(READY)
            processes[source] = process
        for rank, (pid, host) in sorted(processes.items()):
            print(f"rank {rank} = pid {pid} on {host}", flush=True)

    def _check_launcher(self) -> None:
        """Refuse the mpirun of another MPI: every process would be rank 0 of 1, and all would write the same files."""
        launched = os.environ.get("PMI_SIZE") or os.environ.get("OMPI_COMM_WORLD_SIZE") or str(self.size)
        if int(launched) != self.size:
            library = self._mpi.Get_library_version().splitlines()[0].strip("\0 ")
            raise UserError(f"this launcher made {launched} processes, but mpi4py uses {library}: use its mpirun")

    def _stop_others(self, error: UserError | None) -> str | None:
        """Stop all other ranks and wait until they have stopped; returns the first UserError that one of them reports.

        After an error on rank 0 they may be in the middle of long work: after STOP_SECONDS the run is aborted.
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
        """Send an error to rank 0, which prints it once, and wait to be stopped."""
        self._send(str(error), 0, FAILED)
        while self._receive()[1] != STOP:
            pass  # drop tasks that were sent before the error arrived
        self._send(None, 0, STOPPED)

    def _abort(self, message: str, status: int) -> NoReturn:
        print(message, file=sys.stderr)
        flush_to_mpirun()
        self._world.Abort(status)
        os._exit(status)  # MPICH's Abort may return before the launcher ends this process


def _work(function: Work, tasks: list[Any]) -> list[Any]:
    results = function(tasks)
    if len(results) != len(tasks):
        raise RuntimeError(f"{len(tasks)} tasks gave {len(results)} results")
    return results


def _wait(ready: Callable[[], Any]) -> None:
    """Sleep until `ready()` is true, polling every POLL_SECONDS so that signals are handled."""
    while not ready():
        time.sleep(POLL_SECONDS)


def _import_mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UserError(f"mpi4py does not load ({error}): pip install mpi4py mpich, or use --num_worker 1") from None
    return MPI
