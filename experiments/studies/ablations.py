"""Ablations of the agent: the same search with one part of the agent removed or changed.

    python experiments/studies/ablations.py --folder train/seed0/round3

FOLDER holds the files of stages 01 to 04. Every search runs for --generations with the same seed and the same tracks,
in FOLDER/ablations/NAME, and its best controller is scored on the same unseen tracks. Running the command again resumes
it. Writes FOLDER/ablations/ABLATIONS.md.
"""

import argparse
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import config
import controller.arch as controller
from experiments.studies import study
from pipeline.files import write_text
from pipeline.sizes import CAR

UNTRAINED = "z, and h of an untrained M"
AGENTS = {  # name -> flags of stage 05
    "z and h": "",
    "z alone": "--z_only",
    UNTRAINED: "",
    "sampled z, and h": "--sample_z",
    "z, and h of an M conditioned on the previous action": "--previous_action",
}


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    study.add_search_arguments(parser, 30, "-n 16 -t 4 -e 2 --eval_steps 5")
    study.add_score_arguments(parser)
    parser.add_argument("--seed", type=cli.seed, default=0, help="run seed of the searches and of the unseen tracks")
    return parser.parse_args()


def write_untrained_rnn(folder: Path) -> None:
    """Write the weights that M has before stage 04 into a folder."""
    from pipeline.networks import seed_everything, use_one_cpu_thread
    from rnn.arch import RNN

    weights = folder / config.RNN_DIR / "weights.h5"
    if not weights.exists():
        use_one_cpu_thread()  # as agents do later in this process; TensorFlow takes the number once
        seed_everything(0)
        RNN().save(weights, {})


def study_agent(name: str, args: argparse.Namespace) -> study.Outcome:
    folder = args.folder / "ablations" / name.replace(",", "").replace(" ", "_")
    study.link(folder, args.folder, config.DATA_DIR, config.VAE_DIR)
    if name == UNTRAINED:
        write_untrained_rnn(folder)
    else:
        study.link(folder, args.folder, config.RNN_DIR)
    inputs = CAR.z if "z_only" in AGENTS[name] else controller.FEATURES
    return study.search_and_score(folder, name, AGENTS[name], args, args.seed, CAR.actions * (inputs + 1))


def main() -> None:
    args = parse_args()
    table = study.table([study_agent(name, args) for name in AGENTS])
    write_text(args.folder / "ablations" / "ABLATIONS.md", table)
    print(table)


if __name__ == "__main__":
    cli.run(main)
