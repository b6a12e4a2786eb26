"""Who drives in stage 01: somebody who presses pedals at random, or a trained agent that now and then does the same."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import gymnasium as gym
import numpy as np

import config
from pipeline.seeds import exploration_rng
from simulation.agent import Agent, load_agent
from simulation.environments import exploration_policy
from simulation.rollout import ROWS, Slot, Task
from simulation.simulator import Simulator

Show = Callable[[np.ndarray], object]  # of a picture, uint8 (height, width, 3)


def empty_row(steps: int) -> dict[str, np.ndarray]:
    """The arrays of one episode, to be filled in; what lies after its end stays zeros."""
    return {
        "obs_data": np.zeros((steps, *config.FRAME_SHAPE), np.uint8),
        "action_data": np.zeros((steps, config.ACTION_DIM), np.float32),
        "reward_data": np.zeros(steps, np.float32),
        "done_data": np.zeros(steps, bool),
    }


def explore_episode(
    env: gym.Env, env_seed: int, settings: dict, show: Callable[[np.ndarray], object] | None
) -> dict[str, np.ndarray]:
    """Drive one episode by the environment's exploration policy; returns its arrays."""
    steps = settings["time_steps"]
    explore = exploration_policy(settings["env"])
    row = empty_row(steps)
    rng = exploration_rng(env_seed)
    frame, _ = env.reset(seed=env_seed)
    action, reward, done = np.zeros(config.ACTION_DIM, np.float32), 0.0, False
    for t in range(steps):
        row["obs_data"][t], row["reward_data"][t] = frame, reward
        if show:
            show(env.render())
        if done:
            row["done_data"][t:] = True
            break
        action = explore(t, action, rng, settings["action_refresh_rate"])
        row["action_data"][t] = action
        frame, reward, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
    return row


def drive_episodes(filename: Path, tracks: list[int], settings: dict) -> Iterator[dict[str, np.ndarray]]:
    """Drive episodes by a trained agent that explores for a share of its time; yields the arrays of each.

    The share is another one in every episode, from 0 to settings["exploration"]: a driver that is always good never
    shows how to come back to the road, and one that is always disturbed never shows the road at speed.
    """
    agent, weights = _load(filename)
    steps = settings["time_steps"]
    rows: list[dict[str, np.ndarray]] = []

    def write_down(env: gym.Env, slot: Slot, frame: np.ndarray, z: np.ndarray) -> None:
        row, t = rows[slot.index], slot.steps
        row["obs_data"][t], row["reward_data"][t] = frame, slot.reward
        if slot.ended:
            row["done_data"][t:] = True
        else:
            row["action_data"][t] = slot.action

    simulator = Simulator(agent, settings["env"], watch=write_down)
    for first in range(0, len(tracks), ROWS):  # as many as memory is flat for; each group ends together, or nearly
        group = tracks[first : first + ROWS]
        rows = [empty_row(steps) for _ in group]
        shares = [settings["exploration"] * np.random.default_rng([env_seed, 2]).random() for env_seed in group]
        refresh_rate = settings["action_refresh_rate"]
        simulator.run(
            [
                Task(weights, env_seed, steps - 1, share, refresh_rate)
                for env_seed, share in zip(group, shares, strict=True)
            ]
        )
        yield from rows


@cache
def _load(filename: Path) -> tuple[Agent, np.ndarray]:
    return load_agent(filename)
