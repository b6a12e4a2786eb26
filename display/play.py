"""Interactive episodes: a person or an agent acts in the real environment or in the dream, with every step displayed.

Both worlds have the same interface: `reset(seed)` starts an episode, `step(action)` returns reward and done, and
`render(action, score, steps)` returns the image to display.
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
from simulation.dream import DreamBatch
from simulation.dream_env import MAX_STEPS_WITHOUT_PROGRESS
from simulation.environments import make_env
from simulation.rollout import Result

if TYPE_CHECKING:
    from simulation.agent import Agent

KEY_BRAKE = 0.8  # brake while its key is down; from 0.9 on the wheels lock
TEMPERATURE_FACTOR = 1.1  # by which one press of + multiplies the temperature
HELP = "arrow keys: drive, R: restart the episode, Esc: quit"

Keys = frozenset[str]  # names of the keys that are down, of display.viewer.KEYS
Policy = Callable[[Keys], np.ndarray]  # returns an action, float32 (3,)
Show = Callable[[np.ndarray], Keys]  # displays an image, uint8 (H, W, 3)


class RealWorld:
    """An episode of an environment; with an agent, the reconstruction of each frame is displayed beside it."""

    help = HELP

    def __init__(self, env_name: str, agent: "Agent | None") -> None:
        self.env, self.agent = make_env(env_name, "rgb_array"), agent

    def reset(self, seed: int) -> None:
        self.frame, _ = self.env.reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        self.frame, reward, terminated, truncated, _ = self.env.step(action)
        return float(reward), terminated or truncated

    def render(self, action: np.ndarray, score: float, steps: int) -> np.ndarray:
        reconstruction = None
        if self.agent:
            z, _ = self.agent.vae.encode(self.frame[None], 1)
            reconstruction = self.agent.vae.decode(z)[0]
        return compose(self.env.render(), self.frame, reconstruction, action, score, steps)

    def scale_temperature(self, factor: float) -> None:
        """Do nothing: only dreams have a temperature."""


class DreamWorld:
    """A dream of an agent's M, decoded by its V."""

    help = HELP + ", + and -: change the temperature"

    def __init__(self, agent: "Agent", temperature: float, folder: Path) -> None:
        self.vae = agent.vae
        self.dreams = DreamBatch(agent.rnn, agent.hashes["vae"], temperature, rows=1, folder=folder)

    def reset(self, seed: int) -> None:
        self.dreams.start(0, seed)

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        [reward] = self.dreams.step(action[None])
        return float(reward), bool(self.dreams.is_done(MAX_STEPS_WITHOUT_PROGRESS)[0])

    def render(self, action: np.ndarray, score: float, steps: int) -> np.ndarray:
        [frame] = self.vae.decode(self.dreams.z)
        text = f"temperature {self.dreams.temperature:.2f}"
        return compose(frame, frame, None, action, score, steps, title=text)

    def scale_temperature(self, factor: float) -> None:
        self.dreams.temperature *= factor


World = RealWorld | DreamWorld


def keyboard_policy(keys: Keys) -> np.ndarray:
    """The action, float32 (3,), of the arrow keys that are down."""
    return np.array([("right" in keys) - ("left" in keys), "up" in keys, KEY_BRAKE * ("down" in keys)], np.float32)


def controller_policy(world: DreamWorld, weights: np.ndarray) -> Policy:
    """A controller's policy in a dream; it ignores the keys."""
    W, b = controller.unpack(weights[None])
    return lambda keys: controller.act(W, b, world.dreams.z, world.dreams.h)[0]


def run_episode(world: World, seed: int, max_length: int, policy: Policy, show: Show) -> Result:
    """Run one episode, displaying every step; R restarts it, + and - change the temperature.

    An action is chosen from the keys that were down when the frame before it was displayed.
    """
    while not (result := _run_until_restart(world, seed, max_length, policy, show)):
        pass
    return result


def _run_until_restart(world: World, seed: int, max_length: int, policy: Policy, show: Show) -> Result | None:
    """Run one episode; returns None as soon as R is pressed."""
    world.reset(seed)
    score, steps, done, action = 0.0, 0, False, np.zeros(3, np.float32)
    held = show(world.render(action, score, steps))
    while not done and steps < max_length:
        action = policy(held)
        reward, done = world.step(action)
        score, steps = score + reward, steps + 1
        keys = show(world.render(action, score, steps))
        pressed, held = keys - held, keys
        if "r" in pressed:
            return None
        for key, factor in {"plus": TEMPERATURE_FACTOR, "minus": 1 / TEMPERATURE_FACTOR}.items():
            if key in pressed:
                world.scale_temperature(factor)
    return Result(score, steps)


def play_episodes(world: World, seeds: Iterable[int], max_length: int, show: Show) -> None:
    """Let a person drive one episode per seed, in real time, until the window is closed; prints each score."""
    print(world.help)
    show_in_real_time = limit_fps(show, FPS)
    with suppress(KeyboardInterrupt):
        for seed in seeds:
            result = run_episode(world, seed, max_length, keyboard_policy, show_in_real_time)
            print(f"score {result.score:.1f} in {result.steps} steps", flush=True)


def limit_fps(show: Show, fps: int) -> Show:
    """Wrap `show` so that it sleeps before displaying more than `fps` images a second."""
    due = time.monotonic()

    def show_when_due(image: np.ndarray) -> Keys:
        nonlocal due
        due = max(due + 1 / fps, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        return show(image)

    return show_when_due
