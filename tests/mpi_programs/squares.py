"""Program `python squares.py RANKS`: rank 0 maps lists of several lengths and prints all results as json."""

import json
import os
import sys

from pipeline import cli
from simulation import launch as mpi
from simulation.ranks import Ranks


def work(tasks: list) -> list:
    return [task**2 for task in tasks]


def main() -> None:
    mpi.launch(int(sys.argv[1]))
    with Ranks() as ranks:
        ranks.functions = {"work": work}
        if ranks.rank > 0:
            return ranks.serve()
        results = [ranks.map("work", list(range(length))) for length in (0, 1, 2, 5, 40)]
        threads = {name: os.environ.get(name) for name in mpi.ONE_THREAD}
        print(json.dumps({"results": results, "size": ranks.size, "threads": threads, "mpi": "mpi4py" in sys.modules}))


if __name__ == "__main__":
    cli.run(main)
