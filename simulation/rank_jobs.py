"""Jobs on the ranks of a launcher, whose hosts share the folder of their files: the counterpart of workers.py."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import check_folder
from simulation.hosts import where
from simulation.ranks import Functions, Ranks

Job = TypeVar("Job")
Tick = Callable[[], object]  # counts one finished unit of a job


def serve(ranks: Ranks, function: Callable[[Job, Tick], str]) -> None:
    """Do this rank's share of `run`; call it on all ranks but 0."""
    ranks.functions = _functions(function, lambda: None)
    ranks.serve()


def run(
    ranks: Ranks,
    function: Callable[[Job, Tick], str],
    jobs: Sequence[Job],
    units: Sequence[int],
    unit: str,
    folder: Path,
) -> None:
    """Call `function(job, tick)` for all jobs, on rank 0; prints the messages that it returns, if any.

    Rank i % size does job i, so no two ranks write the same files, also where the file system has no locks.

    Args:
        units: number of `tick` calls of each job.
        unit: name of one tick in the progress bar, which shows the share of rank 0.
        folder: all hosts must share it.

    Raises:
        UserError: a job raised one, or a host does not share the folder.
    """
    with cli.progress(sum(units[:: ranks.size]), unit, f"rank 0 of {ranks.size}") as bar:
        ranks.functions = _functions(function, lambda: bar.update())
        _check_shared(ranks, folder)
        for message in filter(None, ranks.map("jobs", list(jobs))):
            bar.write(message)


def _functions(function: Callable[[Job, Tick], str], tick: Tick) -> Functions:
    return {
        "jobs": lambda jobs: [function(job, tick) for job in jobs],
        "exists": lambda paths: [path.exists() for path in paths],
    }


def _check_shared(ranks: Ranks, folder: Path) -> None:
    """Check that all ranks see what rank 0 writes into a folder; UserError names those that do not."""
    check_folder(folder)
    token = folder / f".part-{uuid4().hex}"
    token.touch()
    try:
        seen = ranks.map("exists", [token] * ranks.size)  # one for each rank
    finally:
        token.unlink()
    blind = [rank for rank, exists in enumerate(seen) if not exists]
    if blind:
        found = f"{where(blind, ranks.hosts)} does not see what rank 0 writes into {folder.absolute()}"
        raise UserError(
            f"{found}: start it in a folder that all hosts share, or on each host with its own --start_batch"
        )
