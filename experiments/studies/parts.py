"""Parts of the demo's search, each against its absence, on the same V and M and paired by seed.

    python experiments/studies/parts.py --folder demo/seed0
    python experiments/studies/parts.py --folder demo/seed0 --arms "subspace 48" --seeds 8 9 10

FOLDER holds data/, vae/ and rnn/ of make demo. Each arm is 20 generations of its search with other flags, in
FOLDER/parts/ARM/seedN, and every agent is scored on the same unseen tracks. Running the command again resumes it.
Writes docs/results/parts.json after every agent.
"""

import argparse
from pathlib import Path
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from experiments.results import record
from experiments.studies import study

SEARCH = (
    "05_train_controller.py car_racing -n 16 -t 4 -e 1 --subspace 24 --generations 20 --eval_steps 4"
    " --eval_episode 32 -s {seed}"
)
BASE = "as in the demo"
ARMS = {  # name -> flags that replace those of the demo
    BASE: "",
    "subspace 48": "--subspace 48",
    "all weights": "--subspace 0",
    "no sigma_decay": "--sigma_decay 1",
}


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder with data/, vae/ and rnn/")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS)[1:], default=list(ARMS)[1:], help="what to compare")
    parser.add_argument("--seeds", type=cli.seed, nargs="+", default=list(range(8)), help="seeds of the search")
    study.add_score_arguments(parser)
    return parser.parse_args()


def agent(arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Search and score the agent of an arm and a seed."""
    folder = args.folder / "parts" / arm.replace(" ", "_") / f"seed{seed}"
    print(f"--- {arm}, seed {seed}", flush=True)
    study.link(folder, args.folder, config.DATA_DIR, config.VAE_DIR, config.RNN_DIR)
    study.run(folder, f"{SEARCH.format(seed=seed)} {ARMS[arm]}")
    return {"seed": seed} | study.score_search(folder, arm, args.num_episode)


def table(arms: dict[str, list[dict[str, Any]]]) -> str:
    """A row per arm; the difference from the base is paired by seed, with its standard error."""
    rows = ["| search | agents | mean | std of the means | worst | difference |", "|---|---|---|---|---|---|"]
    base = {row["seed"]: row["mean"] for row in arms[BASE]}
    for arm, agents in arms.items():
        means = np.array([row["mean"] for row in agents])
        differences = means - [base[row["seed"]] for row in agents]
        several = len(means) > 1
        spread = f"{means.std(ddof=1):.1f}" if several else "—"
        error = f" ± {differences.std(ddof=1) / np.sqrt(len(means)):.1f}" if several else ""
        paired = "—" if arm == BASE else f"{differences.mean():+.1f}{error}"
        rows.append(f"| {arm} | {len(means)} | {means.mean():.1f} | {spread} | {means.min():.1f} | {paired} |")
    return "\n".join(rows)


def main() -> None:
    args = parse_args()
    arms: dict[str, list[dict[str, Any]]] = {}
    command = f"python experiments/studies/parts.py --folder FOLDER --arms {' '.join(map(repr, args.arms))}"
    command += f" --seeds {' '.join(map(str, args.seeds))} --num_episode {args.num_episode}"
    for seed in args.seeds:
        for arm in (BASE, *args.arms):
            arms.setdefault(arm, []).append(agent(arm, seed, args))
            path = record("parts", command, 0, search=SEARCH, arms=arms)
        print(table(arms), flush=True)
    print(path)


if __name__ == "__main__":
    cli.run(main)
