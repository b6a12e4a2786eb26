"""Calibration of M's reward where an agent drives: predicted against observed rates, by speed and by curvature.

A search in dreams can only be as good as M's rewards along the way of the agents that it finds. Where M promises more
than the road gives, as at a speed at which the car leaves a curve, the search goes there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.plots.canvas import THEME, WIDTH, legend_above, new_figure
from simulation.agent import Agent
from simulation.policies import ControllerPolicy
from simulation.real_world import RealWorld
from simulation.rollout import Callback, Result, RolloutSettings, Slot, rollout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 8
BINS = 6  # each holds as many steps as another
REACH = 4  # tiles before and after the car's over which the curvature is measured


@dataclass(frozen=True)
class Drive:
    """An agent's episodes, T steps each: lists of an array per episode.

    Attributes:
        frames: uint8 (T, 64, 64, 3).
        actions: float32 (T, 3).
        rewards: bool (T,), whether the reward that came with the frame is positive.
        speeds: of the car, units per second (T,).
        curvatures: of the road, radians per unit (T,).
    """

    frames: list[np.ndarray]
    actions: list[np.ndarray]
    rewards: list[np.ndarray]
    speeds: list[np.ndarray]
    curvatures: list[np.ndarray]


class Watching(Callback[RealWorld]):
    """Callback that keeps frame, action, reward, speed and curvature of every step, by episode."""

    def __init__(self, episodes: int) -> None:
        self.steps: list[list[tuple]] = [[] for _ in range(episodes)]

    def on_step(self, world: RealWorld, slots: list[Slot], actions: np.ndarray) -> None:
        for slot in slots:
            env = world.envs[slot.row].unwrapped
            values = (world.frames[slot.row].copy(), actions[slot.row].copy(), slot.reward > 0, *road_of(env))
            self.steps[slot.index].append(values)

    def on_end(self, world: RealWorld, slot: Slot, result: Result) -> None:
        """Nothing: the frame after the last step was not acted on."""


def road_of(env: Any) -> tuple[float, float]:
    """The car's speed, units per second, and the road's curvature where it is, radians per unit."""
    hull, track = env.car.hull, np.array(env.track)
    nearest = int(np.hypot(*(track[:, 2:] - hull.position).T).argmin())
    ends = track[(nearest + np.array([-REACH, REACH])) % len(track)]
    turn = (ends[1, 1] - ends[0, 1] + np.pi) % (2 * np.pi) - np.pi
    between = track[(nearest + np.arange(-REACH, REACH + 1)) % len(track), 2:]
    return hull.linearVelocity.length, abs(turn) / np.hypot(*np.diff(between, axis=0).T).sum()


def drive(agent: Agent, weights: np.ndarray, settings: RolloutSettings) -> Drive:
    """Episodes of an agent on the first tracks of the settings, EPISODES at most."""
    settings = replace(settings, num_episode=min(EPISODES, settings.num_episode))
    world, watching = RealWorld(agent, settings.env), Watching(settings.num_episode)
    rollout(world, ControllerPolicy(world.rows, world.form), settings.tasks(weights), callbacks=[watching])
    episodes = [[np.stack(values) for values in zip(*steps, strict=True)] for steps in watching.steps]
    return Drive(*map(list, zip(*episodes, strict=True)))


def predicted_rates(agent: Agent, driven: Drive) -> list[np.ndarray]:
    """The probability of a positive reward at each step but the first, which M gives by all steps before: (T-1,)."""
    kernel, bias = agent.rnn.model.get_layer("mixture").get_weights()
    output = agent.sizes.mixture_outputs
    rates = []
    for frames, actions, rewards in zip(driven.frames, driven.actions, driven.rewards, strict=True):
        mu, _ = agent.vae.encode(frames, 16)
        if agent.previous_action:
            actions = np.concatenate([np.zeros_like(actions[:1]), actions[:-1]])
        inputs = np.concatenate([mu, actions, rewards[:, None]], axis=1).astype(np.float32)
        h = agent.rnn.hidden_states(inputs[None])[0, :-1]
        rates.append(1 / (1 + np.exp(-(h @ kernel[:, output] + bias[output]))))
    return rates


def binned(values: np.ndarray, rates: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of `values` (N,) in each of BINS bins of as many steps, (BINS,), and those of `rates`, (len, BINS)."""
    parts = np.array_split(np.argsort(values, kind="stable"), BINS)
    means = [[array[part].mean() for part in parts] for array in (values, *rates)]
    return np.array(means[0]), np.array(means[1:])


def draw_calibration(driven: Drive, agents: dict[str, Agent]) -> "Figure":
    """Observed and predicted rates of positive rewards: by speed above, by curvature below.

    Args:
        agents: agents, whose V and M predict, by name.
    """
    observed = np.concatenate([rewards[1:] for rewards in driven.rewards]).astype(float)
    predicted = {name: np.concatenate(predicted_rates(agent, driven)) for name, agent in agents.items()}
    figure, axes = new_figure(WIDTH, 4.8, 2)
    conditions = {"speed, units per second": driven.speeds, "curvature, radians per unit": driven.curvatures}
    for panel, (label, values) in zip(axes, conditions.items(), strict=True):
        flat = np.concatenate([of_episode[1:] for of_episode in values])
        centers, (rates, *others) = binned(flat, [observed, *predicted.values()])
        panel.plot(centers, rates, "o-", color=THEME["ink"], label="observed")
        for name, other in zip(predicted, others, strict=True):
            panel.plot(centers, other, "x--", label=name)
        panel.set(xlabel=label, ylabel="rate of reward > 0")
        panel.grid()
    legend_above(axes[0])
    return figure
