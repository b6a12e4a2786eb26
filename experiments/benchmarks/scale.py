"""Where more ranks stop paying: measured on this machine for 1 to 8 of them, and by a model for as many as 1,024.

    python experiments/benchmarks/scale.py

Measured: agent-steps/s of stage 05 itself under mpirun. There are as many cores as there are; more ranks than that
share them.

The model takes lengths of episodes, as untrained controllers drive them, and deals them out as Ranks.map does. A
rank's time is its resets and the number of its lock-step steps times what such a step costs with so many lanes at work
(a fixed part, for the networks always see 16 rows, and a part for every lane that drives), all measured here on one
rank. To the slowest rank's time come the messages, all through the leader's network card, and the leader's own work,
measured here. It assumes a core of this kind for every rank, and 1 Gbit/s, 0.1 ms a message.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import config
import controller.arch as controller
from controller.coordinates import principal_subspace
from experiments.benchmarks import measure
from experiments.benchmarks.measure import ROOT
from pipeline.seeds import env_seed_range

GENERATIONS, TRACKS, POPULATION = 3, 2, 64
MEASURED, MODELLED = (1, 2, 4, 8), (16, 32, 64, 128, 256, 512, 1024)
POPULATIONS = (64, 1024, 8192)
BYTES_A_SECOND, MESSAGE_SECONDS = 125e6, 1e-4


def prepare(folder: Path) -> None:
    """Networks with random weights: to the speed they are as good as any."""
    from pipeline.networks import set_threads
    from rnn.arch import RNN
    from vae.arch import VAE

    set_threads(1)
    VAE().save(folder / config.VAE_DIR / "weights.h5", {"settings": {}})
    RNN().save(folder / config.RNN_DIR / "weights.h5", {"settings": {}})


def measured(folder: Path, ranks: int) -> float:
    """Agent-steps/s of stage 05 on so many ranks."""
    command = f"05_train_controller.py car_racing -n {POPULATION} -t 1 -e {TRACKS} --subspace 0"
    script, *arguments = f"{command} --generations {GENERATIONS} --eval_steps 99 --new_model".split()
    environment = {name: value for name, value in os.environ.items() if name not in measure.ONE_THREAD}
    mpirun = [Path(sys.executable).with_name("mpirun"), "-np", str(ranks)]
    subprocess.run(
        [*mpirun, sys.executable, ROOT / script, *arguments],
        **{"cwd": folder, "env": environment, "check": True, "stdout": subprocess.DEVNULL},
    )
    [history] = (folder / config.LOG_DIR).glob("*.hist.json")
    rows = json.loads(history.read_text())
    steps = sum(row["mean steps"] for row in rows[1:]) * POPULATION * TRACKS
    return steps / (rows[-1]["seconds"] - rows[0]["seconds"])


def lock_step_costs() -> tuple[float, float, float, np.ndarray]:
    """Seconds of a lock-step step: the fixed part, and the part a lane adds; of a reset; lengths of some episodes."""
    from simulation.agent import Agent
    from simulation.rollout import ROWS, Task
    from simulation.simulator import Simulator

    simulator = Simulator(Agent(), "car_racing", max_steps_without_progress=100)
    rng = np.random.default_rng(0)
    tracks = env_seed_range("explore", 2, 0, 2 * ROWS)
    weights = rng.normal(0, 0.1, (len(tracks), controller.NUM_WEIGHTS))

    def seconds(slots: int, steps: int) -> float:
        start = time.perf_counter()
        simulator.run([Task(weights[0], env_seed, steps) for env_seed in tracks[:slots]])
        return time.perf_counter() - start

    def median(slots: int) -> tuple[float, float]:
        """Seconds of one step, and of the resets before the first."""
        seconds(slots, 10)
        short, long = np.median([[seconds(slots, steps) for steps in (10, 70)] for _ in range(5)], axis=0)
        step = (long - short) / 60
        return step, short - 10 * step

    (one, _), (all_lanes, resets) = median(1), median(ROWS)
    slot = (all_lanes - one) / (ROWS - 1)
    results = simulator.run([Task(w, env_seed, 1000) for w, env_seed in zip(weights, tracks, strict=True)])
    return one - slot, slot, max(resets, 0) / ROWS, np.array([result.steps for result in results])


def leader_seconds(folder: Path, population: int) -> float:
    """Asking, telling and saving one generation in the default's 147 coordinates."""
    from controller.search import ControllerSearch

    os.chdir(folder)
    settings = {"vae": "", "rnn": "", "seed": 1, "max_length": 1000, "population": population, "optimizer": "cma"}
    settings |= {"sigma_init": 0.1, "sigma_decay": 1.0, "retrain": 0, "num_episode": TRACKS, "joint_steps": 30}
    settings |= {"sample_z": 0, "previous_action": 0, "dream_mode": 0, "hard_tracks": 0}
    features = np.random.default_rng(0).normal(size=(1000, controller.FEATURES))
    zeros = np.zeros(controller.NUM_WEIGHTS)
    search = ControllerSearch("scale", settings, principal_subspace(zeros, features, 48))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        search.ask()
        search.tell(np.random.default_rng(1).normal(size=(population, TRACKS)), np.ones((population, TRACKS)), 0.0)
        search.save()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def lock_step(lengths: np.ndarray, slots: int, fixed: float, slot: float, reset: float) -> float:
    """Seconds for one rank to drive episodes of these lengths, a free lane taking the next."""
    ends = np.zeros(slots)
    for length in lengths:
        ends[ends.argmin()] += length
    return fixed * ends.max() + slot * lengths.sum() + reset * len(lengths)


