"""Stage 05: train the controller (C) with an evolution strategy, on many processes.

    python 05_train_controller.py car_racing --num_worker 16 --num_worker_trial 2 --num_episode 4 --max_length 1000
    python 05_train_controller.py car_racing -n 8 -t 2 -e 4 --max_length 1000 --eval_steps 10 --dream_mode 1
    mpirun -np 17 python 05_train_controller.py car_racing -n 16 -t 2 -e 4        # or any launcher: Slurm, a hostfile

Reads vae/weights.h5, rnn/weights.h5 and, for the coordinates of the search, data/rnn_*. Writes controller/NAME.es.npz
(the search), NAME.best.json and NAME.current.json (controllers), log/NAME.*.json and log/controller/NAME/ (curves for
TensorBoard); NAME is env.optimizer.num_episode.population. The search runs until Ctrl-C or --generations; the same
command resumes it. It prints one row per generation with statistics over the candidates, whose scores are averaged over
their tracks; candidates share these in groups of at least 16. Every --eval_steps generations the mean of the search
distribution is evaluated on unseen tracks; the best mean is kept. On several hosts rank 0 alone reads and writes files;
the others need the code.

With --dream_mode 1 candidates are scored in dreams only, which start from data/initial_z.npz or, with --dream_length,
at steps of data/rnn_*, and NAME begins with car_racing_dream. The mean is evaluated in the real environment and in
dreams: NAME.best.json is the best in the former, NAME.dream_best.json the best in the latter. Real scores do not
influence the search, except through --init_opt.
"""

import argparse
import sys
import time
from dataclasses import fields
from functools import partial
from importlib.metadata import version
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np
from tqdm import tqdm

import config
from controller.curves import points
from controller.files import search_name, state_path, weights_path
from controller.generation import Evaluate, evaluate_mean, run_generation, time_left
from controller.resume import start_or_resume
from controller.saved_search import describe
from controller.search import ROW, ControllerSearch
from controller.settings import SearchSettings
from es import OPTIMIZERS
from pipeline.curves import Curves
from pipeline.entries import entry_of
from pipeline.files import check_folder, file_hash, only_one
from pipeline.new_model import how_to_go_on, until_saved
from simulation.agent import Agent
from simulation.dream import MAX_STEPS_WITHOUT_PROGRESS
from simulation.environments import try_env
from simulation.launch import add_arguments as add_host_arguments
from simulation.launch import launch
from simulation.ranks import Ranks
from simulation.real_world import RealWorld
from simulation.rollout import evaluator
from simulation.shared_inputs import read_inputs, received, rollouts, starts_hash
from simulation.transfer import transferred_weights

CMA_DECAY = 0.94  # noise in the fitness keeps the step size of CMA-ES large without a decay (deviation 25)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser, in groups."""
    boolean = argparse.BooleanOptionalAction
    parser.add_argument("env_name", help=f"environment: {', '.join(config.ENVIRONMENTS)}")
    add = parser.add_argument_group("population and processes").add_argument
    add("-n", "--num_worker", type=cli.positive_int, default=16, help="processes; at most one per core is started")
    trials = "candidates per worker; the population is num_worker x num_worker_trial"
    add("-t", "--num_worker_trial", type=cli.positive_int, default=4, help=trials)
    add("-e", "--num_episode", type=cli.episode_count, default=2, help="tracks per candidate and generation")
    add("--max_length", type=cli.max_length, help="maximal episode length (steps); default, or -1: the environment's")
    no_progress = "truncate an episode after so many steps without a positive reward; 0: never; default: 100, or 0"
    no_progress += " where no_progress_reward in config.py does not say what they cost"
    add("--max_steps_without_progress", type=cli.count, help=no_progress)
    cap = "1: cap episodes at twice the previous generation's mean length (steps)"
    add("--cap_time", type=int, nargs="?", const=1, choices=(0, 1), default=0, help=cap)
    shared = "1: as ever, candidates share their tracks (deviation 16)"
    add("--antithetic", type=int, nargs="?", const=1, choices=(0, 1), default=1, help=shared)
    add = parser.add_argument_group("search").add_argument
    add("-o", "--optimizer", choices=OPTIMIZERS, default="cma", help="evolution strategy")
    add("--generations", type=cli.positive_int, help="generations in total; default: run until Ctrl-C")
    add("--subspace", type=cli.count, default=48, help="principal components of [z, h] to search; 0: all weights of C")
    add("--sigma_init", type=cli.positive_float, default=0.1, help="standard deviation of the first population")
    decay = f"factor on sigma per generation; default: {CMA_DECAY} for cma, 0.999 for the others"
    add("--sigma_decay", type=cli.positive_float, help=decay)
    retrain = "1: after a worse evaluation, restart from the best mean"
    add("--retrain", type=int, nargs="?", const=1, choices=(0, 1), default=0, help=retrain)
    init_opt = "start from the best mean of this .es.npz or from this .json, fitted to V and M if beside it are others"
    add("--init_opt", type=Path, help=init_opt)
    add("-s", "--seed_start", "--seed", type=cli.seed, default=111, help="seed of the search and of its tracks")
    add("--new_model", action="store_true", help=f"{cli.NEW_MODEL}, as of this NAME")
    add = parser.add_argument_group("evaluation").add_argument
    add("--eval_steps", type=cli.positive_int, default=10, help="generations between evaluations of the mean")
    add("--eval_episode", type=cli.episode_count, default=32, help="unseen tracks per evaluation")
    add = parser.add_argument_group("dreams").add_argument
    add("--dream_mode", type=int, nargs="?", const=1, choices=(0, 1), default=0, help="1: search in dreams")
    add("--temperature", type=cli.positive_float, default=1.0, help="temperature of M's samples")
    length = "steps of dreams that start at recorded moments; default: whole dreams, from first frames"
    add("--dream_length", type=cli.positive_int, default=0, help=length)
    add_host_arguments(parser)
    add = parser.add_argument_group("ablations").add_argument
    add("--z_only", action=boolean, default=False, help="the input of C is z without h")
    add("--sample_z", action=boolean, default=False, help="the input of C is a sampled z instead of its mean")
    add("--previous_action", action=boolean, default=False, help="condition M on the previous action (tutorial)")


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add_arguments(parser)
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    entry = entry_of(args.env_name)
    args.max_length = args.max_length or entry.max_length
    costs = entry.no_progress_reward is not None
    if args.max_steps_without_progress and not costs:
        found = f"no_progress_reward of {args.env_name} in config.py does not say what such steps cost"
        parser.error(f"--max_steps_without_progress: {found}")
    if args.max_steps_without_progress is None:
        args.max_steps_without_progress = MAX_STEPS_WITHOUT_PROGRESS if costs else 0
    if not args.sigma_decay:
        args.sigma_decay = CMA_DECAY if args.optimizer == "cma" else OPTIMIZERS[args.optimizer].default_sigma_decay
    if args.optimizer == "cma" and sys.flags.optimize > 1:
        parser.error("--optimizer cma: pycma needs docstrings: start without -OO, or unset PYTHONOPTIMIZE")
    if not args.antithetic:
        parser.error("--antithetic 0: candidates share their tracks; leave the flag out")
    features = entry.z + entry.h * (len(entry.controller_input) - 1)
    if args.subspace >= features:
        names = ", ".join(entry.controller_input)
        parser.error(f"--subspace {args.subspace}: [{names}] has {features} components; 0 searches all weights")
    if args.dream_mode and (args.sample_z or args.previous_action):
        parser.error("--dream_mode: in a dream C sees the mean of z, and M is conditioned on the current action")
    if args.dream_length and not args.dream_mode:
        parser.error("--dream_length is the length of dreams: give --dream_mode 1 as well")
    if args.z_only and not args.subspace:
        parser.error("--z_only removes h from the --subspace, so --subspace must be above 0")
    args.population = args.num_worker * args.num_worker_trial
    if not 2 <= args.population <= cli.MAX_EPISODES:
        limits = f"must be at least 2 and at most {cli.MAX_EPISODES}"
        parser.error(f"--num_worker x --num_worker_trial, the population, {limits}")
    return args


