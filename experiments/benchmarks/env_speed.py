"""Speed of CarRacing steps, pixels included: this project's, Gymnasium's and EnvPool's, interleaved.

    pip install -e '.[bench]'                    # EnvPool
    python experiments/benchmarks/env_speed.py

Takes two minutes. Every round has a track of its own and the actions of a driver who follows its road (driver.py),
which every environment plays on one core in one thread. EnvPool generates tracks of its own, and steps its fastest
number of environments per call. In 16 slots, as in a rollout, 16 environments are stepped in turn, on 16 tracks or on
one. Resets are timed apart from steps. Times on one core are processor time, summed over threads: on an idle core that
equals wall time, and on a busy machine other processes do not count.

EnvPool's last release for another Python, here 1.2.7 for Python 3.12:

    python3.12 -m venv env312 && env312/bin/pip install -r requirements.txt -c requirements.lock envpool==1.2.7
    PYTHONPATH=. env312/bin/python experiments/benchmarks/env_speed.py
"""

import os
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import gymnasium as gym
import numpy as np

from custom_envs.car import drive
from custom_envs.car_racing import DT, POSITION_ITERATIONS, VELOCITY_ITERATIONS, CarRacing
from experiments.benchmarks import measure
from experiments.benchmarks.driver import driving_actions
from experiments.benchmarks.measure import Row, WorkerPool, interleave, row
from pipeline.errors import UserError

ROUNDS = 10
STEPS = 500  # per episode
SLOTS_OF_A_ROLLOUT = 16  # simulation.rollout.ROWS
SLOT_STEPS = 200  # per episode in slots
ENVPOOL_BATCHES = (1, 4, 16)  # environments per call
RATE = "steps/s"
# Reasons for missed goals (profiled with time.perf_counter around each part of CarRacing.step).
SOLVER = "Box2D's solver takes a third of our step and runs as many iterations in theirs"
RASTER = (
    "physics take 25 to 30 of 50 µs; of the rest the warp of the playfield takes 4, the wheels 6, palette and color"
    " conversion 3, the bar 2, all of them near the cost of their calls from Python"
)
SLOTS = (
    "of some 14 µs more, the warp takes 4, Box2D's step and the car's physics 3 each: the data of 16 environments leave"
    " the caches. A texture of half the bytes, one of a quarter of the texels, one copied around the car and buffers"
    " that all environments share gained less than 5 %"
)

Play = Callable[[int], float]  # seed -> steps per second
Clock = Callable[[], float]


def play_env(env: gym.Env, clock: Clock = time.process_time) -> Play:
    """Steps per second of an environment with Gymnasium's interface; resets within the episode are not timed."""

    def play(seed: int) -> float:
        actions = driving_actions(seed, STEPS)
        env.reset(seed=seed)
        start = clock()
        for i, action in enumerate(actions):
            if env.step(action)[2]:
                pause = clock()
                env.reset(seed=seed + i)
                start += clock() - pause
        return STEPS / (clock() - start)

    return play


def play_slots(envs: list[CarRacing], tracks: int) -> Play:
    """Steps per second of several environments stepped in turn, on the given number of tracks."""

    def play(seed: int) -> float:
        env_seeds = [seed + slot % tracks for slot in range(len(envs))]
        actions = [driving_actions(env_seed, STEPS) for env_seed in env_seeds]
        for env, env_seed in zip(envs, env_seeds, strict=True):
            env.reset(seed=env_seed)
        start = time.process_time()
        for t in range(SLOT_STEPS):
            for env, action in zip(envs, actions, strict=True):
                env.step(action[t])
        return SLOT_STEPS * len(envs) / (time.process_time() - start)

    return play


