"""Helpers of the baselines: file names, flags, resumable training, scores on unseen tracks, learning curves."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import config
from controller.evaluations import EVALUATION
from pipeline import cli
from pipeline.errors import UserError, first_line
from pipeline.files import check_same, only_one
from pipeline.new_model import check_not_set_aside, forget_previous, previous, until_saved
from pipeline.scores import summary
from pipeline.seeds import env_seed_range
from pipeline.settings import Settings, read_settings

RESULTS = (".scores.json", ".png", "_weight.h5", "_weight.json")  # what follows from the state of a training
REMEDY = "give the earlier settings, or --new_model to start over"


def path(name: str, suffix: str) -> Path:
    """The path of a baseline's file, baselines/NAME.SUFFIX below the working directory."""
    return config.BASELINES_DIR / f"{name}.{suffix}"


def add_arguments(parser: argparse.ArgumentParser, max_length: int = 0, unit: str = "", **defaults: int) -> None:
    """Add the flags that all baselines share and, for a training in some `unit`, its own with their defaults."""
    add = parser.add_argument
    if unit:
        add(f"--{unit}", type=cli.positive_int, help=f"{unit} in total")
        add("--eval_steps", type=cli.positive_int, help=f"{unit} between evaluations")
        add("--eval_episode", type=cli.episode_count, help="unseen tracks per evaluation")
        add("--final_mode", action="store_true", help="score the trained agent on unseen tracks")
        add("--num_episode", type=cli.episode_count, default=100, help="episodes of --final_mode")
        parser.set_defaults(**defaults)
    if max_length:
        add("--max_length", type=cli.positive_int, default=max_length, help="maximal frames per episode")
    add("--seed", type=cli.seed, default=0, help=f"seed of the tracks and of the {'training' if unit else 'actions'}")
    add("--new_model", action="store_true", help=cli.NEW_MODEL)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """Settings of a training, which a resumed one must share; the baselines add their own."""

    seed: int = 0
    eval_steps: int = 1  # rows between evaluations
    eval_episode: int = 1  # tracks


