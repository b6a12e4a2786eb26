"""Program `python long_work.py RANKS [LOST_SECONDS [WORK_SECONDS [LATE_SECONDS]]]`.

It prints `working`, works, and prints `done`. By default it works for two minutes. Rank 1 is so many seconds late.
"""

import sys
import time

from pipeline import cli
from simulation import launch as mpi
from simulation.ranks import Ranks
from simulation.watcher import rank_of_launcher


def work(tasks: list) -> list:
    time.sleep(0.2 * len(tasks))
    return tasks


def main() -> None:
    given, defaults = [float(text) for text in sys.argv[2:]], [mpi.LOST_SECONDS, 120.0, 0.0]
    lost_seconds, work_seconds, late_seconds = given + defaults[len(given) :]
    mpi.launch(int(sys.argv[1]), lost_seconds)
    if rank_of_launcher() == "1" and late_seconds:
        print("late", flush=True)
        time.sleep(late_seconds)
    with Ranks(lost_seconds) as ranks:
        ranks.functions = {"work": work}
        if ranks.rank > 0:
            return ranks.serve()
        print("working", flush=True)
        for _ in range(int(work_seconds / 0.2)):
            ranks.map("work", list(range(ranks.size)))
        print("done", flush=True)


if __name__ == "__main__":
    cli.run(main)
