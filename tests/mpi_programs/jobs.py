"""Program `python jobs.py JOBS`, under a launcher: makes a file FOLDER/i for each job i, which must not exist yet."""

import sys
from pathlib import Path

from pipeline import cli
from simulation import rank_jobs
from simulation.launch import launch
from simulation.ranks import Ranks

FOLDER = Path("made")


def make(job: int, tick: rank_jobs.Tick) -> str:
    (FOLDER / str(job)).touch(exist_ok=False)
    tick()
    return f"job {job}" if job % 2 else ""


def main() -> None:
    launch(1)
    jobs = list(range(int(sys.argv[1])))
    with Ranks() as ranks:
        if ranks.rank > 0:
            return rank_jobs.serve(ranks, make)
        rank_jobs.run(ranks, make, jobs, [1] * len(jobs), "job", FOLDER)


if __name__ == "__main__":
    cli.run(main)