class Training:
    """A training that can be resumed, and the evaluations of its agent on unseen tracks.

    Attributes:
        settings: what a resumed training must share.
        rows: float64 (n, columns); a row begins with its number, counted from 1, and the wall time (s) since the start.
        evaluations: float64 (m, 4): number of the row, then mean, std and min of the scores.
    """

    advance: Callable[[], tuple[float, ...]]  # trains for one row; returns it from its third entry on
    score: Callable[[list[int]], Sequence[float]]  # env_seeds -> scores of the present agent
    columns: tuple[str, ...]  # of a row; "steps" are the environment steps since the start
    unit: str  # what a row stands for, in the plural
    target_score = np.inf  # training stops early at an evaluation with this mean
    max_seconds = np.inf  # training stops after so much wall time

    def __init__(self, name: str, suffix: str, settings: TrainingSettings) -> None:
        self.name, self.path, self.settings = name, path(name, suffix), settings
        self.rows, self.evaluations = np.zeros((0, len(self.columns))), np.zeros((0, len(EVALUATION)))
        self.is_saved = True  # False until a new training has saved its first state

    def save(self) -> None: ...  # write all that resuming needs
    def restore(self) -> None: ...  # read it; UserError when it is damaged or the settings differ
    def report(self) -> None: ...  # print the newest row
    def keep_best(self) -> None: ...  # note that the present agent is the best so far
    def draw(self) -> None: ...  # draw the learning curve

    def log(self, text: str) -> None:
        print(text, flush=True)

    def train(self, total: int, new_model: bool) -> None:
        """Train, from scratch or from the saved state, until there are `total` rows or the target score is reached."""
        with only_one(path(self.name, "lock"), f"training {self.name}"):
            if new_model or not self.path.exists():
                self.is_saved = False
                if not new_model:
                    self.check_new()
            else:
                if previous(self.path).exists():  # a kill came just after the first state
                    self.remove_earlier()
                self.restore_checked()
                self.log(f"resuming {self.path} after {self.columns[0]} {len(self.rows)}")
            with until_saved(self.path, new_model):
                self.run(total)
            self.draw()
            done = f"{len(self.rows)} {self.unit}, {self.last('steps'):.0f} steps"
            self.log(f"{done}; learning curve in {path(self.name, 'png')}")

    def check_new(self) -> None:
        """Refuse, by a UserError, to begin beside files of an earlier training that are not to be replaced."""
        check_not_set_aside(self.path)

    def remove_earlier(self) -> None:
        """Delete what is left of an earlier training."""
        for suffix in RESULTS:
            (config.BASELINES_DIR / f"{self.name}{suffix}").unlink(missing_ok=True)
        forget_previous(self.path)

    def commit(self) -> None:
        self.save()
        if not self.is_saved:
            self.remove_earlier()
            self.is_saved = True

    def check_settings(self, saved: Any) -> None:
        """Refuse, by a UserError, to resume a training of other settings than these."""
        kept = read_settings(type(self.settings), saved, str(self.path), REMEDY)
        check_same(str(self.path), asdict(kept), asdict(self.settings), REMEDY)

    def restore_checked(self) -> None:
        try:
            self.restore()
            if self.rows.shape[1:] != (len(self.columns),) or (np.diff(self.rows[:, 0]) != 1).any():
                raise ValueError("its rows are not those of a training")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # a file edited by hand
            what = f"{self.path} is not a saved training ({first_line(error)})"
            raise UserError(f"{what}: --new_model starts over") from None

    def run(self, total: int) -> None:
        started = time.monotonic() - self.last("seconds")
        while True:
            due = len(self.rows) and len(self.rows) % self.settings.eval_steps == 0
            if due and len(self.rows) not in self.evaluations[:, 0]:  # first: a kill may have come before it
                self.evaluate()
            if self.best_mean() >= self.target_score:
                return self.log(f"an evaluation reached {self.target_score:g}: stopped early")
            if len(self.rows) >= total or self.last("seconds") >= self.max_seconds:
                return
            entries = self.advance()
            self.rows = np.vstack([self.rows, (len(self.rows) + 1, time.monotonic() - started, *entries)])
            self.commit()
            self.report()

    def evaluate(self) -> None:
        """Score the agent on unseen tracks, keep it if it is the best so far, save, draw, and print the result."""
        number, count = len(self.rows), self.settings.eval_episode
        scores = self.score(env_seed_range("evaluate", self.settings.seed, number * count, count))
        better = np.mean(scores) > self.best_mean()
        row = np.array([number, np.mean(scores), np.std(scores), min(scores)])
        self.evaluations = np.vstack([self.evaluations, row])
        if better:
            self.keep_best()
        self.save()
        self.draw()
        mark = ", the best so far" if better else ""
        self.log(f"{self.columns[0]} {number}: {summary(scores, 'unseen tracks')}{mark}")

    def last(self, name: str) -> float:
        """One entry of the newest row; 0 before the first row."""
        return float(self.rows[-1, self.columns.index(name)]) if len(self.rows) else 0.0

    def best_mean(self) -> float:
        """The highest mean of all evaluations; -inf before the first one."""
        return float(self.evaluations[:, 1].max(initial=-np.inf))

    def as_dicts(self) -> tuple[list[dict], list[dict]]:
        """Rows and evaluations, one dict each."""
        names = (self.columns[0], *EVALUATION[1:])
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows.tolist()]
        return rows, [dict(zip(names, row, strict=True)) for row in self.evaluations.tolist()]

    def metadata(self) -> dict:
        """Settings, best evaluation, and the environment steps and wall time (s) spent up to it."""
        rows, evaluations = self.as_dicts()
        best = max(evaluations, key=lambda evaluation: evaluation["mean"])
        row = rows[int(best[self.columns[0]]) - 1]
        return {"settings": asdict(self.settings), "evaluation": best, "steps": row["steps"], "seconds": row["seconds"]}
