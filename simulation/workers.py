"""Jobs side by side in worker processes: one progress bar, one quiet end, nobody left behind."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from pipeline import cli
from pipeline.errors import UserError

# Shared by the worker processes: a counter for the progress bar, and an event that tells all to stop.
_done = _stop = None


class Stopped(Exception):
    """The command was told to stop. Travels up through a job, so that it takes away what is half made."""


def tick() -> None:
    """Called within a job after each unit of its work: moves the bar; raises Stopped when the job is to end."""
    with _done.get_lock():
        _done.value += 1
    if _stop.is_set():
        raise Stopped


def run(function: Callable[[object], str], jobs: Sequence[object], num_worker: int, total: int, unit: str) -> None:
    """Do `function(job)` for all jobs in up to `num_worker` processes; prints what it returns, if anything.

    Args:
        total: how often all jobs together will `tick`, each time a `unit` is done.

    Raises:
        UserError: a job raised one, or its process was killed.
    """
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    with (
        cli.progress(total, unit) as bar,
        ProcessPoolExecutor(min(num_worker, len(jobs)), context, _start_worker, (done, stop)) as pool,
    ):
        # Workers are born with Ctrl-C blocked, as it is here: it is their parent's affair, even while they start.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        pending = {pool.submit(function, job) for job in jobs}
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                bar.update(done.value - bar.n)
                for message in filter(None, (future.result() for future in finished)):
                    bar.write(message)
        except BaseException as error:
            stop.set()  # workers end with the unit they are at; the pool waits for them
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise UserError("a worker process was killed; the same command again goes on from here") from None
            raise


def _start_worker(done: object, stop: object) -> None:
    global _done, _stop
    _done, _stop = done, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A command that was killed leaves no workers behind: they would hold their batches, and wait for more forever."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
