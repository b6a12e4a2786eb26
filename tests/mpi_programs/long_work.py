"""Long-running program, `python long_work.py RANKS`: prints `working` and works for two minutes."""

import sys
import time

from pipeline import cli
from simulation import launch as mpi
from simulation.ranks import Ranks


def work(tasks: list) -> list:
    time.sleep(0.2 * len(tasks))
    return tasks


def main() -> None:
    mpi.launch(int(sys.argv[1]))
    with Ranks() as ranks:
        ranks.functions = {"work": work}
        if ranks.rank > 0:
            return ranks.serve()
        print("working", flush=True)
        for _ in range(600):
            ranks.map("work", list(range(ranks.size)))


if __name__ == "__main__":
    cli.run(main)
