"""How fast CarRacing steps on one core, pixels included: ours, Gymnasium's and EnvPool's, in turns.

    pip install -r requirements.txt -r benchmarks/requirements.txt
    python benchmarks/env_speed.py

About a minute. Every round has a track and a tape of actions, each held for five frames; everyone plays them on one
core, in one thread (EnvPool makes tracks of its own). Resets are not counted among the steps; they are timed apart.
Times are processor time, all threads together: on one idle core that is the time of the clock, and on a busy machine
the neighbours do not count. "Physics alone" is Gymnasium's car and Box2D without a picture: nobody who inherits them
can be faster.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from custom_envs.car_racing import CarRacing

ROUNDS = 12
STEPS = 500  # an episode, of which a round plays one or more
OURS, GYMNASIUM, ENVPOOL = "ours, 64 x 64", "Gymnasium CarRacing-v3, 96 x 96", "EnvPool CarRacing-v3, 96 x 96"
GOALS = {GYMNASIUM: 30, ENVPOOL: 4}

Play = Callable[[int, np.ndarray], float]  # (seed, tape (steps, 3)) -> seconds a step


def play_env(env: gym.Env) -> Play:
    """Anything with Gymnasium's reset and step."""

    def play(seed: int, tape: np.ndarray) -> float:
        env.reset(seed=seed)
        start = time.process_time()
        for i, action in enumerate(tape):
            if env.step(action)[2]:
                pause = time.process_time()
                env.reset(seed=seed + i)
                start += time.process_time() - pause
        return (time.process_time() - start) / len(tape)

    return play


def play_physics(env: gym.Env) -> Play:
    """The car and the world of an environment, without its pictures."""

    def play(seed: int, tape: np.ndarray) -> float:
        env.reset(seed=seed)
        car, world = env.car, env.world
        start = time.process_time()
        for steer, gas, brake in tape.astype(np.float64):
            car.steer(-steer)
            car.gas(gas)
            car.brake(brake)
            car.step(1 / 50)
            world.Step(1 / 50, 180, 60)
        return (time.process_time() - start) / len(tape)

    return play


def play_envpool() -> Play | None:
    """EnvPool with one environment and one thread; None where it is not installed."""
    try:
        import envpool
    except ImportError:
        return None
    env = envpool.make_gymnasium("CarRacing-v3", num_envs=1, num_threads=1, seed=1, max_episode_steps=10**6)

    def play(seed: int, tape: np.ndarray) -> float:
        env.reset()
        start = time.process_time()
        for action in tape[:, None]:
            if env.step(action)[2][0]:
                pause = time.process_time()
                env.step(action)  # EnvPool resets in the step after the last
                start += time.process_time() - pause
        return (time.process_time() - start) / len(tape)

    return play


def random_tape(seed: int) -> np.ndarray:
    """(STEPS, 3) float32: a push, then random actions, each held for five frames."""
    actions = np.random.default_rng(seed).uniform((-1, 0, 0), (1, 1, 0.2), (STEPS // 5, 3))
    actions[:4] = (0, 1, 0)
    return actions.repeat(5, axis=0).astype(np.float32)


def reset_seconds(env: gym.Env, seeds: range) -> float:
    """Mean time of a reset."""
    start = time.process_time()
    for seed in seeds:
        env.reset(seed=seed)
    return (time.process_time() - start) / len(seeds)


def spread(values: np.ndarray, digits: int = 0) -> str:
    """Median and range."""
    return f"{np.median(values):9,.{digits}f}  ({values.min():,.{digits}f} to {values.max():,.{digits}f})"


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    ours = CarRacing()
    theirs = gym.make("CarRacing-v3", disable_env_checker=True).unwrapped
    players: dict[str, Play | None] = {
        OURS: play_env(ours),
        "ours, 96 x 96": play_env(CarRacing(size=96)),
        GYMNASIUM: play_env(theirs),
        ENVPOOL: play_envpool(),
        "physics alone": play_physics(theirs),
    }
    seconds: dict[str, list[float]] = {name: [] for name, play in players.items() if play}
    resets: dict[str, list[float]] = {OURS: [], GYMNASIUM: []}
    for seed in range(ROUNDS):
        for name in seconds:
            seconds[name].append(players[name](seed, random_tape(seed)))
        for name, env in ((OURS, ours), (GYMNASIUM, theirs)):
            resets[name].append(reset_seconds(env, range(8 * seed, 8 * seed + 8)))

    print(
        f"{platform.processor() or platform.machine()}, one core, Python {platform.python_version()}, {ROUNDS} rounds"
    )
    print(f"\n{'':34}steps a second: median (range)      ours is times as fast")
    for name, values in seconds.items():
        times = np.array(values) / seconds[OURS]
        print(f"{name:34}{spread(1 / np.array(values)):32}{spread(times, 1)}")
    print(f"\n{'':34}milliseconds a reset")
    for name, values in resets.items():
        print(f"{name:34}{spread(1000 * np.array(values), 1)}")
    print()
    for name, goal in GOALS.items():
        if name not in seconds:
            print("EnvPool is not installed: pip install -r benchmarks/requirements.txt")
            continue
        ratio = np.median(np.array(seconds[name]) / seconds[OURS])
        print(f"{'OK       ' if ratio >= goal else 'SHORTFALL'} {ratio:.1f} times {name}; the goal is {goal}")


if __name__ == "__main__":
    main()
