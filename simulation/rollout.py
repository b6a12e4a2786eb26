"""The rollout: episodes in lock-step in the rows of a world, so that one network call serves all of them.

A *world* holds many episodes side by side: the real environment (real_world.py) or the dream (dream.py). A *policy*
chooses the actions (policies.py), and *callbacks* record or display what happens. `rollout` drives them: an episode
that ends makes room in its row for the next task.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from pipeline.errors import UserError
from pipeline.scores import summary
from pipeline.seeds import env_seed_range
from pipeline.settings import Settings

NO_WEIGHTS = np.zeros(0)


@dataclass(frozen=True)
class Task:
    """One episode to roll out; with the world and the policy it determines the score.

    Attributes:
        env_seed: seed of the environment; in dreams, of the dream.
        max_length: steps after which the episode is truncated.
        weights: parameters of the policy, float64 (n,); empty for a policy that needs none from the task.
    """

    env_seed: int
    max_length: int
    weights: np.ndarray = field(default_factory=lambda: NO_WEIGHTS)


@dataclass(frozen=True)
class Result:
    """An episode's score (the sum of its rewards, and the charge for early truncation), and its number of steps."""

    score: float
    steps: int


@dataclass(slots=True, eq=False)
class Slot:
    """The state of one running episode.

    Attributes:
        row: the row of the world that holds it.
        index: position of its task in the list of tasks.
        reward, score: of the last step, and summed over the episode.
        steps, steps_without_progress: steps taken, and steps since the last positive reward.
        done: whether the world has ended the episode; False after a truncation.
    """

    row: int
    index: int
    task: Task
    reward: float = 0.0
    score: float = 0.0
    steps: int = 0
    steps_without_progress: int = 0
    done: bool = False


class World(Protocol):
    """Episodes side by side, one per row.

    Attributes:
        name: for error messages.
        rows: number of episodes that it holds at once.
        no_progress_reward: charged for each remaining step of an episode that is truncated for lack of progress. None:
            no episode is.
    """

    name: str
    rows: int
    no_progress_reward: float | None = None

    def reset(self, row: int, seed: int) -> None:
        """Start an episode in a row."""

    def step(self, actions: np.ndarray, rows: list[int]) -> tuple[list[float], list[bool]]:
        """Take the actions (rows, ...) of the `rows` that run an episode.

        Returns: reward and done of every row, undefined where no episode runs; lists, because the rollout reads them
            one by one, which takes three times as long in an array.
        """


W = TypeVar("W", bound=World)
W_contra = TypeVar("W_contra", bound=World, contravariant=True)


class Policy(Generic[W_contra]):
    """Chooses the actions in a kind of world; subclass it, and override what is needed."""

    def reset(self, slot: Slot) -> None:
        """Prepare for the episode that begins in a slot."""

    def act(self, world: W_contra, slots: list[Slot]) -> np.ndarray:
        """The actions of all rows, (rows, ...); those without a running episode are ignored."""
        raise NotImplementedError


class Callback(Generic[W_contra]):
    """Observes a rollout; subclass it, and override what is needed."""

    def on_step(self, world: W_contra, slots: list[Slot], actions: np.ndarray) -> None:
        """Called when the actions (rows, ...) are chosen and not yet taken."""

    def on_end(self, world: W_contra, slot: Slot, result: Result) -> None:
        """Called when an episode has ended; the world still shows its last state."""


def rollout(
    world: W,
    policy: Policy[W],
    tasks: Sequence[Task],
    max_steps_without_progress: int | None = None,
    callbacks: Sequence[Callback[W]] = (),
) -> list[Result]:
    """Roll out all tasks; returns their results in task order.

    Args:
        max_steps_without_progress: steps without a positive reward after which an episode is truncated early and
            charged the no-progress reward for its remaining steps. None or 0: never, as in a final score; nor in a
            world without that reward.

    Raises:
        UserError: a reward is not finite.
    """
    results: list[Result] = [Result(0.0, 0)] * len(tasks)
    waiting = list(enumerate(tasks))[::-1]
    free = list(range(world.rows))[::-1]
    slots: list[Slot] = []
    limit = (max_steps_without_progress or math.inf) if world.no_progress_reward is not None else math.inf
    while waiting or slots:
        while free and waiting:
            slot = Slot(free.pop(), *waiting.pop())
            world.reset(slot.row, slot.task.env_seed)
            policy.reset(slot)
            slots.append(slot)
        for slot in _until_one_ends(world, policy, slots, limit, callbacks):
            results[slot.index] = _result(world, slot)
            for callback in callbacks:
                callback.on_end(world, slot, results[slot.index])
            free.append(slot.row)
            slots.remove(slot)
    return results


