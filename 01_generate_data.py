"""Stage 01: record episodes of the exploration policy, or of a trained agent.

    python 01_generate_data.py car_racing --total_episodes 2000 --start_batch 0 --time_steps 300
    python 01_generate_data.py car_racing --total_episodes 125 --time_steps 300 --render 0 --action_refresh_rate 5
    python 01_generate_data.py car_racing --start_batch 10 --controller controller/car_racing.cma.2.64.best.json
    mpirun -np 64 python 01_generate_data.py car_racing --total_episodes 12800  # or any launcher

Writes obs_data_B.npy, action_data_B.npy, reward_data_B.npy, done_data_B.npy and their record obs_B.json into data/, for
B = start_batch, start_batch + 1, ... Complete batches are kept: the same command resumes after a stop, and several
processes or machines that run it over one folder share the batches. A launcher's processes divide them among each
other, also on a file system without locks. A trained agent (--controller) is loaded with its V and M, from the folder
that holds its controller/ folder.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from display.play import Display, draw_environment
from display.window import open_window
from pipeline.batches import ObsSettings, batch_bytes, claim_batch, read_record, record_path, write_batch
from pipeline.entries import sizes_for
from pipeline.errors import UserError
from pipeline.files import check_disk, check_same, file_hash
from pipeline.seeds import env_seed_range
from simulation import environments, rank_jobs, workers
from simulation.agent import Agent, folder_of, load_agent_and_weights
from simulation.collect import Episode, record_agent, record_exploration
from simulation.launch import add_arguments as add_host_arguments
from simulation.launch import has_launcher, launch
from simulation.rank_jobs import Tick
from simulation.ranks import Ranks

MAX_BATCHES = 2**16
EPISODES_PER_BATCH = 2**16  # environment seeds reserved for each batch, so that no two batches share a track


@dataclass(frozen=True)
class Job:
    """One batch to record."""

    batch: int
    settings: ObsSettings
    render: bool
    controller: Path | None


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("env_name", help=f"environment: {', '.join(config.ENVIRONMENTS)}")
    parser.add_argument("--total_episodes", type=cli.positive_int, default=200, help="episodes of each environment")
    parser.add_argument("--start_batch", type=cli.count, default=0, help="number of the first batch")
    parser.add_argument("--time_steps", type=cli.positive_int, default=300, help="steps per episode")
    parser.add_argument("--batch_size", type=cli.positive_int, default=200, help="episodes per file")
    refresh_rate = config.ACTION_REFRESH_RATE
    parser.add_argument(
        "--action_refresh_rate", type=cli.positive_int, default=refresh_rate, help="frames that an action is held"
    )
    workers_help = "worker processes; under mpirun, each of its processes is one"
    parser.add_argument("--num_worker", type=cli.positive_int, default=cli.cores(), help=workers_help)
    parser.add_argument(
        "--run_all_envs", action="store_true", help="record all of config.TRAIN_ENVS instead of env_name"
    )
    window = "1: display in a window, in one process"
    parser.add_argument("--render", type=int, nargs="?", const=1, choices=(0, 1), default=0, help=window)
    parser.add_argument("--controller", type=Path, help="record this agent, a .json of stage 05")
    parser.add_argument(
        "--exploration", type=cli.share, default=0.5, help="with --controller: maximal share of exploration (0..1)"
    )
    parser.add_argument("--seed", type=cli.seed, default=0, help="seed of the tracks and of the exploration policy")
    add_host_arguments(parser)
    args = parser.parse_args()
    if args.time_steps < 2:
        parser.error("argument --time_steps: must be at least 2, a step and its successor")
    if args.batch_size > EPISODES_PER_BATCH:
        parser.error(f"argument --batch_size: must be at most {EPISODES_PER_BATCH}")
    if args.controller and args.render:
        parser.error("--render 1 shows the exploration policy only; to watch an agent: model.py --render_mode")
    cli.check_environment(parser, args.env_name)
    batches = -(-args.total_episodes // args.batch_size) * (len(config.TRAIN_ENVS) if args.run_all_envs else 1)
    if args.start_batch + batches > MAX_BATCHES:
        parser.error(f"argument --start_batch: batch numbers must be below {MAX_BATCHES}")
    args.launched = has_launcher()
    if args.render and args.launched:
        parser.error("--render 1 displays a window of one process: start it without mpirun")
    return args


def plan(args: argparse.Namespace) -> list[Job]:
    """The jobs of a command line, one per batch."""
    jobs: list[Job] = []
    names = config.TRAIN_ENVS if args.run_all_envs else (args.env_name,)
    sizes = [sizes_for(name, environments.try_env(name).count) for name in names]  # fail here, before a worker starts
    if len(set(sizes)) > 1:
        found = ", ".join(f"{name}: {each}" for name, each in zip(names, sizes, strict=True))
        raise UserError(f"--run_all_envs: one V and one M are trained on all of TRAIN_ENVS, which need {found}")
    for name in names:
        for first in range(0, args.total_episodes, args.batch_size):
            settings = ObsSettings(
                env=name,
                seed=args.seed,
                action_refresh_rate=args.action_refresh_rate,
                time_steps=args.time_steps,
                episodes=min(args.batch_size, args.total_episodes - first),
                actions=sizes[0].actions,
                run_all_envs=names if args.run_all_envs else (),
            )
            jobs.append(Job(args.start_batch + len(jobs), settings, bool(args.render), args.controller))
    if not args.controller:
        return jobs
    folder = folder_of(args.controller)
    agent = {
        "controller": file_hash(args.controller),
        "vae_hash": file_hash(folder / config.VAE_DIR / "weights.h5"),
        "rnn_hash": file_hash(folder / config.RNN_DIR / "weights.h5"),
        "exploration": args.exploration,
    }
    return [replace(job, settings=replace(job.settings, **agent)) for job in jobs]


def is_complete(job: Job) -> bool:
    """Whether the batch exists; UserError if it was made with other settings."""
    record = read_record("obs", job.batch)
    if record is None:
        return False
    remedy = f"use another --start_batch, or delete {record_path('obs', job.batch)} to make it again"
    settings = job.settings
    if record.settings.run_all_envs is None:  # of an earlier version
        settings = replace(settings, run_all_envs=None)
    check_same(f"batch {job.batch}", asdict(record.settings), asdict(settings), remedy)
    return True


def record_batch(job: Job) -> Iterator[Episode]:
    """Record and yield the episodes of a batch."""
    settings = job.settings
    env_seeds = env_seed_range("explore", settings.seed, job.batch * EPISODES_PER_BATCH, settings.episodes)
    if job.controller:
        agent, weights = load_once(job.controller)
        yield from record_agent(agent, weights, settings, env_seeds)
    elif job.render:
        with open_window("--render 1", 600, 400) as show:
            display = Display(draw_environment, [show])
            yield from record_exploration(settings, env_seeds, [display], "rgb_array")
    else:
        yield from record_exploration(settings, env_seeds)


@cache
def load_once(controller: Path) -> tuple[Agent, np.ndarray]:
    """The agent of a controller file; a worker process that records several batches keeps it."""
    return load_agent_and_weights(controller)


def count(episodes: Iterator[Episode], tick: Tick) -> Iterator[Episode]:
    """Yield the episodes, and count each in the progress bar once it is written."""
    for episode in episodes:
        yield episode
        tick()


def make_batch(job: Job, tick: Tick = workers.tick) -> str:
    """Make one batch unless it exists or another process is making it; returns a message, or ""."""
    with claim_batch("obs", job.batch) as claimed:
        if not claimed:
            return f"batch {job.batch}: skipped, another process is making it"
        if is_complete(job):
            return f"batch {job.batch}: was completed by another process"
        settings, episodes = job.settings, count(record_batch(job), tick)
        write_batch("obs", job.batch, settings.episodes, settings.time_steps, episodes, settings)
        return ""


def make_batches(args: argparse.Namespace, run: Callable[[list[Job], list[int]], None]) -> None:
    """Make the batches of a command line that are not complete.

    Args:
        run: makes batches, given the jobs and the number of episodes of each.
    """
    jobs = plan(args)
    todo = [job for job in jobs if not is_complete(job)]
    if len(todo) < len(jobs):
        print(f"{len(jobs) - len(todo)} of {len(jobs)} batches are complete and kept")
    if args.render and todo:
        with open_window("--render 1", 600, 400):  # without a display, fail here, before any work
            pass
    if todo:
        episodes = [job.settings.episodes for job in todo]
        needed = [batch_bytes(job.settings, job.settings.episodes, args.time_steps) for job in todo]
        check_disk(config.DATA_DIR, sum(needed))
        run(todo, episodes)
    missing = [str(job.batch) for job in jobs if not is_complete(job)]
    if missing:
        print(f"not complete yet, made by other processes: batch {', '.join(missing)}")
    else:
        print(f"batches {jobs[0].batch}..{jobs[-1].batch} in {config.DATA_DIR}/")


def on_ranks(args: argparse.Namespace) -> None:
    """Make batches on the ranks of a launcher, in a folder that its hosts share."""
    launch(1, args.lost_host_seconds)
    with Ranks(args.lost_host_seconds) as ranks, cli.enough_memory("lower --time_steps"):
        ranks.check_hosts(args.identical_hosts)
        if ranks.rank > 0:
            return rank_jobs.serve(ranks, make_batch)
        make_batches(args, partial(rank_jobs.run, ranks, make_batch, unit="episode", folder=config.DATA_DIR))


@cli.enough_memory("lower --time_steps, or --num_worker")
def main() -> None:
    args = parse_args()
    if args.launched:
        on_ranks(args)
    else:
        num_worker = 1 if args.render else args.num_worker
        make_batches(args, partial(workers.run, make_batch, num_worker=num_worker, unit="episode"))


if __name__ == "__main__":
    cli.run(main)