def modelled(population: int, ranks: int, costs: tuple, leader: float) -> float:
    """Agent-steps/s of a generation."""
    *costs_a_step, some = costs
    lengths = np.random.default_rng(0).choice(some, population * TRACKS)
    slowest = max(lock_step(lengths[rank::ranks], 16, *costs_a_step) for rank in range(min(ranks, len(lengths))))
    busy = min(ranks, len(lengths)) - 1
    messages = busy * 2 * MESSAGE_SECONDS + message_bytes(population, ranks) / BYTES_A_SECOND
    return lengths.sum() / (slowest + messages + leader)


def message_bytes(population: int, ranks: int) -> int:
    """What the leader sends in a generation; what comes back is a hundredth of it."""
    from mpi4py import MPI

    from simulation.rollout import Task

    weights = np.zeros((population, controller.NUM_WEIGHTS))
    tasks = [Task(w, env_seed, 1000) for w in weights for env_seed in range(TRACKS)]
    shares = [tasks[rank::ranks] for rank in range(1, ranks)]
    return sum(len(MPI.pickle.dumps(share)) for share in shares if share)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        rates = [measured(folder, ranks) for ranks in MEASURED]
        os.environ.update(measure.ONE_THREAD)
        costs = lock_step_costs()
        leaders = {population: leader_seconds(folder, population) for population in POPULATIONS}
        os.chdir(ROOT)
    sent = ", ".join(f"{message_bytes(population, 2):,}" for population in POPULATIONS)
    worked = ", ".join(f"{1000 * leaders[population]:.0f}" for population in POPULATIONS)
    notes = [
        f"Ranks on the {len(os.sched_getaffinity(0))} cores of this machine, population {POPULATION} × {TRACKS} tracks."
        f" For populations of {', '.join(f'{population:,}' for population in POPULATIONS)} a leader sends {sent} bytes"
        f" a generation to a second rank (to many, almost twice that), and its own work in the 147 coordinates of the"
        f" default takes {worked} ms.",
        "",
        f"| ranks | {' | '.join(map(str, MEASURED))} |",
        "|---|" + "---|" * len(MEASURED),
        "| agent-steps/s, measured | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |",
        "",
        f"By the model of `experiments/benchmarks/scale.py` (a lock-step step costs {1000 * costs[0]:.2f} ms and"
        f" {1000 * costs[1]:.3f} ms a lane, a reset {1000 * costs[2]:.1f} ms; one core a rank; all messages through"
        f" the leader's card of 1 Gbit/s, 0.1 ms each; episodes of {costs[3].mean():.0f} steps on average):",
        "",
        f"| agent-steps/s, modelled: ranks | {' | '.join(f'{ranks:,}' for ranks in MODELLED)} |",
        "|---|" + "---|" * len(MODELLED),
    ]
    for population in POPULATIONS:
        values = [f"{modelled(population, ranks, costs, leaders[population]):,.0f}" for ranks in MODELLED]
        notes.append(f"| population {population:,} × {TRACKS} | {' | '.join(values)} |")
    measure.report([], notes)


if __name__ == "__main__":
    main()
