"""Comparison of all agents on the same 100 unseen tracks, as a table and a figure: make compare

    python experiments/studies/compare.py --folder train/seed0

Compares the agents that are there, and prints the commands that produce the others: the baselines of the working
directory, the agents of FOLDER/round3 and of its ablations, and those of FOLDER/dream2, which were trained in dreams.
All scores must be of one --seed, so that they are of the same tracks. Hours and steps of a World Model are those of its
search, without data, V and M. Writes report/compare.md and report/compare.png.
"""

import argparse
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
import controller.arch as controller
from experiments.baselines import records
from experiments.plots.canvas import new_figure, save_figure
from experiments.scores import read_scores
from experiments.studies import study
from experiments.studies.study import Outcome
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.seeds import rng
from pipeline.sizes import CAR

BASELINES = {  # name -> script, and the flags of the commands that train it and score it on the tracks of a seed
    "random": ("random_car_racing", ("--new_model --seed {seed}",)),
    "Deep Q-Learning": ("dqn_car_racing", ("", "--final_mode --seed {seed}")),
    "PPO of Stable-Baselines3": ("ppo_car_racing", ("--minutes 90", "--final_mode --seed {seed}")),
    "genetic algorithm": ("ga_car_racing", ("", "--final_mode --seed {seed}")),
}
TRACKS = 100
ABLATED = {"World Models, z alone": "z_alone", "World Models, z and h": "z_and_h"}
ROUND = "round3"  # the last round of make train
AGENTS = {  # name -> folder, search, kind of controller file, command that produces it
    "World Models": (ROUND, "car_racing", "best", "make train"),
    "World Models, trained in dreams": ("dream2", "car_racing_dream", "best", "make train, make dream"),
    "World Models, trained and selected in dreams": (
        "dream2",
        "car_racing_dream",
        "dream_best",
        "make train, make dream",
    ),
}


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of make train")
    parser.add_argument("--seed", type=cli.seed, default=0, help="run seed of the 100 unseen tracks")
    return parser.parse_args()


def baseline(name: str, seed: int) -> Outcome | str:
    """The outcome of a baseline, or the command that produces it."""
    script, all_flags = BASELINES[name]
    commands = [f"python experiments/baselines/{script}.py {flags.format(seed=seed)}".rstrip() for flags in all_flags]
    missing = ", then ".join(commands)
    try:
        kept = read_scores(records.path(script, "scores.json"))
    except UserError:
        return missing
    if kept.settings.seed != seed or len(kept.scores) != TRACKS:
        return missing
    return Outcome(name, kept.scores, kept.parameters, kept.agent_steps, kept.seconds)


NOTES = """
All scores are of the same unseen tracks. Hours and agent-steps of a World Model are those of its search, without data,
V and M. The agent-steps of an agent trained in dreams are those of the last round of dreams. Hours are wall time, with
pauses and other work included.
"""


def find_controller(folder: Path, search: str = "car_racing", which: str = "best") -> Path | str | None:
    """The controller of a folder, None where there is none, or the error where there are several."""
    try:
        return study.find_controller(folder, search, which)
    except UserError as error:
        return str(error)


def ablation(name: str, agent: str, folder: Path, seed: int) -> Outcome | str:
    """The outcome of one agent of the ablations, or the command that produces it."""
    own = folder / ROUND / "ablations" / agent
    weights = find_controller(own)
    if not isinstance(weights, Path):
        return weights or f"python experiments/studies/ablations.py --folder {folder / ROUND}"
    inputs = CAR.z if agent == "z_alone" else controller.FEATURES
    return study.score(own, weights, name, seed, CAR.actions * (inputs + 1))


def world_model(name: str, folder: Path, seed: int) -> Outcome | str:
    """The outcome of a search below a folder, scored now where it has not been; or the command that produces it."""
    subfolder, search, which, missing = AGENTS[name]
    weights = find_controller(folder / subfolder, search, which)
    if not isinstance(weights, Path):
        return weights or missing
    return study.score(folder / subfolder, weights, name, seed, controller.NUM_WEIGHTS)


def draw(outcomes: list[Outcome], path: Path) -> None:
    """A row per agent: a dot per track and a bar at the mean."""
    figure, axes = new_figure(10, 1 + 0.6 * len(outcomes))
    jitter = rng("figure", 0)
    for row, outcome in enumerate(outcomes):
        scatter = row + jitter.uniform(-0.25, 0.25, len(outcome.scores))
        axes.plot(outcome.scores, scatter, ".", markersize=4, alpha=0.5)
        axes.plot([np.mean(outcome.scores)] * 2, [row - 0.35, row + 0.35], color="black")
    axes.set_yticks(range(len(outcomes)), [outcome.name for outcome in outcomes])
    axes.invert_yaxis()
    axes.set(xlabel="score of each track; bars are means")
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)


def main() -> None:
    args = parse_args()
    found = {name: baseline(name, args.seed) for name in BASELINES}
    found |= {name: ablation(name, agent, args.folder, args.seed) for name, agent in ABLATED.items()}
    found |= {name: world_model(name, args.folder, args.seed) for name in AGENTS}
    outcomes = [outcome for outcome in found.values() if isinstance(outcome, Outcome)]
    for name, missing in found.items():
        if isinstance(missing, str):
            print(f"{name} is missing; to produce it: {missing}")
    if not outcomes:
        raise UserError("there is nothing to compare yet")
    table = study.table(outcomes) + NOTES
    write_text(config.REPORT_DIR / "compare.md", table)
    draw(outcomes, config.REPORT_DIR / "compare.png")
    print(table)


if __name__ == "__main__":
    cli.run(main)