def _until_one_ends(
    world: W, policy: Policy[W], slots: list[Slot], max_steps_without_progress: float, callbacks: Sequence[Callback[W]]
) -> list[Slot]:
    """Take steps in all slots until an episode ends; returns those that have ended."""
    rows = [slot.row for slot in slots]
    ended: list[Slot] = []
    while not ended:
        actions = policy.act(world, slots)
        for callback in callbacks:
            callback.on_step(world, slots, actions)
        rewards, dones = world.step(actions, rows)
        for slot in slots:
            slot.reward, slot.done = reward, done = rewards[slot.row], dones[slot.row]
            slot.score += reward
            slot.steps += 1
            slot.steps_without_progress = 0 if reward > 0 else slot.steps_without_progress + 1
            no_progress = slot.steps_without_progress >= max_steps_without_progress
            if done or no_progress or slot.steps >= slot.task.max_length:
                ended.append(slot)
    return ended


def _result(world: World, slot: Slot) -> Result:
    """The result of an ended episode; one truncated early is charged the no-progress reward up to its step limit."""
    if not math.isfinite(slot.score):
        raise UserError(f"{world.name} gave a reward that is not finite, at env_seed {slot.task.env_seed}")
    remaining = 0 if slot.done else slot.task.max_length - slot.steps
    return Result(slot.score + remaining * (world.no_progress_reward or 0.0), slot.steps)


# --- scores -----------------------------------------------------------------------------------------------------------
Run = Callable[[str, list[Task]], list[Result]]  # rolls out tasks in the world of a name, "real" or "dream"


def evaluator(run: Run) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Wrap `run` as the function by which a search scores its candidates (controller.generation.Evaluate)."""

    def evaluate(
        candidates: np.ndarray, env_seeds: list[list[int]], max_length: int, dream: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = zip(candidates, env_seeds, strict=True)
        tasks = [Task(env_seed, max_length, weights) for weights, row in rows for env_seed in row]
        results, shape = run("dream" if dream else "real", tasks), (len(candidates), -1)
        scores = np.array([result.score for result in results]).reshape(shape)
        return scores, np.array([result.steps for result in results]).reshape(shape)

    return evaluate


def print_score(index: int, result: Result) -> None:
    """Print the score of one track."""
    print(f"track {index:3d}: {result.score:7.1f} in {result.steps:4d} steps", flush=True)


class PrintScores(Callback[World]):
    """Callback that prints the score of every episode."""

    def on_end(self, world: World, slot: Slot, result: Result) -> None:
        print_score(slot.index, result)


@dataclass(frozen=True, kw_only=True)
class RolloutSettings(Settings):
    """Settings of a score over unseen tracks: what it depends on, beside the world and the policy."""

    env: str  # a key of config.ENVIRONMENTS
    seed: int  # run seed of the tracks, those of the "report" seeds
    num_episode: int
    max_length: int
    max_steps_without_progress: int = 0  # 0: never truncated early, as in a final score

    def tasks(self, weights: np.ndarray = NO_WEIGHTS) -> list[Task]:
        """A task per track, with the same weights of the policy."""
        env_seeds = env_seed_range("report", self.seed, 0, self.num_episode)
        return [Task(env_seed, self.max_length, weights) for env_seed in env_seeds]


def score_unseen_tracks(
    world: W, policy: Policy[W], settings: RolloutSettings, weights: np.ndarray = NO_WEIGHTS
) -> list[float]:
    """Score a policy on unseen tracks; prints each score, then mean, std and minimum."""
    limit = settings.max_steps_without_progress
    results = rollout(world, policy, settings.tasks(weights), limit, [PrintScores()])
    scores = [result.score for result in results]
    print(summary(scores))
    return scores
