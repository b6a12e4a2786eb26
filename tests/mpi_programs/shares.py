"""Program `python shares.py RANKS`: prints the list in which each of 7 tasks arrived, and results of 8 MB."""

import json
import sys

import numpy as np

from pipeline import cli
from simulation import launch as mpi
from simulation.ranks import Ranks


def work(tasks: list) -> list:
    if isinstance(tasks[0], np.ndarray):
        return [task + 1 for task in tasks]
    return [tasks for _ in tasks]


def main() -> None:
    mpi.launch(int(sys.argv[1]))
    with Ranks() as ranks:
        ranks.functions = {"work": work}
        if ranks.rank > 0:
            return ranks.serve()
        shares = ranks.map("work", list(range(7)))
        arrays = ranks.map("work", [np.full(1_000_000, i, np.float64) for i in range(4)])
        print(json.dumps({"shares": shares, "arrays": [[len(a), a.min(), a.max()] for a in arrays]}))


if __name__ == "__main__":
    cli.run(main)
