"""What makes a seed bad: which stage's random numbers carry the variance of the demo's score.

    python experiments/studies/variance.py --folder variance
    python experiments/studies/variance.py --folder variance --arms search rnn --seeds 0 1 2 3

The five stages run with the flags of the demo, but for 20 instead of 48 generations. In an arm, one stage takes each of
the seeds, the stages before it are those of the first seed, and the stages after it run again with the first seed. The
spread of an arm is that of its stage's random numbers alone. The coordinates of the search have none: they follow from
the data, V and M. Running the command again resumes it. Writes docs/results/variance.json after every agent.
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

STAGES = {  # what is made -> the commands that make it
    "data": ["01_generate_data.py car_racing --total_episodes 400 --batch_size 100 --seed {seed}"],
    "vae": ["02_train_vae.py --batch_size 32 --steps 2000 --seed {seed}", "03_generate_rnn_data.py"],
    "rnn": ["04_train_rnn.py --batch_size 32 --steps 300 --seed {seed}"],
    "search": [
        "05_train_controller.py car_racing -n 16 -t 4 -e 1 --subspace 24 --generations 20 --eval_steps 4"
        " --eval_episode 32 -s {seed}"
    ],
}


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder for the agents: 2 GB for each seed of data")
    parser.add_argument("--arms", nargs="+", choices=STAGES, default=list(STAGES), help="stages whose seed varies")
    parser.add_argument("--seeds", type=cli.seed, nargs="+", default=list(range(8)), help="run seeds")
    study.add_score_arguments(parser)
    return parser.parse_args()


def share(folder: Path, base: Path, stages: list[str]) -> None:
    """Link the files that the stages have made in the base folder into another one."""
    if "vae" in stages:
        study.link(folder, base, config.DATA_DIR, *(Path(stage) for stage in stages[1:]))
    elif "data" in stages:  # without the series of stage 03, which belong to a V
        patterns = ("obs_*.json", "obs_data_*", "action_data_*", "reward_data_*", "done_data_*")
        files = [path for pattern in patterns for path in (base / config.DATA_DIR).glob(pattern)]
        study.link(folder / config.DATA_DIR, base / config.DATA_DIR, *(Path(path.name) for path in files))


def train(folder: Path, base: Path, arm: str, seed: int, first_seed: int) -> None:
    """Run the stages of one agent; those before the arm's stage are the base's."""
    stages = list(STAGES)
    first = 0 if folder == base else stages.index(arm)
    folder.mkdir(parents=True, exist_ok=True)
    share(folder, base, stages[:first])
    for stage in stages[first:]:
        for command in STAGES[stage]:
            study.run(folder, command.format(seed=seed if stage == arm else first_seed))


def agent(arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train and score the agent of an arm and a seed."""
    first_seed = args.seeds[0]
    base = args.folder / f"seed{first_seed}"
    folder = base if seed == first_seed else args.folder / f"{arm}{seed}"
    print(f"--- {arm}, seed {seed}", flush=True)
    if study.find_controller(folder) is None or not list(folder.glob("*.outcome.json")):
        train(folder, base, arm, seed, first_seed)
    return {"seed": seed} | study.score_search(folder, arm, args.num_episode)


def spread(agents: list[dict[str, Any]]) -> float:
    """The standard deviation of the mean scores over seeds; NaN for one agent."""
    return float(np.std([row["mean"] for row in agents], ddof=1)) if len(agents) > 1 else float("nan")


def table(arms: dict[str, list[dict[str, Any]]]) -> str:
    """A row per arm."""
    lines = ["| stage whose seed varies | agents | mean | std of the means | worst |", "|---|---|---|---|---|"]
    for arm, agents in arms.items():
        means = [row["mean"] for row in agents]
        lines.append(f"| {arm} | {len(means)} | {np.mean(means):.1f} | {spread(agents):.1f} | {min(means):.1f} |")
    return "\n".join(lines)


def main() -> None:
    args = parse_args()
    arms: dict[str, list[dict[str, Any]]] = {}
    command = f"python experiments/studies/variance.py --folder variance --arms {' '.join(args.arms)}"
    command += f" --seeds {' '.join(map(str, args.seeds))} --num_episode {args.num_episode}"
    for arm in args.arms:
        for seed in args.seeds:
            arms.setdefault(arm, []).append(agent(arm, seed, args))
            path = record("variance", command, 0, arms=arms)
            print(table(arms), flush=True)
    print(path)


if __name__ == "__main__":
    cli.run(main)