def settings_of(args: argparse.Namespace, world: RealWorld) -> SearchSettings:
    """The settings of a command line, with the hashes of V and M, and the form of C."""
    hashes, form = world.agent.hashes, world.form
    names = {field.name for field in fields(SearchSettings)}
    flags = {name: value for name, value in vars(args).items() if name in names}
    flags["init_opt"] = file_hash(args.init_opt) if args.init_opt else None
    return SearchSettings(
        **flags,
        vae_hash=hashes["vae"],
        rnn_hash=hashes["rnn"],
        seed=args.seed_start,
        initial_z=starts_hash(args.env_name, hashes["vae"], form.z, args.dream_mode, args.dream_length),
        versions={"numpy": np.__version__, "cma": version("cma")},
        actions=form.actions,
        z=form.z,
        features=form.features,
    )


def train(args: argparse.Namespace, search: ControllerSearch, evaluate: Evaluate) -> None:
    """Run generations and evaluations until --generations, on rank 0."""
    curves = Curves(config.LOG_DIR / config.CONTROLLER_DIR / search.name)
    start_time = time.monotonic() - (search.rows[-1, 1] if search.generation else 0)
    print(args.env_name, f"({', '.join(ROW)})")
    while True:
        curves.write(points(search))  # also at the start: the last run may have been stopped before it wrote them
        if search.evaluation_due:  # likewise
            evaluate_mean(search, evaluate)
            curves.write(points(search))
        if search.generation >= (args.generations or np.inf):
            return
        generation, seconds, *row = run_generation(search, evaluate, start_time)
        left = f"{tqdm.format_interval(time_left(search, args.generations))} left" if args.generations else ""
        print(args.env_name, (int(generation), int(seconds), *(round(number, 4) for number in row)), left)


def main() -> None:
    args = parse_args()
    name = search_name(args)
    stopped = partial(how_to_go_on, state_path(name), args.new_model, describe, time.time())
    launch(min(args.num_worker, cli.cores()), args.lost_host_seconds, stopped)
    agent = Agent.on_one_thread(args.sample_z, args.previous_action)  # before MPI: no heartbeat while TensorFlow loads
    with Ranks(args.lost_host_seconds) as ranks, cli.enough_memory("lower --num_worker or --num_worker_trial"):
        ranks.check_hosts(args.identical_hosts)
        if ranks.rank > 0:
            return ranks.serve(partial(received, agent))
        agent.load()
        real = RealWorld(agent, args.env_name)
        for folder in (config.CONTROLLER_DIR, config.LOG_DIR):
            check_folder(folder)
        try_env(args.env_name)
        settings = settings_of(args, real)
        inputs = read_inputs(settings, agent)
        ranks.share(inputs)
        ranks.functions = rollouts(real, inputs)
        with only_one(config.CONTROLLER_DIR / f".{name}.lock", f"training {name}"):
            transfer = partial(transferred_weights, agent, args.env_name)
            hidden_states = partial(agent.rnn.hidden_states, cell=real.form.cell)
            search = start_or_resume(name, settings, hidden_states, args.new_model, args.init_opt, transfer)
            with until_saved(state_path(name), args.new_model, describe):
                train(args, search, evaluator(ranks.map))
    print(f"controller in {weights_path(name, 'best' if len(search.real.rows) else 'current')}")


if __name__ == "__main__":
    cli.run(main)
