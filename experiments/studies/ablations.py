"""What each part of the agent is worth: the same search with one of them taken away, scored on the same 100 tracks.

    python experiments/studies/ablations.py --folder FOLDER        # one that the stages 01 to 04 have run in

Every agent searches for --generations with the same seed, on the same tracks, in FOLDER/ablations/NAME. A study that
was stopped goes on where it was. Writes FOLDER/ablations/ABLATIONS.md.
"""

import argparse
from pathlib import Path

import config
import controller.arch as controller
from experiments.studies import study
from pipeline import cli
from pipeline.files import atomic_write, file_hash

UNTRAINED = "z, and h of an M that has learned nothing"
AGENTS = {
    "z and h": "",
    "z alone": "--z_only",
    UNTRAINED: "",
    "z drawn, not its mean, and h": "--sample_z",
    "z, and h of an M that is told the action before": "--previous_action",
}


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    study.add_arguments(parser, generations=30)
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the searches, and of the final tracks")
    return parser.parse_args()


def forget(folder: Path) -> None:
    """Give a folder an M as it was before stage 04."""
    from pipeline.networks import seed_everything
    from rnn.arch import RNN

    weights = folder / config.RNN_DIR / "weights.h5"
    if not weights.exists():
        seed_everything(0)
        RNN().save(weights, {"settings": {"vae": file_hash(folder / config.VAE_DIR / "weights.h5")}})


def study_agent(name: str, args: argparse.Namespace) -> study.Outcome:
    folder = args.folder / "ablations" / name.replace(",", "").replace(" ", "_")
    study.link(folder, args.folder, config.DATA_DIR, config.VAE_DIR)
    if name == UNTRAINED:
        forget(folder)
    else:
        study.link(folder, args.folder, config.RNN_DIR)
    inputs = config.Z_DIM if "z_only" in AGENTS[name] else controller.FEATURES
    return study.search_and_score(folder, name, AGENTS[name], args, args.seed, config.ACTION_DIM * (inputs + 1))


def main() -> None:
    args = parse_args()
    table = study.table([study_agent(name, args) for name in AGENTS])
    with atomic_write(args.folder / "ablations" / "ABLATIONS.md") as part:
        part.write_text(table)
    print(table)


if __name__ == "__main__":
    cli.run(main)
