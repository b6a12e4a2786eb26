"""Program `python same_hosts.py RANKS [identical]`: says which hosts differ, or refuses them."""

import sys

from pipeline import cli
from simulation import launch as mpi
from simulation.ranks import Ranks


def main() -> None:
    mpi.launch(int(sys.argv[1]))
    with Ranks() as ranks:
        ranks.check_hosts("identical" in sys.argv)
        if ranks.rank > 0:
            return ranks.serve()
        print("done", flush=True)


if __name__ == "__main__":
    cli.run(main)
