"""What the studies share: searches beside each other, each in a folder of its own, scored on the same unseen tracks."""

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import config
from controller import files as controller_files
from controller.files import name_of
from controller.search import ROW
from experiments.plots.controller import read_rows
from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import file_hash, read_json, write_json

ROOT = Path(__file__).parents[2]
SCORED = re.compile(r"track +(\d+): +(-?[\d.]+) in +\d+ steps")


@dataclass(frozen=True)
class Outcome:
    """What came of one training."""

    name: str
    scores: list[float]  # over unseen tracks, the same of all
    parameters: int  # numbers of what decides on the action
    agent_steps: int  # driven to learn to drive
    seconds: float  # of the search, or of learning

    def row(self) -> str:
        """A line of a table."""
        mean, std, low = np.mean(self.scores), np.std(self.scores), min(self.scores)
        cost = f"{self.parameters:,} | {self.agent_steps / 1e6:.1f} million | {self.seconds / 3600:.1f}"
        return f"| {self.name} | {mean:.1f} ± {std:.1f} | {low:.1f} | {cost} |"


HEADER = "| driver | score | lowest | its numbers | agent-steps | hours |\n|---|---|---|---|---|---|"


def run(folder: Path, command: str) -> str:
    """Run one of the project's scripts in a folder, its output on the screen as it comes; returns that output."""
    script, *arguments = shlex.split(command)
    with subprocess.Popen(
        [sys.executable, ROOT / script, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(process.returncode)
    return "".join(lines)


def link(folder: Path, source: Path, *names: Path) -> None:
    """Make a folder that works with the data and networks of another; UserError where those are not there."""
    for name in names:
        if not (source / name).exists():
            raise UserError(f"{source / name} is not there: run the stages 01 to 04 in {source} first")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)  # of a folder that was moved since
        (folder / name).symlink_to((source / name).resolve())


def add_arguments(parser: argparse.ArgumentParser, generations: int) -> None:
    """The flags that the studies share."""
    parser.add_argument("--folder", type=Path, required=True, help="holds data/, vae/ and rnn/")
    parser.add_argument("--generations", type=cli.positive_int, default=generations, help="generations of each search")
    search = "-n 16 -t 4 -e 2 --eval_steps 5"
    parser.add_argument("--search", default=search, help="flags of stage 05 for every search")
    parser.add_argument(
        "--num_episode", type=cli.episode_count, default=100, help="unseen tracks to score each driver on"
    )


def find_driver(folder: Path, search: str = "car_racing", which: str = "best") -> Path | None:
    """The controller of the one search on the road, or in dreams ("car_racing_dream"), that a folder holds."""
    found = sorted((folder / config.CONTROLLER_DIR).glob(f"{search}.*.{which}.json"))
    if len(found) > 1:
        raise UserError(f"{folder / config.CONTROLLER_DIR} holds several drivers: {', '.join(map(str, found))}")
    return found[0] if found else None


def score(folder: Path, weights: Path, name: str, seed: int, parameters: int, num_episode: int = 100) -> Outcome:
    """A driver of a folder on unseen tracks: scored once, and then remembered.

    Args:
        parameters: of the controller.
    """
    kept = folder / f"{weights.stem}.outcome.json"
    outcome = read_json(kept) if kept.exists() else {}
    metadata = {"weights": file_hash(weights), "seed": seed, "num_episode": num_episode}
    if {key: outcome.get(key) for key in metadata} != metadata:
        final = f"model.py car_racing --filename controller/{weights.name} --final_mode"
        printed = run(folder, f"{final} --seed {seed} --num_episode {num_episode}")
        scores = [float(score) for _, score in sorted(SCORED.findall(printed), key=lambda found: int(found[0]))]
        generation = controller_files.load(weights)[2]["generation"]
        rows = read_rows(folder / config.LOG_DIR / f"{name_of(weights)}.hist.json", ROW)[:generation]
        steps = sum(row["mean steps"] * row["episodes"] for row in rows)
        outcome = metadata | {"scores": scores, "agent_steps": round(steps), "seconds": rows[-1]["seconds"]}
        write_json(kept, outcome)
    return Outcome(name, outcome["scores"], parameters, outcome["agent_steps"], outcome["seconds"])


def search_and_score(
    folder: Path, name: str, flags: str, args: argparse.Namespace, seed: int, parameters: int
) -> Outcome:
    """Run a search in a folder to its end, with some flags of its own, and score what it has found."""
    print(f"--- {name}", flush=True)
    run(folder, f"05_train_controller.py car_racing {args.search} {flags} --generations {args.generations} -s {seed}")
    weights = find_driver(folder)
    if weights is None:
        raise UserError(f"{folder / config.CONTROLLER_DIR} holds no driver that has been evaluated")
    return score(folder, weights, name, seed, parameters, args.num_episode)


def table(outcomes: list[Outcome]) -> str:
    return "\n".join([HEADER, *(outcome.row() for outcome in outcomes)]) + "\n"
