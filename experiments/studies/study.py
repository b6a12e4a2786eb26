"""Helpers of the studies: searches in folders of their own, scored on the same unseen tracks, and their table."""

import argparse
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import config
from controller import arch
from controller import files as controller_files
from controller.evaluations import EVALUATION
from controller.files import name_of
from controller.search import ROW
from experiments import ROOT
from experiments.plots.controller import read_rows
from experiments.results import rollout_settings, score_controller
from experiments.scores import Scores, read_scores
from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import check_folder, file_hash
from pipeline.scores import mean_std


@dataclass(frozen=True)
class Outcome:
    """The scores and the cost of one trained agent."""

    name: str
    scores: list[float]  # of unseen tracks, the same for all agents
    parameters: int  # of the policy
    agent_steps: int  # environment or dream steps of its training
    seconds: float  # wall time of its training

    def row(self) -> str:
        """A row of the table."""
        cost = f"{self.parameters:,} | {self.agent_steps / 1e6:.1f} million | {self.seconds / 3600:.1f}"
        return f"| {self.name} | {mean_std(self.scores)} | {min(self.scores):.1f} | {cost} |"


HEADER = "| agent | score | min | parameters | agent-steps | hours |\n|---|---|---|---|---|---|"


def run(folder: Path, command: str) -> None:
    """Run one of the project's scripts in a folder; where it fails, this process exits with its status."""
    script, *arguments = shlex.split(command)
    status = subprocess.run([sys.executable, ROOT / script, *arguments], cwd=folder).returncode
    if status:
        sys.exit(status)


def link(folder: Path, source: Path, *names: Path) -> None:
    """Create a folder that uses the data and networks of another; UserError where those are missing."""
    for name in names:
        if not (source / name).exists():
            raise UserError(f"{source / name} is not there: run the stages 01 to 04 in {source} first")
        check_folder(folder)
        (folder / name).unlink(missing_ok=True)  # it may point into a folder that was moved since
        (folder / name).symlink_to((source / name).resolve())


def add_agent_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of a study of one agent: its controller, and the unseen tracks on which it drives."""
    pretrained = config.PRETRAINED_DIR / config.CONTROLLER_DIR / config.PRETRAINED
    parser.add_argument("--filename", type=Path, default=pretrained, help="controller, a .json of stage 05")
    parser.add_argument("--seed", type=cli.seed, default=0, help="run seed of the unseen tracks")
    add_score_arguments(parser)


def add_search_arguments(parser: argparse.ArgumentParser, generations: int, search: str) -> None:
    """The flags of every study: its folder, and the searches' length and flags with their defaults."""
    parser.add_argument("--folder", type=Path, required=True, help="folder with data/, vae/ and rnn/")
    parser.add_argument("--generations", type=cli.positive_int, default=generations, help="generations of each search")
    parser.add_argument("--search", default=search, help="flags of stage 05 for every search")


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """The flag of a score."""
    parser.add_argument("--num_episode", type=cli.episode_count, default=100, help="unseen tracks for each score")


def find_controller(folder: Path, search: str = "car_racing", which: str = "best") -> Path | None:
    """The controller of a folder's only search in an environment; None where there is none.

    Args:
        search: environment that the search's name begins with; "car_racing_dream" for dreams.
        which: "best", "dream_best" or "current".

    Raises:
        UserError: the folder holds several.
    """
    found = sorted((folder / config.CONTROLLER_DIR).glob(f"{search}.*.{which}.json"))
    if len(found) > 1:
        raise UserError(f"{folder / config.CONTROLLER_DIR} holds several controllers: {', '.join(map(str, found))}")
    return found[0] if found else None


def score(folder: Path, weights: Path, name: str, seed: int, parameters: int, num_episode: int = 100) -> Outcome:
    """Score a folder's controller on unseen tracks; a stored outcome of the same weights and tracks is reused."""
    path, settings = folder / f"{weights.stem}.outcome.json", rollout_settings(seed, num_episode)
    metadata = {"weights": file_hash(weights)}
    kept = read_scores(path) if path.exists() else None
    if kept is None or (kept.settings, kept.metadata) != (settings, metadata):
        scores = score_controller(weights, settings)
        generation = controller_files.load(weights)[2]["generation"]
        rows = read_rows(folder / config.LOG_DIR / f"{name_of(weights)}.hist.json", ROW)[:generation]
        steps = round(sum(row["mean steps"] * row["episodes"] for row in rows))
        cost = {"parameters": parameters, "agent_steps": steps, "seconds": rows[-1]["seconds"]}
        kept = Scores(settings=settings, scores=scores, metadata=metadata, **cost)
        kept.write(path)
    return Outcome(name, kept.scores, parameters, kept.agent_steps, kept.seconds)


def search_and_score(
    folder: Path, name: str, flags: str, args: argparse.Namespace, seed: int, parameters: int
) -> Outcome:
    """Run a search with additional flags in a folder to its end, and score its best controller."""
    print(f"--- {name}", flush=True)
    run(folder, f"05_train_controller.py car_racing {args.search} {flags} --generations {args.generations} -s {seed}")
    weights = find_controller(folder)
    if weights is None:
        raise UserError(
            f"{folder / config.CONTROLLER_DIR} holds no evaluated controller: --generations must reach --eval_steps"
        )
    return score(folder, weights, name, seed, parameters, args.num_episode)


def score_search(folder: Path, name: str, num_episode: int) -> dict[str, Any]:
    """Statistics of the best controller of a folder's search on the unseen tracks of seed 0, and its evaluations."""
    weights = find_controller(folder)
    if weights is None:
        raise UserError(f"{folder / config.CONTROLLER_DIR} holds no evaluated controller")
    outcome = score(folder, weights, name, 0, arch.NUM_WEIGHTS, num_episode)
    log = folder / config.LOG_DIR / f"{name_of(weights)}.log.json"
    return {
        "mean": float(np.mean(outcome.scores)),
        "std": float(np.std(outcome.scores)),
        "min": min(outcome.scores),
        "seconds": outcome.seconds,
        "steps": outcome.agent_steps,
        "evaluations": [row["mean"] for row in read_rows(log, EVALUATION)],
    }


def table(outcomes: list[Outcome]) -> str:
    return "\n".join([HEADER, *(outcome.row() for outcome in outcomes)]) + "\n"
