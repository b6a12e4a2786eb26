"""Data collection: a callback that records the episodes of a rollout, for stage 01."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TypeVar

import numpy as np

import config
from pipeline.batches import ObsSettings
from pipeline.sizes import CAR
from simulation.agent import Agent
from simulation.environments import exploration_policy
from simulation.policies import ControllerPolicy, ExplorationPolicy, PartlyExploringPolicy
from simulation.real_world import EnvironmentWorld, RealWorld
from simulation.rollout import Callback, Policy, Result, Slot, Task, rollout

Episode = dict[str, np.ndarray]
W = TypeVar("W", bound=EnvironmentWorld)


def empty_episode(steps: int, actions: int = CAR.actions) -> Episode:
    """The arrays of one episode, all zeros; steps after the end of the episode stay zero."""
    return {
        "obs_data": np.zeros((steps, *config.FRAME_SHAPE), np.uint8),
        "action_data": np.zeros((steps, actions), np.float32),
        "reward_data": np.zeros(steps, np.float32),
        "done_data": np.zeros(steps, bool),
    }


class Recorder(Callback[EnvironmentWorld]):
    """Callback that records the first `steps` frames of each episode, with actions and rewards.

    Attributes:
        episodes: the arrays of `empty_episode`, filled in, of each task.
    """

    def __init__(self, num_episodes: int, steps: int, actions: int = CAR.actions) -> None:
        self.steps, self.episodes = steps, [empty_episode(steps, actions) for _ in range(num_episodes)]

    def on_step(self, world: EnvironmentWorld, slots: list[Slot], actions: np.ndarray) -> None:
        for slot in slots:
            self._observe(world, slot)["action_data"][slot.steps] = actions[slot.row]

    def on_end(self, world: EnvironmentWorld, slot: Slot, result: Result) -> None:
        if slot.steps < self.steps:
            episode = self._observe(world, slot)
            episode["done_data"][slot.steps :] = slot.done
            if not slot.done:  # truncated: no action follows the last frame, which repeats the one before
                episode["action_data"][slot.steps] = episode["action_data"][slot.steps - 1]

    def _observe(self, world: EnvironmentWorld, slot: Slot) -> Episode:
        episode, t = self.episodes[slot.index], slot.steps
        episode["obs_data"][t], episode["reward_data"][t] = world.frames[slot.row], slot.reward
        return episode


def record_episodes(
    world: W, policy: Policy[W], tasks: Sequence[Task], steps: int, callbacks: Sequence[Callback[W]] = ()
) -> Iterator[Episode]:
    """Roll out the tasks and yield the arrays of each episode, see `empty_episode`."""
    assert world.actions is not None  # its environment is in config.py
    for first in range(0, len(tasks), world.rows):  # in groups: only one episode per row is held in memory
        group = tasks[first : first + world.rows]
        recorder = Recorder(len(group), steps, world.actions.count)
        rollout(world, policy, group, callbacks=[recorder, *callbacks])
        yield from recorder.episodes


def record_exploration(
    settings: ObsSettings,
    env_seeds: Sequence[int],
    callbacks: Sequence[Callback[EnvironmentWorld]] = (),
    render_mode: str | None = None,
) -> Iterator[Episode]:
    """Record episodes of the environment's exploration policy, one after the other."""
    world = EnvironmentWorld(settings.env, rows=1, render_mode=render_mode)
    explore = exploration_policy(settings.env)
    policy = ExplorationPolicy(explore, world.rows, settings.action_refresh_rate, settings.actions)
    tasks = [Task(env_seed, settings.time_steps) for env_seed in env_seeds]
    with closing(world):
        yield from record_episodes(world, policy, tasks, settings.time_steps, callbacks)


def record_agent(
    agent: Agent, weights: np.ndarray, settings: ObsSettings, env_seeds: Sequence[int]
) -> Iterator[Episode]:
    """Record episodes of a trained agent that takes exploratory actions for a share of the time.

    Args:
        weights: of the controller, float64 (867,).
        settings: with `exploration`, the upper limit of the share.
    """
    world = RealWorld(agent, settings.env)
    explore = exploration_policy(settings.env)
    exploration = ExplorationPolicy(explore, world.rows, settings.action_refresh_rate, settings.actions)
    acting, share = ControllerPolicy(world.rows, world.form), settings.exploration or 0.0
    policy = PartlyExploringPolicy(acting, exploration, share, world.rows)
    tasks = [Task(env_seed, settings.time_steps - 1, weights) for env_seed in env_seeds]
    with closing(world):
        yield from record_episodes(world, policy, tasks, settings.time_steps)
