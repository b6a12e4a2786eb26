"""MPI as the ranks use it: its start and end, and messages that never block (simulation/polling.py)."""

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.errors import UserError
from simulation import shared_memory
from simulation.heartbeat import Heartbeat
from simulation.hosts import Host, this_host
from simulation.polling import wait
from simulation.processes import STOP_SIGNALS, handle_signals
from simulation.watcher import CONNECTED, ENDING, let_rank_0_speak, tell_watcher

# MPICH alone is given these; what the environment sets already is kept. Ranks of one host send their messages through
# MPICH's own shared memory, so UCX, its way to other hosts, needs none: it took 4 MB of /dev/shm for every rank, and a
# container has 64. Eight cells of 16 kB for messages between the ranks of a host are enough, of 64.
MPICH_SETTINGS = {"UCX_TLS": "^shm", "MPIR_CVAR_CH4_SHM_POSIX_IQUEUE_NUM_CELLS": "8"}
START = 0  # the tag of the descriptions that rank 0 collects; those of simulation/ranks.py are above


class World:
    """The connected ranks of a run.

    Attributes:
        rank, size: this process's number, and the number of processes.
        hosts: the description of every rank's process.

    Args:
        lost_seconds: silence after which a rank is lost, which ends the run.

    Raises:
        UserError: mpi4py or its MPI is missing, there is no shared memory, or the launcher is of another MPI.
    """

    def __init__(self, lost_seconds: float) -> None:
        self.mpi = _start_mpi()
        self._comm = self.mpi.COMM_WORLD
        self.rank, self.size = self._comm.rank, self._comm.size
        self._check_launcher()
        handle_signals(_exit if self.rank else _interrupt)
        self.hosts = self._exchange(this_host())
        self._heartbeat = Heartbeat(self.mpi, self._comm.Dup(), lost_seconds, self.hosts)
        tell_watcher(CONNECTED)
        self._heartbeat.start()

    def post(self, content: Any, rank: int, tag: int) -> Callable[[], bool]:
        """Begin to send a message; returns a function to be polled, which says whether it was sent."""
        request = self._comm.isend(content, rank, tag)
        return lambda: bool(request.Test())

    def send(self, content: Any, rank: int, tag: int) -> None:
        """Send a message."""
        wait(self.post(content, rank, tag))

    def arrived(self) -> bool:
        """Whether `receive` would return at once, but for the time that a large message takes."""
        return bool(self._comm.Iprobe())

    def receive(self, tag: int | None = None) -> tuple[int, int, Any]:
        """The next message for this rank, optionally of one tag: (source, tag, content)."""
        status, found = self.mpi.Status(), []
        wanted = self.mpi.ANY_TAG if tag is None else tag

        def probe() -> bool:
            message = self._comm.Improbe(tag=wanted, status=status)
            found.extend([] if message is None else [message])
            return bool(found)

        wait(probe)
        buffer = bytearray(status.Get_count(self.mpi.BYTE))
        wait(found[0].Irecv([buffer, self.mpi.BYTE]).Test)
        return status.Get_source(), status.Get_tag(), pickle.loads(buffer)

    def broadcast(self, content: Any = None) -> Any:
        """Send a content from rank 0 to all ranks, which call this together; returns it."""
        data = np.frombuffer(pickle.dumps(content), np.uint8)  # on rank 0
        size = np.array([len(data)])
        wait(self._comm.Ibcast(size).Test)
        if self.rank > 0:
            data = np.empty(size, np.uint8)
        wait(self._comm.Ibcast([data, self.mpi.BYTE]).Test)
        return content if self.rank == 0 else pickle.loads(data.tobytes())

    def close(self) -> None:
        """End MPI, on all ranks together: at process exit, ranks that end early would spin until the last one ends."""
        tell_watcher(ENDING)
        self._heartbeat.stop()
        self.mpi.Finalize()

    def _check_launcher(self) -> None:
        """Refuse the mpirun of another MPI: every process would be rank 0 of 1, and all would write the same files."""
        launched = os.environ.get("PMI_SIZE") or os.environ.get("OMPI_COMM_WORLD_SIZE") or str(self.size)
        if int(launched) != self.size:
            library = self.mpi.Get_library_version().splitlines()[0].strip("\0 ")
            raise UserError(f"this launcher made {launched} processes, but mpi4py uses {library}: use its mpirun")

    def _exchange(self, host: Host) -> list[Host]:
        """The descriptions of all ranks, on all ranks."""
        if self.rank > 0:
            self.send(host, 0, START)
            listed: list[Host] = self.broadcast()
            return listed
        hosts = {0: host}
        while len(hosts) < self.size:
            source, _, found = self.receive(START)
            hosts[source] = found
        return list(self.broadcast([hosts[rank] for rank in range(self.size)]))


def _start_mpi() -> Any:
    """Start MPI, and return mpi4py.MPI once all ranks are connected."""
    mpi = _import_mpi()
    if mpi.Get_library_version().startswith("MPICH"):
        os.environ.update({name: value for name, value in MPICH_SETTINGS.items() if name not in os.environ})
    try:
        shared_memory.check(int(os.environ.get("MPI_LOCALNRANKS", "1")))
    except UserError:
        let_rank_0_speak()
        raise
    if mpi.Init_thread(mpi.THREAD_MULTIPLE) < mpi.THREAD_MULTIPLE:
        raise UserError("this MPI has no threads, which the heartbeats need: use another, or that of requirements.txt")
    shared_memory.unlink_own()
    return mpi


def _import_mpi() -> Any:
    try:
        import mpi4py

        mpi4py.rc.initialize = False  # done by _start_mpi, and undone by World.close
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UserError(f"mpi4py does not load ({error}): pip install mpi4py mpich, or use --num_worker 1") from None
    return MPI


def _interrupt(number: int, frame: object) -> None:
    """On rank 0 a signal unwinds the program, which then says what is saved; one more must not disturb that."""
    _ignore_signals()
    raise KeyboardInterrupt(number)


def _exit(number: int, frame: object) -> None:
    """On the other ranks a signal unwinds the program without a word, in half a second at most."""
    _ignore_signals()
    raise SystemExit(128 + number)


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
