"""Launching ranks, scattering work, gathering results, stopping.

    mpi.launch(8)                                   # goes on in 8 processes, each with one thread
    with Ranks() as ranks:
        if ranks.rank > 0:
            ranks.serve(evaluate)                   # until rank 0 leaves its `with`
        else:
            results = ranks.map(evaluate, tasks)    # evaluate: list of tasks -> list of results

Rank 0 leads and works too. Nobody waits inside an MPI call: MPICH's blocking calls spin a core and keep Python from
handling signals, so a rank that waits asks once a millisecond and sleeps in between.
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
from simulation.launch import exit_on_signals, let_mpirun_read, under_launcher

Work = Callable[[list], list]  # a list of tasks -> their results, in the same order
POLL_SECONDS = 1e-3
STOP_SECONDS = 10.0  # how long followers may take to stop before they are aborted
READY, TASKS, RESULTS, FAILED, STOP, STOPPED = range(1, 7)  # message tags


class Ranks:
    """The processes of this run: `rank` of `size`. A process started without MPI is rank 0 of 1, and needs none.

    Leaving the `with` block stops all ranks. A UserError, on whichever rank, becomes one on rank 0, once, and the
    others exit with status 2 in silence; any other exception prints its traceback and aborts the whole run.
    """

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        if not under_launcher():
            return
        exit_on_signals()
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
        let_mpirun_read()
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
