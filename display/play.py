"""Somebody at the wheel who sees every step: the agent in its dream, or a person, on the road or in the dream.

A world is a track or a dream: `reset(seed)` begins it, `step(action)` goes on and says what was gained and whether it
is over, `picture(action, score, steps)` is what a window shows.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import controller.arch as controller
from display.overlay import compose
from display.video import FPS
from simulation.dream import Dreams
from simulation.dream_env import MAX_STEPS_WITHOUT_PROGRESS
from simulation.environments import make_env
from simulation.rollout import Result

if TYPE_CHECKING:
    from simulation.agent import Agent

BRAKE = 0.8  # of a key that is down; all of it locks the wheels
WARMER = 1.1  # what one press of + does to the temperature
HELP = "arrow keys drive, R begins anew, Esc ends"


class Road:
    """A track of an environment; with an agent, its reconstruction is shown beside the frame."""

    help = HELP

    def __init__(self, env_name: str, agent: "Agent | None") -> None:
        self.env, self.agent = make_env(env_name, "rgb_array"), agent

    def reset(self, seed: int) -> None:
        self.frame, _ = self.env.reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        self.frame, reward, terminated, truncated, _ = self.env.step(action)
        return float(reward), terminated or truncated

    def picture(self, action: np.ndarray, score: float, steps: int) -> np.ndarray:
        reconstruction = None
        if self.agent:
            z, _ = self.agent.vae.encode(self.frame[None], 1)
            reconstruction = self.agent.vae.decode(z)[0]
        return compose(self.env.render(), self.frame, reconstruction, action, score, steps)

    def change_temperature(self, factor: float) -> None:
        """The road has none."""


class Dream:
    """A dream of an agent's M, drawn by its V."""

    help = HELP + ", + and - change the temperature"

    def __init__(self, agent: "Agent", temperature: float, folder: Path) -> None:
        self.vae = agent.vae
        self.dreams = Dreams(agent.rnn, agent.hashes["vae"], temperature, rows=1, folder=folder)

    def reset(self, seed: int) -> None:
        self.dreams.start(0, seed)

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        [reward] = self.dreams.step(action[None])
        return float(reward), bool(self.dreams.over(MAX_STEPS_WITHOUT_PROGRESS)[0])

    def picture(self, action: np.ndarray, score: float, steps: int) -> np.ndarray:
        [drawn] = self.vae.decode(self.dreams.z)
        text = f"temperature {self.dreams.temperature:.2f}"
        return compose(drawn, drawn, None, action, score, steps, title=text)

    def change_temperature(self, factor: float) -> None:
        self.dreams.temperature *= factor


def keyboard(keys: frozenset[str]) -> np.ndarray:
    """The action, float32 (3,), of the arrow keys that are down."""
    return np.array([("right" in keys) - ("left" in keys), "up" in keys, BRAKE * ("down" in keys)], np.float32)


def dreaming_driver(dream: Dream, weights: np.ndarray) -> Callable[[frozenset[str]], np.ndarray]:
    """The controller at the wheel of a dream."""
    W, b = controller.unpack(weights[None])
    return lambda keys: controller.act(W, b, dream.dreams.z, dream.dreams.h)[0]


def episode(
    world: Road | Dream,
    seed: int,
    max_length: int,
    driver: Callable[[frozenset[str]], np.ndarray],
    show: Callable[[np.ndarray], frozenset[str]],
) -> Result:
    """One episode, begun anew whenever R is pressed; `show` shows a picture and says which keys are down."""
    while not (result := _until_r(world, seed, max_length, driver, show)):
        pass
    return result


def _until_r(
    world: Road | Dream,
    seed: int,
    max_length: int,
    driver: Callable[[frozenset[str]], np.ndarray],
    show: Callable[[np.ndarray], frozenset[str]],
) -> Result | None:
    """The same, but None when R was pressed."""
    world.reset(seed)
    score, steps, over, action = 0.0, 0, False, np.zeros(3, np.float32)
    before = show(world.picture(action, score, steps))
    while not over and steps < max_length:
        action = driver(before)
        reward, over = world.step(action)
        score, steps = score + reward, steps + 1
        keys = show(world.picture(action, score, steps))
        pressed, before = keys - before, keys
        if "r" in pressed:
            return None
        for key, factor in {"plus": WARMER, "minus": 1 / WARMER}.items():
            if key in pressed:
                world.change_temperature(factor)
    return Result(score, steps)


def by_hand(world: Road | Dream, seeds: Iterable[int], max_length: int, show: Callable) -> None:
    """A person drives one episode after the other, at the pace of life, until the window is closed."""
    print(world.help)
    paced = at_pace(show, FPS)
    with suppress(KeyboardInterrupt):
        for seed in seeds:
            result = episode(world, seed, max_length, keyboard, paced)
            print(f"score {result.score:.1f} in {result.steps} steps", flush=True)


def at_pace(show: Callable, fps: int) -> Callable:
    """The same, at most so many times a second."""
    due = time.monotonic()

    def show_in_time(picture: np.ndarray) -> frozenset[str]:
        nonlocal due
        due = max(due + 1 / fps, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        return show(picture)

    return show_in_time
