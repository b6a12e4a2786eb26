"""Heartbeats between rank 0 and all other ranks: a rank that is silent for too long is lost."""

import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from simulation.hosts import Host, where
from simulation.polling import wait
from simulation.watcher import SPEAK_SECONDS, end_run

BEAT_SECONDS = 1.0  # between two beats, at most
BEAT, LAST = 0, 1  # kinds of beats, their tags
MAX_TURNS = 2  # hosts that wait for each other to report a lost rank 0; those after them report at the same time
LOST_STATUS = 1  # exit status of a run that has lost a rank


class Heartbeat:
    """A thread that sends a beat to its peers every second, also while this rank computes, and listens to theirs.

    Rank 0 has all others as its peers, and each of these has rank 0. Silence is counted over the thread's own wake-ups,
    of which each counts for two intervals at most: time in which the computer slept or the rank was stopped is no
    silence of others.

    Args:
        mpi: mpi4py.MPI.
        comm: a communicator of its own, so that beats are no messages to simulation/ranks.py.
        seconds: silence after which a peer is lost, which ends the run.
        hosts: the description of every rank's process.
    """

    def __init__(self, mpi: Any, comm: Any, seconds: float, hosts: Sequence[Host]) -> None:
        self.mpi, self.comm, self.seconds, self.hosts = mpi, comm, seconds, hosts
        self.interval = min(BEAT_SECONDS, seconds / 5)
        self.silence = dict.fromkeys([0] if comm.rank else range(1, comm.size), 0.0)
        self._sent: dict[int, Any] = {}  # the last request to each peer
        self._ended: set[int] = set()  # peers whose last beat has arrived
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop it, before MPI ends, on all ranks together: wait for the last beat of every peer."""
        self._stop.set()
        self._thread.join()
        last = [*self._sent.values(), *(self.comm.Isend([b"", self.mpi.BYTE], rank, LAST) for rank in self.silence)]
        while self._ended < self.silence.keys():
            wait(self.comm.Iprobe)
            self._receive()
        for request in last:
            wait(request.Test)

    def _run(self) -> None:
        woken = time.monotonic()
        while not self._stop.wait(self.interval):
            self._send()
            heard = self._receive()
            now = time.monotonic()
            for rank in self.silence:
                self.silence[rank] = 0.0 if rank in heard else self.silence[rank] + min(now - woken, 2 * self.interval)
            woken = now
            lost = [rank for rank, silence in self.silence.items() if silence > self.seconds]
            if lost:
                _report(lost, self.comm.rank, self.hosts, self.seconds)

    def _send(self) -> None:
        """Send a beat to every peer, but to one which has not accepted the last beat."""
        for rank in self.silence:
            if rank not in self._sent or self._sent[rank].Test():
                self._sent[rank] = self.comm.Isend([b"", self.mpi.BYTE], rank, BEAT)

    def _receive(self) -> set[int]:
        """Receive the beats that have arrived; returns the peers that have sent them."""
        heard, status = set(), self.mpi.Status()
        while self.comm.Iprobe(status=status):
            source, tag = status.Get_source(), status.Get_tag()
            self.comm.Recv([bytearray(), self.mpi.BYTE], source, tag)
            heard.add(source)
            if tag == LAST:
                self._ended.add(source)
        return heard


def _report(lost: list[int], rank: int, hosts: Sequence[Host], seconds: float) -> NoReturn:
    """End the run, after the ranks `lost` were silent, with one line where the terminal may be.

    Where rank 0 is lost, all others notice. The first rank of each host then speaks for it, one host after the other,
    because the end of the run, which the first causes, ends the others.
    """
    if rank > 0:
        names = [host.name for host in hosts]
        first = names.index(hosts[rank].name, 1)
        order = list(dict.fromkeys(names[1:])).index(hosts[rank].name) if first == rank else MAX_TURNS
        time.sleep(SPEAK_SECONDS * min(order, MAX_TURNS))
    found = f"no heartbeat of {where(lost, hosts)} for {seconds:g} s (--lost_host_seconds)"
    what = f"{found}: the host, its network or the process is gone"
    end_run(f"{sys.argv[0]}: error: {what}; run the same command on the other hosts to resume", LOST_STATUS)
