"""Scaling of stage 05 with the number of ranks: measured for 1 to 8 ranks, modeled for up to 4,096.

    python experiments/benchmarks/scale.py      # five minutes on two idle cores

Writes docs/results/scale.json, and renders docs/clusters.md from it. The agent-steps/s of stage 05 under mpirun are
measured; more ranks than cores share the cores.

The model takes episode lengths of untrained controllers and distributes the episodes as Ranks.map does. A rank's time
is that of its resets and of its lock-step steps. A step has a fixed cost, since the networks always process 16 rows,
and a cost per running episode; all three costs are measured here on one rank. To the slowest rank's time the model adds
the messages, all through the network card of rank 0, and the work of rank 0, measured here. It assumes one core of this
machine's kind per rank, 1 Gbit/s, and 0.1 ms per message. From the largest population measured on, bytes and the work
of rank 0 grow in proportion to the population.

A number of ranks pays as long as each does at least EFFICIENT of what a single rank does alone: the table names the
smallest population for which that holds.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
import controller.arch as controller
from controller.coordinates import principal_subspace
from controller.files import name_of
from experiments import ROOT, results, tables
from experiments.benchmarks import measure
from experiments.benchmarks.measure import row
from pipeline.files import read_json
from pipeline.seeds import env_seed_range
from simulation.launch import ONE_THREAD

GENERATIONS, TRACKS, POPULATION = 3, 2, 64
MEASURED, MODELED = (1, 2, 4, 8), (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
POPULATIONS = (64, 1024, 8192)
EFFICIENT = 0.8
LARGEST = 2**17  # candidates; beyond it no population is looked for
BOUND = (
    "a rank's last episodes run beside few others, and a lock-step step costs almost as much for few as for many; the"
    " slowest of 64 ranks takes a quarter longer than the mean. Longest episodes first would give 73 to 76 %, but their"
    " lengths are not known beforehand"
)
BYTES_PER_SECOND, MESSAGE_SECONDS = 125e6, 1e-4


def prepare(folder: Path) -> None:
    """Write networks with initial weights; speed does not depend on the weights."""
    from pipeline.networks import use_one_cpu_thread
    from rnn.arch import RNN
    from vae.arch import VAE

    use_one_cpu_thread()
    VAE().save(folder / config.VAE_DIR / "weights.h5", {})
    RNN().save(folder / config.RNN_DIR / "weights.h5", {})


def measured(folder: Path, ranks: int) -> float:
    """Agent-steps/s of stage 05 on a number of ranks."""
    command = f"05_train_controller.py car_racing -n {POPULATION} -t 1 -e {TRACKS} --subspace 0"
    script, *arguments = f"{command} --generations {GENERATIONS} --eval_steps 99 --new_model".split()
    mpirun = [str(Path(sys.executable).with_name("mpirun")), "-np", str(ranks)]
    subprocess.run(
        [*mpirun, sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env=measure.without_thread_settings(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    [history] = (folder / config.LOG_DIR).glob("*.hist.json")
    rows = read_json(history)
    steps = sum(row["mean steps"] for row in rows[1:]) * POPULATION * TRACKS
    return steps / (rows[-1]["seconds"] - rows[0]["seconds"])


def lock_step_costs() -> tuple[float, float, float, np.ndarray]:
    """Seconds of a lock-step step (fixed part, part per running episode) and of a reset; lengths of some episodes."""
    from simulation.agent import Agent
    from simulation.policies import ControllerPolicy
    from simulation.real_world import ROWS, RealWorld
    from simulation.rollout import Task, rollout

    run = partial(
        rollout, RealWorld(Agent.on_one_thread(), "car_racing"), ControllerPolicy(ROWS), max_steps_without_progress=100
    )
    rng = np.random.default_rng(0)
    env_seeds = env_seed_range("explore", 2, 0, 2 * ROWS)
    weights = rng.normal(0, 0.1, (len(env_seeds), controller.NUM_WEIGHTS))

    def seconds(slots: int, steps: int) -> float:
        start = time.perf_counter()
        run([Task(env_seed, steps, weights[0]) for env_seed in env_seeds[:slots]])
        return time.perf_counter() - start

    def median(slots: int) -> tuple[float, float]:
        """Seconds of one step, and of the resets before the first step."""
        seconds(slots, 10)
        short, long = np.median([[seconds(slots, steps) for steps in (10, 70)] for _ in range(5)], axis=0)
        step = (long - short) / 60
        return step, short - 10 * step

    (one, _), (all_slots, resets) = median(1), median(ROWS)
    slot = (all_slots - one) / (ROWS - 1)
    results = run([Task(env_seed, 1000, w) for w, env_seed in zip(weights, env_seeds, strict=True)])
    return one - slot, slot, max(resets, 0) / ROWS, np.array([result.steps for result in results])


def rank_0_seconds(folder: Path, population: int) -> float:
    """Seconds of ask, tell and save of one generation in the default's 147 coordinates."""
    from controller.search import ControllerSearch
    from experiments.plots.controller import read_search_settings

    os.chdir(folder)
    shipped = read_search_settings(config.PRETRAINED_DIR / config.LOG_DIR / f"{name_of(Path(config.PRETRAINED))}.json")
    settings = replace(shipped, population=population, num_episode=TRACKS)
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
    """Seconds of one rank for episodes of these lengths, where a free slot takes the next episode."""
    ends = np.zeros(slots)
    for length in lengths:
        ends[ends.argmin()] += length
    return fixed * ends.max() + slot * lengths.sum() + reset * len(lengths)


