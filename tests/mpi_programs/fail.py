"""Failing program, `python fail.py RANKS WHERE KIND`: a UserError (KIND user) or a ZeroDivisionError (KIND bug).

WHERE: everywhere (all ranks, before the first task), leader (rank 0, before the first task), follower (the other ranks,
before the first task), task (rank 1, in its work), late (rank 1, while rank 0 has no tasks), busy (rank 0 in its work,
while the other ranks work for a minute).
"""

import sys
import time

from pipeline import cli
from pipeline.errors import UserError
from simulation import ranks as mpi_ranks
from simulation.launch import launch


def fail() -> None:
    if sys.argv[3] == "user":
        raise UserError("the file is not there")
    raise ZeroDivisionError("a bug")


def main() -> None:
    where = sys.argv[2]
    mpi_ranks.STOP_SECONDS = 1.0
    launch(int(sys.argv[1]))
    with mpi_ranks.Ranks() as ranks:

        def work(tasks: list) -> list:
            if (where, ranks.rank) in (("task", 1), ("busy", 0)):
                fail()
            if where == "busy":
                time.sleep(60)
            return tasks

        ranks.functions = {"work": work}
        if where == "everywhere" or where == ("leader", "follower")[ranks.rank > 0]:
            fail()
        if where == "late" and ranks.rank == 1:
            time.sleep(0.5)
            fail()
        if ranks.rank > 0:
            return ranks.serve()
        if where != "late":
            ranks.map("work", list(range(10)))


if __name__ == "__main__":
    cli.run(main)
