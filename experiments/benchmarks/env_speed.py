"""How fast CarRacing steps, pixels included: ours, Gymnasium's and EnvPool's, in turns.

    pip install -r requirements.txt -r experiments/benchmarks/requirements.txt
    python experiments/benchmarks/env_speed.py

About a minute. Every round has a track and a tape of actions, each held for five frames; everyone plays them on one
core, in one thread (EnvPool makes tracks of its own, and may step as many environments a call as it is fastest with).
Resets are not counted among the steps; they are timed apart. Times on one core are processor time, all threads
together: on one idle core that is the time of the clock, and on a busy machine the neighbours do not count.
"""

import os
import time
from collections.abc import Callable

import cv2
import gymnasium as gym
import numpy as np

from custom_envs.car import drive
from custom_envs.car_racing import DT, POSITION_ITERATIONS, VELOCITY_ITERATIONS, CarRacing
from experiments.benchmarks import measure
from experiments.benchmarks.measure import Crew, Row, row, take_turns

ROUNDS = 10
STEPS = 500  # an episode, of which a round plays one or more
ENVPOOL_BATCHES = (1, 4, 16)  # environments a call
RATE = "steps/s"
# What bounds the rows (profiled with time.perf_counter around each part of Raster.frame).
SOLVER = "half of our step is Box2D's solver, which runs as many iterations in theirs; the rest is the picture, below"
PICTURE = (
    "half of a picture is the car, some fourteen NumPy calls on the 36 pixels that it can reach, whose time is that of"
    " the calls; the bar of indicators and the warp of the whole playfield take an eighth each"
)

Play = Callable[[int], float]  # seed -> steps a second
Clock = Callable[[], float]


def tape_of(seed: int) -> np.ndarray:
    """(STEPS, 3) float32: a push, then random actions, each held for five frames."""
    actions = np.random.default_rng(seed).uniform((-1, 0, 0), (1, 1, 0.2), (STEPS // 5, 3))
    actions[:4] = (0, 1, 0)
    return actions.repeat(5, axis=0).astype(np.float32)


def play_env(env: gym.Env, clock: Clock = time.process_time) -> Play:
    """Anything with Gymnasium's reset and step."""

    def play(seed: int) -> float:
        env.reset(seed=seed)
        start = clock()
        for i, action in enumerate(tape_of(seed)):
            if env.step(action)[2]:
                pause = clock()
                env.reset(seed=seed + i)
                start += clock() - pause
        return STEPS / (clock() - start)

    return play


def play_physics(env: CarRacing) -> Play:
    """The car and the world of ours, without pictures: what the pictures cost is what lies above."""

    def play(seed: int) -> float:
        env.reset(seed=seed)
        car, world, actions = env.car, env.world, tape_of(seed).tolist()
        start = time.process_time()
        for steer, gas, brake in actions:
            drive(car, -steer, gas, brake, DT)
            world.Step(DT, VELOCITY_ITERATIONS, POSITION_ITERATIONS)
        return STEPS / (time.process_time() - start)

    return play


def play_envpool(batch: int, threads: int = 1, clock: Clock = time.process_time) -> Play:
    """EnvPool with so many environments a call."""
    import envpool

    env = envpool.make_gymnasium(
        "CarRacing-v3", num_envs=batch, num_threads=threads, seed=1, max_episode_steps=STEPS + 1
    )

    def play(seed: int) -> float:
        env.reset()  # all begin together, so that no reset comes in between but for those who leave the playfield
        actions = tape_of(seed)[:, None].repeat(batch, axis=1)
        start = clock()
        for action in actions:
            env.step(action)
        return STEPS * batch / (clock() - start)

    return play


def resets(env: gym.Env) -> Callable[[int], float]:
    """Resets a second."""

    def play(seed: int) -> float:
        start = time.process_time()
        for i in range(8):
            env.reset(seed=8 * seed + i)
        return 8 / (time.process_time() - start)

    return play


def prepare(number: int) -> Callable[[], int]:
    """One worker's share of two: an episode of its own."""
    cv2.setNumThreads(1)
    env, tape = CarRacing(), tape_of(number)

    def work() -> int:
        env.reset(seed=number)
        for action in tape:
            env.step(action)
        return STEPS

    return work


def in_turns(plays: dict[str, Play], rounds: int) -> dict[str, np.ndarray]:
    """Everybody plays the same seed in a round."""
    seeds = {name: iter(range(rounds + 1)) for name in plays}
    return take_turns({name: lambda name=name: plays[name](next(seeds[name])) for name in plays}, rounds)


def on_one_core() -> list[Row]:
    """All comparisons that need one core."""
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
    rates = in_turns(plays | envpools, ROUNDS)
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
            **{"goal": 1.5, "most": True, "bound": PICTURE},
        ),
        row("reset", f"{gymnasium}'s", rates["resets"], rates["their resets"], "resets/s", 1, most=True),
    ]


def on_two_cores() -> Row:
    """Two workers, resets included, beside EnvPool's two threads, which step without."""
    crew = Crew(prepare, 2)
    envpools = {batch: play_envpool(batch, threads=2, clock=time.perf_counter) for batch in ENVPOOL_BATCHES[1:]}
    plays = {"ours": lambda: crew.rate(2)} | {batch: lambda play=play: play(1) for batch, play in envpools.items()}
    rates = take_turns(plays, ROUNDS)
    best = max(envpools, key=lambda batch: np.median(rates[batch]))
    return row(
        "environment step, two cores, resets included",
        f"EnvPool 1.2.5, two threads, batch {best}",
        rates["ours"],
        rates[best],
        RATE,
        5,
        **{"goal": 7, "bound": SOLVER},
    )


def main() -> None:
    cv2.setNumThreads(1)
    cores = os.sched_getaffinity(0)
    rows = [on_two_cores()] if len(cores) > 1 else []
    os.sched_setaffinity(0, {max(cores)})
    measure.report(on_one_core() + rows)


if __name__ == "__main__":
    main()
