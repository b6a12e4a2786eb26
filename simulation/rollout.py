"""Rollouts in lock-step: a fixed number of episode slots, all stepped together, so one network call serves all.

A slot holds one episode; when the episode ends, the slot takes the next request. A subclass of `RolloutBatch` chooses
the actions: the world-model agent (simulator.py) or a baseline.
"""

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

import config
from pipeline.errors import UserError
from pipeline.scores import summary
from pipeline.seeds import env_seed_range, rng
from simulation.environments import make_env

# Episode slots, and rows of every network call. The last bits of a matrix product depend on its number of rows, so
# every call has this many, unused rows included: else a score would depend on how many episodes run beside it. Guarded
# by tests/test_simulate.py::test_score_does_not_depend_on_other_slots.
ROWS = 16


@dataclass(frozen=True)
class Task:
    """One rollout request: weights, environment seed, step limit.

    The weights are a controller's, float64 (867,), or a baseline's; None: the environment's exploration policy, or a
    baseline that holds its weights itself.
    """

    weights: np.ndarray | None
    env_seed: int  # in dreams: the seed of the dream
    max_length: int  # steps after which the episode is truncated
    exploration: float = 0.0  # share of the actions that the exploration policy chooses, 0..1
    refresh_rate: int = config.ACTION_REFRESH_RATE  # frames for which the exploration policy holds an action
    dream: bool = False  # roll out in the dream instead of the real environment


@dataclass(frozen=True)
class Result:
    """An episode's score (the sum of its rewards, and the charge for early truncation), and its number of steps."""

    score: float
    steps: int


Run = Callable[[list[Task]], list[Result]]


class Slot:
    """The state of one running episode.

    Attributes:
        index: position of its task in the list of requests.
        action: float32 (3,), the last action taken.
        reward, score: of the last step, and summed over the episode.
        steps, steps_without_progress: steps taken, and steps since the last positive reward.
        ended: whether the environment has ended the episode.
    """

    def __init__(self, index: int, task: Task):
        self.index, self.task = index, task
        self.rng = rng("exploration", task.env_seed)
        self.action = np.zeros(config.ACTION_DIM, np.float32)
        self.exploring = task.weights is None
        self.reward, self.score, self.steps, self.ended = 0.0, 0.0, 0, False
        self.steps_without_progress = 0

    def explores(self) -> bool:
        """Whether the exploration policy acts at this step; drawn again whenever a held action ends."""
        if self.task.exploration and self.steps % self.task.refresh_rate == 0:
            self.exploring = self.rng.random() < self.task.exploration
        return self.exploring


Active = list[tuple[int, Slot]]  # (row, slot) of every running episode


class RolloutBatch:
    """Rolls out many episodes at once; a subclass chooses the actions in `act`.

    Attributes:
        frames: uint8 (ROWS, 64, 64, 3), the current observation of each slot.

    Args:
        env_name: a key of config.ENVIRONMENTS.
        max_steps_without_progress: steps without a positive reward after which an episode is truncated early and
            charged the no-progress reward for its remaining steps. None: never, as in a final score.
        render_mode: of the first slot's environment; the others render nothing.
    """

    def __init__(
        self,
        env_name: str,
        max_steps_without_progress: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.env_name, self.settings = env_name, config.ENVIRONMENTS[env_name]
        self.max_steps_without_progress = max_steps_without_progress or float("inf")
        self.render_mode = render_mode
        self.envs: list[gym.Env] = []
        self.slots: list[Slot | None] = [None] * ROWS
        self.frames = np.zeros((ROWS, *config.FRAME_SHAPE), np.uint8)

    def begin(self, row: int, slot: Slot) -> None:
        """Reset the subclass's state of a row; `frames[row]` holds the first frame of the new episode."""

    def act(self, active: Active) -> None:
        """Set the `action` of every running episode, float32 (3,)."""
        raise NotImplementedError

    def end(self, row: int, slot: Slot) -> None:
        """Hook for the end of an episode; `frames[row]` holds its last frame."""

    def run(self, tasks: list[Task], report: Callable[[int, Result], None] | None = None) -> list[Result]:
        """Roll out all tasks; `report(index, result)` is called as each episode ends. Results are in task order."""
        results: list[Result | None] = [None] * len(tasks)
        waiting = list(enumerate(tasks))[::-1]
        while True:
            for row in range(len(self.slots)):
                if self.slots[row] is None and waiting:
                    self._start(row, Slot(*waiting.pop()))
            active = [(row, slot) for row, slot in enumerate(self.slots) if slot is not None]
            if not active:
                return results
            self.act(active)
            self._step(active)
            for row, slot in active:
                if self._is_done(slot):
                    self.end(row, slot)
                    results[slot.index] = Result(self._total(slot), slot.steps)
                    self.slots[row] = None
                    if report:
                        report(slot.index, results[slot.index])

    def _start(self, row: int, slot: Slot) -> None:
        while len(self.envs) <= row:
            self.envs.append(make_env(self.env_name, None if self.envs else self.render_mode))
        self.slots[row] = slot
        self.frames[row], _ = self.envs[row].reset(seed=slot.task.env_seed)
        self.begin(row, slot)

    def _step(self, active: Active) -> None:
        for row, slot in active:
            self.frames[row], reward, terminated, truncated, _ = self.envs[row].step(slot.action)
            slot.reward = float(reward)
            slot.score += slot.reward
            slot.steps += 1
            slot.steps_without_progress = 0 if reward > 0 else slot.steps_without_progress + 1
            slot.ended = terminated or truncated

    def _is_done(self, slot: Slot) -> bool:
        no_progress = slot.steps_without_progress >= self.max_steps_without_progress
        return slot.ended or slot.steps >= slot.task.max_length or no_progress

    def _total(self, slot: Slot) -> float:
        """The score; an episode truncated early is charged the no-progress reward up to its step limit."""
        if not np.isfinite(slot.score):
            raise UserError(
                f"environment '{self.env_name}' gave a reward that is not finite, at env_seed {slot.task.env_seed}"
            )
        remaining = 0 if slot.ended else slot.task.max_length - slot.steps
        return slot.score + remaining * self.settings.no_progress_reward


def evaluator(run: Run) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Wrap `run` as the function by which a search scores its candidates (controller.generation.Evaluate)."""

    def evaluate(
        candidates: np.ndarray, env_seeds: list[int], max_length: int, dream: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        tasks = [Task(weights, seed, max_length, dream=dream) for weights in candidates for seed in env_seeds]
        results, shape = run(tasks), (len(candidates), len(env_seeds))
        scores = np.array([result.score for result in results]).reshape(shape)
        return scores, np.array([result.steps for result in results]).reshape(shape)

    return evaluate


# --- the final score --------------------------------------------------------------------------------------------------
def print_episode(index: int, result: Result) -> None:
    """Print the score of one unseen track."""
    print(f"track {index:3d}: {result.score:7.1f} in {result.steps:4d} steps", flush=True)


def score_unseen_tracks(
    rollouts: RolloutBatch, weights: np.ndarray | None, seed: int, num_episode: int, max_length: int
) -> list[float]:
    """Score a policy on unseen tracks, those of the "report" seeds; prints each score, then mean, std and minimum."""
    env_seeds = env_seed_range("report", seed, 0, num_episode)
    results = rollouts.run([Task(weights, env_seed, max_length) for env_seed in env_seeds], print_episode)
    scores = [result.score for result in results]
    print(summary(scores))
    return scores
