"""Five ways to search, on the same networks and with as many episodes, from three seeds.

    python experiments/studies/optimizers.py --folder FOLDER       # one that the stages 01 to 04 have run in

Each searches for --generations in FOLDER/optimizers/NAME.SEED, and is scored on 100 unseen tracks. A study that was
stopped goes on where it was. Writes FOLDER/optimizers/OPTIMIZERS.md.
"""

import argparse

import numpy as np

import config
import controller.arch as controller
from es import OPTIMIZERS
from experiments.studies import study
from pipeline import cli
from pipeline.files import atomic_write


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    study.add_arguments(parser, generations=10)
    parser.add_argument("--seeds", type=cli.seed, nargs="+", default=[1, 2, 3], help="of the searches and final tracks")
    return parser.parse_args()


def study_optimizer(name: str, seed: int, args: argparse.Namespace) -> study.Outcome:
    folder = args.folder / "optimizers" / f"{name}.{seed}"
    study.link(folder, args.folder, config.DATA_DIR, config.VAE_DIR, config.RNN_DIR)
    return study.search_and_score(folder, f"{name}, seed {seed}", f"-o {name}", args, seed, controller.NUM_WEIGHTS)


def main() -> None:
    args = parse_args()
    outcomes = {name: [study_optimizer(name, seed, args) for seed in args.seeds] for name in OPTIMIZERS}
    lines = ["| search | seeds' means | their mean |", "|---|---|---|"]
    for name, found in outcomes.items():
        means = [float(np.mean(outcome.scores)) for outcome in found]
        lines.append(f"| {name} | {', '.join(f'{mean:.1f}' for mean in means)} | {np.mean(means):.1f} |")
    table = "\n".join([*lines, "", study.table([outcome for found in outcomes.values() for outcome in found])])
    with atomic_write(args.folder / "optimizers" / "OPTIMIZERS.md") as part:
        part.write_text(table)
    print(table)


if __name__ == "__main__":
    cli.run(main)
