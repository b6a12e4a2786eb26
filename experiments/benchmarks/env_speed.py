"""Speed of CarRacing steps, pixels included: this project's, Gymnasium's and EnvPool's, interleaved.

    pip install -e '.[compare]'                  # EnvPool
    python experiments/benchmarks/env_speed.py

Takes about a minute. Every round has one track and one sequence of actions, each held for five frames, which every
environment plays on one core in one thread. EnvPool generates tracks of its own, and steps its fastest number of
environments per call. Resets are timed apart from steps. Times on one core are processor time, summed over threads:
on an idle core that equals wall time, and on a busy machine other processes do not count.
"""

import os
import time
from collections.abc import Callable
from functools import partial

try:
    from pipeline import cli
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: run `make setup` and start this with .venv/bin/python") from None

import cv2
import gymnasium as gym
import numpy as np

from custom_envs.car import drive
from custom_envs.car_racing import DT, POSITION_ITERATIONS, VELOCITY_ITERATIONS, CarRacing
from experiments.benchmarks import measure
from experiments.benchmarks.measure import Row, WorkerPool, interleave, row
from pipeline.errors import UserError

ROUNDS = 10
STEPS = 500  # per episode
ENVPOOL_BATCHES = (1, 4, 16)  # environments per call
RATE = "steps/s"
# Reasons for missed goals (profiled with time.perf_counter around each part of Raster.frame).
SOLVER = "Box2D's solver takes half of our step and runs as many iterations in theirs; rasterization takes the rest"
RASTER = (
    "the car takes half of a frame's time, mostly the overhead of some fourteen NumPy calls on few pixels; the"
    " indicator bar and the warp of the playfield take an eighth each"
)

Play = Callable[[int], float]  # seed -> steps per second
Clock = Callable[[], float]


