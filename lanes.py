"""Episodes in lock-step lanes: what every agent shares that drives many tracks side by side.

A lane holds one episode; a lane that finishes takes the next. Who drives is a subclass of `Lanes`: the world model
(model.py), or one of the baselines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

import config
from env import make_env
from rollouts import UserError

ROWS = 16  # lanes, and rows of every network call: kernels differ with the number of rows, and scores would with them


@dataclass(frozen=True)
class Task:
    """An episode to drive: by weights that the driver knows to read, or (None) by what needs none of its own.

    For the world model the weights are a controller's 867, and None is the exploration policy of stage 01.
    """

    weights: np.ndarray | None
    track: int
    max_length: int  # steps after which the episode ends
    exploration: float = 0.0  # the share of its time that a controller leaves to the exploration policy
    refresh_rate: int = config.ACTION_REFRESH_RATE  # frames for which an exploring driver holds an action
    dream: bool = False  # to be dreamt, see dreams.py: `track` is then the seed of the dream


@dataclass(frozen=True)
class Result:
    """What an episode gave: the sum of its rewards, and the steps it took."""

    score: float
    steps: int


class Lane:
    """One episode on its way."""

    def __init__(self, index: int, task: Task):
        self.index, self.task = index, task
        self.rng = config.exploration_rng(task.track)
        self.action = np.zeros(config.ACTION_DIM, np.float32)
        self.exploring = task.weights is None
        self.reward, self.score, self.steps, self.ended = 0.0, 0.0, 0, False
        self.idle = 0  # steps since something was gained

    def explores(self) -> bool:
        """Whether the exploration policy acts at this step; a controller may hand over whenever an action ends."""
        if self.task.exploration and self.steps % self.task.refresh_rate == 0:
            self.exploring = self.rng.random() < self.task.exploration
        return self.exploring


Active = list[tuple[int, Lane]]  # the rows that drive, and their lanes


class Lanes:
    """Drives episodes in lock-step lanes; a subclass says how, in `act`.

    Attributes:
        frames: uint8 (rows, 64, 64, 3), what each lane sees; rows is a multiple of ROWS, and there may be spare ones.

    Args:
        env_name: as in config.ENVIRONMENTS.
        patience: steps without gain after which an episode is given up and charged what idling on would have cost.
            None: never, as a final score demands.
        lanes: episodes side by side; more than ROWS of them take more calls of the same size.
        render_mode: of the first lane's environment.
    """

    def __init__(
        self, env_name: str, patience: int | None = None, lanes: int = ROWS, render_mode: str | None = None
    ) -> None:
        self.env_name, self.settings = env_name, config.ENVIRONMENTS[env_name]
        self.patience, self.render_mode = patience or float("inf"), render_mode
        self.envs: list[gym.Env] = []
        self.lanes: list[Lane | None] = [None] * lanes
        self.frames = np.zeros((-(-lanes // ROWS) * ROWS, *config.FRAME_SHAPE), np.uint8)

    def begin(self, row: int, lane: Lane) -> None:
        """Forget the last episode of a row; the first frame of the next is in `frames[row]`."""

    def act(self, active: Active) -> None:
        """Set the `action` of every active lane, float32 (3,)."""
        raise NotImplementedError

    def end(self, row: int, lane: Lane) -> None:
        """Have a look at an episode that is over; its last frame is in `frames[row]`."""

    def run(self, tasks: list[Task], report: Callable[[int, Result], None] | None = None) -> list[Result]:
        """Drive all tasks, a free lane taking the next; `report(index, result)` hears of each as it ends."""
        results: list[Result | None] = [None] * len(tasks)
        waiting = list(enumerate(tasks))[::-1]
        while True:
            for row in range(len(self.lanes)):
                if self.lanes[row] is None and waiting:
                    self._start(row, Lane(*waiting.pop()))
            active = [(row, lane) for row, lane in enumerate(self.lanes) if lane is not None]
            if not active:
                return results
            self.act(active)
            self._step(active)
            for row, lane in active:
                if lane.ended or lane.steps >= lane.task.max_length or lane.idle >= self.patience:
                    self.end(row, lane)
                    results[lane.index] = Result(self._total(lane), lane.steps)
                    self.lanes[row] = None
                    if report:
                        report(lane.index, results[lane.index])

    def _start(self, row: int, lane: Lane) -> None:
        """Put an episode at its start."""
        while len(self.envs) <= row:
            self.envs.append(make_env(self.env_name, None if self.envs else self.render_mode))
        self.lanes[row] = lane
        self.frames[row], _ = self.envs[row].reset(seed=lane.task.track)
        self.begin(row, lane)

    def _step(self, active: Active) -> None:
        for row, lane in active:
            self.frames[row], reward, terminated, truncated, _ = self.envs[row].step(lane.action)
            lane.reward = float(reward)
            lane.score += lane.reward
            lane.steps += 1
            lane.idle = 0 if reward > 0 else lane.idle + 1
            lane.ended = terminated or truncated

    def _total(self, lane: Lane) -> float:
        """The score; an abandoned episode's as if it had idled to its end."""
        if not np.isfinite(lane.score):
            raise UserError(f"environment '{self.env_name}' gave an infinite reward on track {lane.task.track}")
        left = 0 if lane.ended else lane.task.max_length - lane.steps
        return lane.score + left * self.settings.idle_reward


# --- the final score --------------------------------------------------------------------------------------------------
def print_track(index: int, result: Result) -> None:
    """Say what an episode on a fresh track gave."""
    print(f"track {index:3d}: {result.score:7.1f} in {result.steps:4d} steps", flush=True)


def summary(scores: Sequence[float] | np.ndarray, what: str = "tracks") -> str:
    """Mean ± standard deviation of scores."""
    return f"{np.mean(scores):.1f} ± {np.std(scores):.1f} over {len(scores)} {what}, lowest {min(scores):.1f}"


def score_fresh_tracks(
    lanes: Lanes, weights: np.ndarray | None, seed: int, num_episode: int, max_length: int
) -> list[float]:
    """Score a driver on tracks that no training has seen, printing each as it ends, and the mean at last."""
    tracks = config.track_seeds("report", seed, 0, num_episode)
    results = lanes.run([Task(weights, track, max_length) for track in tracks], print_track)
    scores = [result.score for result in results]
    print(summary(scores))
    return scores
