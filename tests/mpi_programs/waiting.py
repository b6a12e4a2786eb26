"""Waiting program, `python waiting.py RANKS SECONDS`: prints each rank's processor seconds while rank 0 sleeps."""

import json
import sys
import time

from pipeline import cli
from simulation import launch as mpi
from simulation.ranks import Ranks


def processor_seconds(tasks: list) -> list:
    return [time.process_time() for _ in tasks]


def main() -> None:
    mpi.launch(int(sys.argv[1]))
    with Ranks() as ranks:
        ranks.functions = {"work": processor_seconds}
        if ranks.rank > 0:
            return ranks.serve()
        before = ranks.map("work", [None] * ranks.size)
        time.sleep(float(sys.argv[2]))
        after = ranks.map("work", [None] * ranks.size)
        print(json.dumps([b - a for a, b in zip(before, after, strict=True)]))


if __name__ == "__main__":
    cli.run(main)