def play_physics(env: CarRacing) -> Play:
    """Steps per second of our physics alone, without rasterization."""

    def play(seed: int) -> float:
        env.reset(seed=seed)
        car, world, actions = env.car, env.world, driving_actions(seed, STEPS).tolist()
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
        raise UserError(f"{error}: pip install -e '.[bench]'") from None

    env = envpool.make_gymnasium(
        "CarRacing-v3", num_envs=batch, num_threads=threads, seed=1, max_episode_steps=STEPS + 1
    )

    def play(seed: int) -> float:
        env.reset()  # all start together, so that only cars that leave the playfield are reset within the episode
        actions = driving_actions(seed, STEPS)[: 4 * STEPS // batch, None].repeat(batch, axis=1)
        start = clock()
        for action in actions:
            env.step(action)
        return len(actions) * batch / (clock() - start)

    return play


def resets(env: gym.Env, other: gym.Env | None = None) -> Callable[[int], float]:
    """Resets per second, to new tracks or, if given, to those that the other environment drives."""

    def play(seed: int) -> float:
        seconds = 0.0
        for env_seed in range(8 * seed, 8 * seed + 8):
            if other:
                other.reset(seed=env_seed)
            start = time.process_time()
            env.reset(seed=env_seed)
            seconds += time.process_time() - start
        return 8 / seconds

    return play


def prepare(number: int) -> Callable[[], int]:
    """The work of one of two workers: an episode of its own."""
    env, actions = CarRacing(), driving_actions(number, STEPS)

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
    slots = [CarRacing() for _ in range(SLOTS_OF_A_ROLLOUT)]
    plays = {
        "64": play_env(ours),
        "96": play_env(CarRacing(size=96)),
        "Gymnasium": play_env(theirs),
        "physics": play_physics(CarRacing()),
        "16 tracks": play_slots(slots, tracks=16),
        "one track": play_slots(slots, tracks=1),
        "resets": resets(ours),
        "shared resets": resets(ours, slots[0]),
        "their resets": resets(theirs),
    }
    envpools = {f"EnvPool {batch}": play_envpool(batch) for batch in ENVPOOL_BATCHES}
    rates = by_round(plays | envpools, ROUNDS)
    best = max(envpools, key=lambda name: np.median(rates[name]))
    envpool = f"EnvPool {version('envpool')}, one thread, batch {best.split()[1]}, 96×96"
    gymnasium, step = f"Gymnasium {gym.__version__} CarRacing-v3", "environment step"
    alone, physics = rates["64"], rates["physics"]
    in_slots = {tracks: rates[tracks] for tracks in ("16 tracks", "one track")}
    return [
        row(f"{step}, 64×64", f"{gymnasium}, 96×96", alone, rates["Gymnasium"], RATE, 45, goal=60),
        row(f"{step}, 96×96", f"{gymnasium}, 96×96", rates["96"], rates["Gymnasium"], RATE, 45, goal=60),
        row(f"{step}, 64×64", envpool, alone, rates[best], RATE, 6, goal=8, bound=SOLVER),
        row(f"{step}, 96×96", envpool, rates["96"], rates[best], RATE, 5, goal=7, bound=SOLVER),
        row(step, "its own physics", alone, physics, RATE, 1.8, goal=1.5, is_cost=True, bound=RASTER),
        *(
            row(f"{step} in 16 slots, {tracks}", "alone", slot, alone, RATE, 1.25, goal=1.1, is_cost=True, bound=SLOTS)
            for tracks, slot in in_slots.items()
        ),
        row("reset", f"{gymnasium}'s", rates["resets"], rates["their resets"], "resets/s", 1, is_cost=True),
        row(
            "reset to a track that another slot drives",
            "to a new track",
            rates["shared resets"],
            rates["resets"],
            "resets/s",
            0.25,
            is_cost=True,
        ),
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
        f"EnvPool {version('envpool')}, two threads, batch {best}",
        rates["ours"],
        rates[best],
        RATE,
        5,
        goal=7,
        bound=SOLVER,
    )


def main() -> None:
    args = measure.parse_args(__doc__)
    rows = [on_two_cores()] if cli.cores() > 1 else []
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    measure.report(args, on_one_core() + rows)


if __name__ == "__main__":
    cli.run(main, resumable=False)
