"""Data collection: episodes of the exploration policy, or of a trained agent that explores part of the time."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import gymnasium as gym
import numpy as np

import config
from pipeline.seeds import rng
from simulation.agent import Agent, load_agent
from simulation.environments import exploration_policy
from simulation.rollout import ROWS, Slot, Task
from simulation.simulator import Simulator

Show = Callable[[np.ndarray], object]  # displays an image, uint8 (height, width, 3)


def empty_episode(steps: int) -> dict[str, np.ndarray]:
    """The arrays of one episode, all zeros; steps after the end of the episode stay zero."""
    return {
        "obs_data": np.zeros((steps, *config.FRAME_SHAPE), np.uint8),
        "action_data": np.zeros((steps, config.ACTION_DIM), np.float32),
        "reward_data": np.zeros(steps, np.float32),
        "done_data": np.zeros(steps, bool),
    }


def record_exploration(env: gym.Env, env_seed: int, settings: dict, show: Show | None) -> dict[str, np.ndarray]:
    """Record one episode of the environment's exploration policy.

    Args:
        settings: of the batch: "env", "time_steps" and "action_refresh_rate" (frames).
        show: called with the rendered image of every step.
    Returns: the arrays of `empty_episode`, filled in.
    """
    steps = settings["time_steps"]
    explore = exploration_policy(settings["env"])
    episode = empty_episode(steps)
    exploration = rng("exploration", env_seed)
    frame, _ = env.reset(seed=env_seed)
    action, reward, done = np.zeros(config.ACTION_DIM, np.float32), 0.0, False
    for t in range(steps):
        episode["obs_data"][t], episode["reward_data"][t] = frame, reward
        if show:
            show(env.render())
        if done:
            episode["done_data"][t:] = True
            break
        action = explore(t, action, exploration, settings["action_refresh_rate"])
        episode["action_data"][t] = action
        frame, reward, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
    return episode


def record_agent_episodes(filename: Path, env_seeds: list[int], settings: dict) -> Iterator[dict[str, np.ndarray]]:
    """Record episodes of a trained agent that takes exploratory actions for a share of the time; yields each.

    The share is drawn for each episode, uniformly from 0 to settings["exploration"]: without exploration the data
    lacks recoveries from the grass, and with a constant share it lacks driving at speed.

    Args:
        filename: controller of stage 05.
        settings: as for `record_exploration`, with "exploration" (0 to 1).
    """
    agent, weights = _load_once(filename)
    steps = settings["time_steps"]
    episodes: list[dict[str, np.ndarray]] = []

    def record_step(env: gym.Env, slot: Slot, frame: np.ndarray, z: np.ndarray) -> None:
        episode, t = episodes[slot.index], slot.steps
        episode["obs_data"][t], episode["reward_data"][t] = frame, slot.reward
        if slot.ended:
            episode["done_data"][t:] = True
        else:
            episode["action_data"][t] = slot.action

    simulator = Simulator(agent, settings["env"], watch=record_step)
    for first in range(0, len(env_seeds), ROWS):  # in groups: only ROWS episodes are held in memory
        group = env_seeds[first : first + ROWS]
        episodes = [empty_episode(steps) for _ in group]
        shares = [settings["exploration"] * rng("exploration_share", env_seed).random() for env_seed in group]
        refresh_rate = settings["action_refresh_rate"]
        simulator.run(
            [
                Task(weights, env_seed, steps - 1, share, refresh_rate)
                for env_seed, share in zip(group, shares, strict=True)
            ]
        )
        yield from episodes


@cache
def _load_once(filename: Path) -> tuple[Agent, np.ndarray]:
    return load_agent(filename)