def actions_of(seed: int) -> np.ndarray:
    """Actions of an episode, float32 (STEPS, 3): full gas, then random actions, each held for five frames."""
    actions = np.random.default_rng(seed).uniform((-1, 0, 0), (1, 1, 0.2), (STEPS // 5, 3))
    actions[:4] = (0, 1, 0)
    return actions.repeat(5, axis=0).astype(np.float32)


def play_env(env: gym.Env, clock: Clock = time.process_time) -> Play:
    """Steps per second of an environment with Gymnasium's interface; resets within the episode are not timed."""

    def play(seed: int) -> float:
        env.reset(seed=seed)
        start = clock()
        for i, action in enumerate(actions_of(seed)):
            if env.step(action)[2]:
                pause = clock()
                env.reset(seed=seed + i)
                start += clock() - pause
        return STEPS / (clock() - start)

    return play


def play_physics(env: CarRacing) -> Play:
    """Steps per second of our physics alone, without rasterization."""

    def play(seed: int) -> float:
        env.reset(seed=seed)
        car, world, actions = env.car, env.world, actions_of(seed).tolist()
        assert car is not None
        start = time.process_time()
        for steer, gas, brake in actions:
            drive(car, -steer, gas, brake, DT)
            world.Step(DT, VELOCITY_ITERATIONS, POSITION_ITERATIONS)
        return STEPS / (time.process_time() - start)

    return play


def play_envpool(batch: int, threads: int = 1, clock: Clock = time.process_time) -> Play:
    """Steps per second of EnvPool with `batch` environments per call.

    Raises:
        UserError: EnvPool is not installed.
    """
    try:
        import envpool
    except ModuleNotFoundError as error:
        raise UserError(f"{error}: pip install -e '.[compare]'") from None

    env = envpool.make_gymnasium(
        "CarRacing-v3", num_envs=batch, num_threads=threads, seed=1, max_episode_steps=STEPS + 1
    )

    def play(seed: int) -> float:
        env.reset()  # all start together, so that only cars that leave the playfield are reset within the episode
        actions = actions_of(seed)[:, None].repeat(batch, axis=1)
        start = clock()
        for action in actions:
            env.step(action)
        return STEPS * batch / (clock() - start)

    return play


def resets(env: gym.Env) -> Callable[[int], float]:
    """Resets per second."""

    def play(seed: int) -> float:
        start = time.process_time()
        for i in range(8):
            env.reset(seed=8 * seed + i)
        return 8 / (time.process_time() - start)

    return play


def prepare(number: int) -> Callable[[], int]:
    """The work of one of two workers: an episode of its own."""
    cv2.setNumThreads(1)
    env, actions = CarRacing(), actions_of(number)

    def work() -> int:
        env.reset(seed=number)
        for action in actions:
            env.step(action)
        return STEPS

    return work


def by_round(plays: dict[str, Play], rounds: int) -> dict[str, np.ndarray]:
    """Interleave the plays; all play the same seed in a round."""

    def in_turn(play: Play) -> Callable[[], float]:
        seeds = iter(range(rounds + 1))
        return lambda: play(next(seeds))

    return interleave({name: in_turn(play) for name, play in plays.items()}, rounds)


def on_one_core() -> list[Row]:
    """The comparisons on one core."""
    ours, theirs = CarRacing(), gym.make("CarRacing-v3", disable_env_checker=True).unwrapped
    plays = {
        "64": play_env(ours),
        "96": play_env(CarRacing(size=96)),
        "Gymnasium": play_env(theirs),
        "physics": play_physics(CarRacing()),
        "resets": resets(ours),
        "their resets": resets(theirs),
    }
    envpools = {f"EnvPool {batch}": play_envpool(batch) for batch in ENVPOOL_BATCHES}
    rates = by_round(plays | envpools, ROUNDS)
    best = max(envpools, key=lambda name: np.median(rates[name]))
    envpool = f"EnvPool 1.2.5, one thread, batch {best.split()[1]}"
    gymnasium = f"Gymnasium {gym.__version__} CarRacing-v3"
    return [
        row("environment step, 64×64", f"{gymnasium}, 96×96", rates["64"], rates["Gymnasium"], RATE, 45, goal=60),
        row("environment step, 96×96", f"{gymnasium}, 96×96", rates["96"], rates["Gymnasium"], RATE, 45, goal=60),
        row("environment step, 64×64", f"{envpool}, 96×96", rates["64"], rates[best], RATE, 5, goal=7, bound=SOLVER),
        row("environment step, 96×96", f"{envpool}, 96×96", rates["96"], rates[best], RATE, 4, goal=7, bound=SOLVER),
        row(
            "environment step",
            "its own physics",
            rates["64"],
            rates["physics"],
            RATE,
            1.9,
            goal=1.5,
            is_cost=True,
            bound=RASTER,
        ),
        row("reset", f"{gymnasium}'s", rates["resets"], rates["their resets"], "resets/s", 1, is_cost=True),
    ]


def on_two_cores() -> Row:
    """Two workers, resets included, beside two threads of EnvPool, resets excluded."""
    workers = WorkerPool(prepare, 2)
    plays: dict[str, Callable[[], float]] = {"ours": lambda: workers.rate(2)}
    for batch in ENVPOOL_BATCHES[1:]:
        plays[str(batch)] = partial(play_envpool(batch, threads=2, clock=time.perf_counter), 1)
    rates = interleave(plays, ROUNDS)
    best = max(list(plays)[1:], key=lambda batch: np.median(rates[batch]))
    return row(
        "environment step, two cores, resets included",
        f"EnvPool 1.2.5, two threads, batch {best}",
        rates["ours"],
        rates[best],
        RATE,
        5,
        goal=7,
        bound=SOLVER,
    )


def main() -> None:
    args = measure.parse_args(__doc__)
    cv2.setNumThreads(1)
    rows = [on_two_cores()] if cli.cores() > 1 else []
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    measure.report(args, on_one_core() + rows)


if __name__ == "__main__":
    cli.run(main, resumable=False)