def modeled(population: int, ranks: int, costs: tuple, rank_0: float, tracks: int = TRACKS) -> float:
    """Agent-steps/s of a generation by the model; `costs` are those of `lock_step_costs`."""
    *costs_per_step, observed = costs
    lengths = np.random.default_rng(0).choice(observed, population * tracks)
    slowest = max(lock_step(lengths[rank::ranks], 16, *costs_per_step) for rank in range(min(ranks, len(lengths))))
    busy = min(ranks, len(lengths)) - 1
    messages = busy * 2 * MESSAGE_SECONDS + message_bytes(population, ranks, tracks) / BYTES_PER_SECOND
    return lengths.sum() / (slowest + messages + rank_0)


def message_bytes(population: int, ranks: int, tracks: int = TRACKS) -> int:
    """Bytes that rank 0 sends in a generation; the results that come back are a hundredth of them."""
    from mpi4py import MPI

    from simulation.rollout import Task

    if population > POPULATIONS[-1]:
        return message_bytes(POPULATIONS[-1], ranks, tracks) * population // POPULATIONS[-1]
    weights = np.zeros((population, controller.NUM_WEIGHTS))
    tasks = [Task(env_seed, 1000, w) for w in weights for env_seed in range(tracks)]
    shares = [tasks[rank::ranks] for rank in range(1, ranks)]
    return sum(len(MPI.pickle.dumps(share)) for share in shares if share)


def smallest_population(ranks: int, costs: tuple, rank_0: dict[int, float]) -> int | None:
    """The smallest power of two of candidates for which each rank does EFFICIENT of a single rank's work alone."""
    population = ranks // TRACKS
    while population <= LARGEST:
        seconds = float(np.interp(population, list(rank_0), list(rank_0.values())))
        seconds *= max(1.0, population / POPULATIONS[-1])
        alone = modeled(population, 1, costs, 0.0)
        if modeled(population, ranks, costs, seconds) >= EFFICIENT * ranks * alone:
            return population
        population *= 2
    return None


def rows_of(rates: list[float], costs: tuple, rank_0: dict[int, float]) -> list[measure.Row]:
    """The model beside one measured point, and the share of 64 single ranks' rate that 64 ranks together reach."""
    rate, unit = np.array([rates[MEASURED.index(2)]]), "agent-steps/s"
    model = np.array([modeled(POPULATION, 2, costs, rank_0[POPULATION])])
    many, one = (np.array([modeled(1024, ranks, costs, rank_0[1024], tracks=4)]) for ranks in (64, 1))
    work = "a generation of 05 on 64 ranks, 1,024 candidates × 4 tracks, modeled"
    return [
        row(
            f"a generation of 05 on 2 ranks, {POPULATION} × {TRACKS}", "the model", rate, model, unit, 80, percent=True
        ),
        row(work, "64 times one rank", many, 64 * one, unit, 60, percent=True, goal=75, bound=BOUND),
    ]


def main() -> None:
    cli.parser(__doc__).parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        rates = [measured(folder, ranks) for ranks in MEASURED]
        os.environ.update(ONE_THREAD)
        costs = lock_step_costs()
        rank_0 = {population: rank_0_seconds(folder, population) for population in POPULATIONS}
        os.chdir(ROOT)
    sent = ", ".join(f"{message_bytes(population, 2):,}" for population in POPULATIONS)
    worked = ", ".join(f"{1000 * rank_0[population]:.0f}" for population in POPULATIONS)
    notes = [
        f"Measured on the {cli.cores()} cores of this machine, population {POPULATION} × {TRACKS} tracks. For"
        f" populations of {', '.join(f'{population:,}' for population in POPULATIONS)}, rank 0 sends {sent} bytes per"
        f" generation to a second rank (almost twice that to many ranks), and its own work in the 147 coordinates of"
        f" the default takes {worked} ms.",
        "",
        f"| ranks | {' | '.join(map(str, MEASURED))} |",
        "|---|" + "---|" * len(MEASURED),
        "| agent-steps/s, measured | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |",
        "",
        f"Modeled by `experiments/benchmarks/scale.py`: a lock-step step costs {1000 * costs[0]:.2f} ms plus"
        f" {1000 * costs[1]:.3f} ms per running episode, a reset {1000 * costs[2]:.1f} ms; episodes have"
        f" {costs[3].mean():.0f} steps on average; each rank has one core; all messages pass the network card of rank 0"
        " with 1 Gbit/s and 0.1 ms each.",
        "",
        f"| agent-steps/s, modeled: ranks | {' | '.join(f'{ranks:,}' for ranks in MODELED)} |",
        "|---|" + "---|" * len(MODELED),
    ]
    for population in POPULATIONS:
        values = [f"{modeled(population, ranks, costs, rank_0[population]):,.0f}" for ranks in MODELED]
        notes.append(f"| population {population:,} × {TRACKS} | {' | '.join(values)} |")
    smallest = [smallest_population(ranks, costs, rank_0) for ranks in MODELED]
    values = [f"{population:,}" if population else f"above {LARGEST:,}" for population in smallest]
    notes.append(f"| smallest population × {TRACKS} at {EFFICIENT:.0%} of single ranks | {' | '.join(values)} |")
    rows = [asdict(each) for each in rows_of(rates, costs, rank_0)]
    minutes = (time.monotonic() - started) / 60
    path = results.record(
        "scale", "python experiments/benchmarks/scale.py", wall_minutes=minutes, rows=rows, notes=notes
    )
    tables.render(tables.CLUSTERS, "scale")
    print(f"{tables.scale_table()}\n\n{path}")


if __name__ == "__main__":
    cli.run(main, resumable=False)
