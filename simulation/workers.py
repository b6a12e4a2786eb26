"""Pool of worker processes with a shared progress bar and a clean stop on errors and signals."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

from pipeline import cli
from pipeline.errors import UserError
from simulation.launch import ONE_THREAD

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

Job = TypeVar("Job")

TERMINAL = {signal.SIGINT, signal.SIGHUP}  # signals that a terminal sends to all processes of a command
# Shared by the worker processes: the count of finished units, and the event that stops all jobs.
_done: "Synchronized[int]"
_stop: "Event"


class Stopped(SystemExit):
    """Raised within a worker to stop it; its job removes its unfinished files as it unwinds."""


def tick() -> None:
    """Count one finished unit of work, from within a job; raises Stopped if the command is stopping."""
    with _done.get_lock():
        _done.value += 1
    if _stop.is_set():
        raise Stopped


def run(function: Callable[[Job], str], jobs: Sequence[Job], units: Sequence[int], num_worker: int, unit: str) -> None:
    """Call `function(job)` for all jobs in up to `num_worker` processes; prints the messages that it returns, if any.

    Args:
        units: number of `tick` calls of each job.
        num_worker: processes at once, with one thread each.
        unit: name of one tick in the progress bar.

    Raises:
        UserError: a job raised one, a worker process was killed, or /dev/shm cannot be written.
    """
    context = multiprocessing.get_context("spawn")
    os.environ.update(ONE_THREAD)  # for the workers: the libraries of this process are loaded
    # Workers, and the process that keeps their semaphores, inherit the blocked signals: they are handled here alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL)
    try:
        done, stop = context.Value("q", 0), context.Event()
    except OSError as error:
        what = f"cannot use /dev/shm, which worker processes need ({error.strerror})"
        raise UserError(f"{what}: mount a tmpfs there") from None
    with (
        cli.progress(sum(units), unit) as bar,
        ProcessPoolExecutor(min(num_worker, len(jobs)), context, _start_worker, (done, stop)) as pool,
    ):
        pending = {pool.submit(function, job) for job in jobs}
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL)
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                bar.update(done.value - bar.n)
                for message in filter(None, (future.result() for future in finished)):
                    bar.write(message)
        except BaseException as error:
            stop.set()  # each worker stops after its current unit; the pool waits for them
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool | Stopped):
                raise UserError("a worker process was killed; run the same command again to resume") from None
            raise


def _start_worker(done: "Synchronized[int]", stop: "Event") -> None:
    global _done, _stop
    _done, _stop = done, stop
    signal.signal(signal.SIGTERM, _raise_stopped)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _raise_stopped(number: int, frame: object) -> None:
    raise Stopped


def _exit_with_parent() -> None:
    """Exit when the parent dies: an orphaned worker would keep its batch locked and wait for jobs forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # the pool starts workers only
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
