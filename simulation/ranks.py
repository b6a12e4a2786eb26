"""The ranks of a run: scattering tasks, gathering results, stopping.

    launch(8)                                       # restarts this command as 8 processes, each with one thread
    with Ranks() as ranks:
        ranks.functions = {"real": evaluate}        # evaluate: list of tasks -> list of results
        if ranks.rank > 0:
            ranks.serve()                           # until rank 0 leaves its `with`
        else:
            results = ranks.map("real", tasks)

Rank 0 distributes the tasks and does a share of them.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

from pipeline import cli
from pipeline.errors import UserError
from simulation.hosts import Host, differences
from simulation.launch import LOST_SECONDS, under_launcher
from simulation.mpi import World
from simulation.polling import POLL_SECONDS, wait
from simulation.watcher import SPEAK_SECONDS, end_run

Work = Callable[[list[Any]], list[Any]]  # a list of tasks -> their results, in the same order
Functions = dict[str, Work]
STOP_SECONDS = 10.0  # time for the other ranks to stop after an error on rank 0, before the run is ended
TASKS, RESULTS, SHARED, FAILED, STOP, STOPPED = range(1, 7)  # message tags


class Ranks:
    """The processes of this run. A process started without MPI is rank 0 of 1 and does not load MPI.

    Leaving the `with` block stops all ranks. A UserError on any rank is raised once, on rank 0, and the other ranks
    exit with status 2 without output; any other exception prints its traceback and ends the run. A rank that is lost
    ends the run on all hosts (simulation/heartbeat.py).

    Attributes:
        rank, size: this process's number, and the number of processes.
        hosts: the description of every rank's process; empty without MPI.
        functions: the functions that `map` may name; set it on all ranks alike.

    Args:
        lost_seconds: silence after which a rank is lost.
    """

    def __init__(self, lost_seconds: float = LOST_SECONDS) -> None:
        self.rank, self.size = 0, 1
        self.functions: Functions = {}
        self.hosts: list[Host] = []
        self._world: World | None = None
        if not under_launcher():
            return
        self._world = World(lost_seconds)
        self.rank, self.size, self.hosts = self._world.rank, self._world.size, self._world.hosts
        if self.rank == 0 and self.size > 1:  # so that stray processes can be attributed to a run
            for rank, host in enumerate(self.hosts):
                print(f"rank {rank} = pid {host.pid} on {host.name}", flush=True)

    def check_hosts(self, identical: bool) -> None:
        """Say on rank 0 which hosts differ in code, libraries or processor; with `identical` a UserError does."""
        if self.rank > 0:
            return
        for line in differences(self.hosts):
            if identical:
                raise UserError(f"--identical_hosts: {line}")
            print(f"{line}: numbers may differ in the last bits between these hosts", flush=True)

    def map(self, name: str, tasks: list[Any]) -> list[Any]:
        """Results of the tasks by one of the `functions`, in task order; call it on rank 0 only.

        Rank i % size does task i. Each rank gets its share as one list, which the function may treat as a batch.
        """
        shares = [tasks[rank :: self.size] for rank in range(self.size)]
        busy = [rank for rank in range(1, self.size) if shares[rank]]
        # Large messages progress only inside MPI calls of both ends: send all of them before rank 0 starts to work.
        for sent in [self._messages.post((name, shares[rank]), rank, TASKS) for rank in busy]:
            wait(sent)
        results: list[Any] = [None] * len(tasks)
        results[:: self.size] = _work(self.functions[name], shares[0])
        while busy:
            source, tag, content = self._messages.receive()
            if tag == FAILED:
                raise UserError(content)
            results[source :: self.size] = content
            busy.remove(source)
        return results

    def share(self, content: Any) -> None:
        """Send what the functions need to all other ranks, which make them of it; call it on rank 0 only."""
        for sent in [self._messages.post(None, rank, SHARED) for rank in range(1, self.size)]:
            wait(sent)
        if self.size > 1:
            self._messages.broadcast(content)

    def serve(self, make_functions: Callable[[Any], Functions] | None = None) -> None:
        """Do this rank's share of every `map`, until rank 0 stops; call it on all ranks but 0.

        Args:
            make_functions: makes the `functions` of what rank 0 shares.
        """
        while True:
            _, tag, content = self._messages.receive()
            if tag == STOP:
                return self._messages.send(None, 0, STOPPED)
            if tag == SHARED:
                shared = self._messages.broadcast()
                assert make_functions is not None  # of a program that shares something
                self.functions = make_functions(shared)
                continue
            name, tasks = content
            self._messages.send(_work(self.functions[name], tasks), 0, RESULTS)

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._world is None:
            return
        if isinstance(error, KeyboardInterrupt):
            end_run(cli.stop_message(error), cli.stop_status(error))
        if isinstance(error, SystemExit):  # another rank that received a signal leaves the last word to rank 0
            time.sleep(2 * SPEAK_SECONDS)
            os._exit(int(error.code or 0))
        if not (error is None or isinstance(error, UserError)):
            self._end_run(error)
        failure = None
        if self.rank == 0:
            failure = self._stop_others(error)
        elif error is not None:
            self._report(error)
        self._world.close()
        if self.rank > 0 and error is not None:
            raise SystemExit(2) from None
        if self.rank == 0 and error is None and failure is not None:
            raise UserError(failure)

    @property
    def _messages(self) -> World:
        assert self._world is not None  # there are other ranks
        return self._world

    def _end_run(self, error: BaseException) -> NoReturn:
        """End the run with the traceback of an error."""
        text = "".join(traceback.format_exception(error))
        if isinstance(error, self._messages.mpi.Exception):  # raised on the other ranks when one was killed
            text = f"MPI: {str(error).splitlines()[0]}"
        end_run("\n".join(f"[rank {self.rank}] {line}" for line in text.splitlines()), 1)

    def _stop_others(self, error: UserError | None) -> str | None:
        """Stop all other ranks and wait until they have stopped; returns the first UserError that one of them reports.

        After an error on rank 0 they may be in the middle of long work: after STOP_SECONDS the run is ended.
        """
        deadline = time.monotonic() + STOP_SECONDS if error else float("inf")
        running = set(range(1, self.size))
        sent = [self._messages.post(None, rank, STOP) for rank in running]
        failures = []
        while running:
            if self._messages.arrived():
                source, tag, content = self._messages.receive()
                if tag == FAILED:
                    failures.append(content)
                elif tag == STOPPED:
                    running.remove(source)
            elif time.monotonic() > deadline:
                end_run(f"{sys.argv[0]}: error: {error}", 2)
            else:
                time.sleep(POLL_SECONDS)
        for request in sent:
            wait(request)
        return failures[0] if failures else None

    def _report(self, error: UserError) -> None:
        """Send an error to rank 0, which prints it once, and wait to be stopped."""
        self._messages.send(str(error), 0, FAILED)
        while (tag := self._messages.receive()[1]) != STOP:  # drop tasks that were sent before the error arrived
            if tag == SHARED:
                self._messages.broadcast()  # all ranks take part in it
        self._messages.send(None, 0, STOPPED)


def _work(function: Work, tasks: list[Any]) -> list[Any]:
    results = function(tasks)
    if len(results) != len(tasks):
        raise RuntimeError(f"{len(tasks)} tasks gave {len(results)} results")
    return results
