"""Every driver on the same 100 tracks, in one table and one picture: make compare

    python experiments/studies/compare.py --folder train/seed0

Puts side by side what is there, and says how to make what is not: the baselines of the working directory, the agents of
studies/ablations.py in FOLDER, the driver of FOLDER, and those of FOLDER/dream2, which have learned in dreams. All
scores must be of one --seed: then they are of the same tracks. The hours and steps of a World Model are those of its
search, without the data, V and M. Writes report/compare.md and report/compare.png.
"""

import argparse
from pathlib import Path

import numpy as np

import config
import controller.arch as controller
from experiments.baselines import records
from experiments.plots.canvas import new_figure, save_figure
from experiments.studies import study
from experiments.studies.study import Outcome
from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import atomic_write, read_json

BASELINES = {  # a name, and how to have its scores over the tracks of a seed
    "random": ("random_car_racing", "--new_model --seed {seed}"),
    "Deep Q-Learning": ("dqn_car_racing", "and, when it has learned, --final_mode --seed {seed}"),
    "genetic algorithm": ("ga_car_racing", "and, when it has learned, --final_mode --seed {seed}"),
}
TRACKS = 100
ABLATED = {"World Models, z alone": "z_alone", "World Models, z and h": "z_and_h"}
DRIVERS = {  # a name, the folder and the search that it is of, and by what it was chosen
    "World Models": (".", "car_racing", "best"),
    "World Models, learned in dreams": ("dream2", "car_racing_dream", "best"),
    "the same, chosen in dreams too": ("dream2", "car_racing_dream", "dream_best"),
}


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the World Models were trained")
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the 100 tracks")
    return parser.parse_args()


def baseline(name: str, seed: int) -> Outcome | str:
    """A baseline's outcome, or how to make it."""
    script, how = BASELINES[name]
    missing = f"python experiments/baselines/{script}.py {how.format(seed=seed)}"
    path = records.path(script, "scores.json")
    kept = read_json(path) if path.exists() else {}
    try:
        cost = kept["parameters"], kept["agent_steps"], kept["seconds"]
        right = kept["seed"] == seed and len(kept["scores"]) == TRACKS
        return Outcome(name, [float(score) for score in kept["scores"]], *cost) if right else missing
    except (KeyError, TypeError, ValueError):
        return missing


NOTES = """
All scores are over the same tracks, which no training has seen. The hours and the agent-steps of a World Model are
those of its search: the data, V and M come before it. A driver from dreams has taken its steps in the last round of
dreams. Hours are of the clock, pauses and other work included.
"""


def driver_of(folder: Path, search: str = "car_racing", which: str = "best") -> Path | str | None:
    """The driver that a folder holds, None if there is none, or why it cannot be said which."""
    try:
        return study.find_driver(folder, search, which)
    except UserError as error:
        return str(error)


def ablation(name: str, agent: str, folder: Path, seed: int) -> Outcome | str:
    """The outcome of one agent of the ablations, or how to make it."""
    own = folder / "ablations" / agent
    weights = driver_of(own)
    if not isinstance(weights, Path):
        return weights or f"python experiments/studies/ablations.py --folder {folder}"
    inputs = config.Z_DIM if agent == "z_alone" else controller.FEATURES
    return study.score(own, weights, name, seed, config.ACTION_DIM * (inputs + 1))


def driver(name: str, folder: Path, seed: int) -> Outcome | str:
    """The outcome of a search in a folder, scored here if it has not been; or how to make it."""
    where, search, which = DRIVERS[name]
    weights = driver_of(folder / where, search, which)
    if not isinstance(weights, Path):
        return weights or ("make train" if where == "." else "make train, make dream")
    return study.score(folder / where, weights, name, seed, controller.NUM_WEIGHTS)


def draw(outcomes: list[Outcome], path: Path) -> None:
    """A dot a track, a bar a mean."""
    figure, axes = new_figure(10, 1 + 0.6 * len(outcomes))
    spread = np.random.default_rng(0)
    for row, outcome in enumerate(outcomes):
        scatter = row + spread.uniform(-0.25, 0.25, len(outcome.scores))
        axes.plot(outcome.scores, scatter, ".", markersize=4, alpha=0.5)
        axes.plot([np.mean(outcome.scores)] * 2, [row - 0.35, row + 0.35], color="black")
    axes.set_yticks(range(len(outcomes)), [outcome.name for outcome in outcomes])
    axes.invert_yaxis()
    axes.set(xlabel="score of each of the same tracks; a line is their mean")
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)


def main() -> None:
    args = parse_args()
    found = {name: baseline(name, args.seed) for name in BASELINES}
    found |= {name: ablation(name, agent, args.folder, args.seed) for name, agent in ABLATED.items()}
    found |= {name: driver(name, args.folder, args.seed) for name in DRIVERS}
    outcomes = [outcome for outcome in found.values() if isinstance(outcome, Outcome)]
    for name, missing in found.items():
        if isinstance(missing, str):
            print(f"{name} is left out; to have it: {missing}")
    if not outcomes:
        raise UserError("there is nothing to compare yet")
    table = study.table(outcomes) + NOTES
    with atomic_write(config.REPORT_DIR / "compare.md") as part:
        part.write_text(table)
    draw(outcomes, config.REPORT_DIR / "compare.png")
    print(table)


if __name__ == "__main__":
    cli.run(main)
