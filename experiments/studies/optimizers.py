"""Comparison of the optimizers: searches on the same networks with the same number of episodes, from several seeds.

    python experiments/studies/optimizers.py --folder train/seed0/round3

FOLDER holds the files of stages 01 to 04. Each search runs for --generations in FOLDER/optimizers/NAME.SEED, and its
best controller is scored on unseen tracks. Running the command again resumes it. Writes
FOLDER/optimizers/OPTIMIZERS.md.
"""

import argparse

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
import controller.arch as controller
from es import OPTIMIZERS
from experiments.studies import study
from pipeline.files import write_text


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    study.add_search_arguments(parser, 10, "-n 16 -t 4 -e 2 --eval_steps 5")
    study.add_score_arguments(parser)
    parser.add_argument(
        "--seeds", type=cli.seed, nargs="+", default=[1, 2, 3], help="run seeds of the searches and tracks"
    )
    return parser.parse_args()


def study_optimizer(name: str, seed: int, args: argparse.Namespace) -> study.Outcome:
    folder = args.folder / "optimizers" / f"{name}.{seed}"
    study.link(folder, args.folder, config.DATA_DIR, config.VAE_DIR, config.RNN_DIR)
    return study.search_and_score(folder, f"{name}, seed {seed}", f"-o {name}", args, seed, controller.NUM_WEIGHTS)


def main() -> None:
    args = parse_args()
    outcomes = {name: [study_optimizer(name, seed, args) for seed in args.seeds] for name in OPTIMIZERS}
    lines = ["| optimizer | mean score by seed | mean |", "|---|---|---|"]
    for name, found in outcomes.items():
        means = [float(np.mean(outcome.scores)) for outcome in found]
        lines.append(f"| {name} | {', '.join(f'{mean:.1f}' for mean in means)} | {np.mean(means):.1f} |")
    table = "\n".join([*lines, "", study.table([outcome for found in outcomes.values() for outcome in found])])
    write_text(args.folder / "optimizers" / "OPTIMIZERS.md", table)
    print(table)


if __name__ == "__main__":
    cli.run(main)
