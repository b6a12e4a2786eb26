"""Stage 05: train the controller C by evolution, on many processes.

    python 05_train_controller.py car_racing --num_worker 16 --num_worker_trial 2 --num_episode 4 --max_length 1000
    python 05_train_controller.py car_racing -n 8 -t 2 -e 4 --max_length 1000 --eval_steps 10 --dream_mode 1
    mpirun -np 17 python 05_train_controller.py car_racing -n 16 -t 2 -e 4        # or any launcher: Slurm, a hostfile

Reads vae/weights.h5, rnn/weights.h5 and, for the coordinates of the search, data/rnn_*. Writes controller/NAME.es.npz
(the search), NAME.best.json and NAME.current.json (controllers) and log/NAME.*.json; NAME is
env.optimizer.num_episode.population. The search runs until Ctrl-C or --generations; the same command resumes it. One
row is printed a generation, with scores of the population, each averaged over the generation's tracks. The mean of the
search distribution is what is evaluated every --eval_steps generations and kept.

With --dream_mode 1 candidates are scored in dreams alone, which start from data/initial_z.npz, and NAME begins with
car_racing_dream. The mean is evaluated on the real environment and in dreams: NAME.best.json is the best on the former,
NAME.dream_best.json the best in the latter, selected without any real score (unless --init_opt brings one in).
"""

import argparse
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

try:
    from pipeline import cli
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: run `make setup` and start this with .venv/bin/python") from None

import numpy as np

import config
from controller import arch
from controller.coordinates import new_coordinates
from controller.files import state_path, weights_path
from controller.generation import Evaluate, evaluate_mean, run_generation
from controller.schedule import turn_begins
from controller.search import ROW, ControllerSearch, check_settings, weights_to_start_from
from es import OPTIMIZERS
from pipeline.files import check_folder, file_hash, only_one
from simulation.agent import Agent
from simulation.dream import DreamSimulator, initial_states_hash
from simulation.launch import launch
from simulation.ranks import Ranks
from simulation.rollout import Result, Task, evaluator
from simulation.simulator import Simulator

CMA_DECAY = 0.94  # noise in the fitness keeps CMA-ES wide by itself (deviation 25)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags, in groups."""
    yes_or_no = argparse.BooleanOptionalAction
    parser.add_argument("env_name", help=f"environment: {', '.join(config.ENVIRONMENTS)}")
    add = parser.add_argument_group("population and processes").add_argument
    add("-n", "--num_worker", type=cli.positive_int, default=16, help="processes, at most one a core")
    add("-t", "--num_worker_trial", type=cli.positive_int, default=4, help="population = this x num_worker")
    add(
        "-e",
        "--num_episode",
        type=cli.episode_count,
        default=2,
        help="tracks a generation, the same for all candidates",
    )
    add("--max_length", type=cli.positive_int, help="steps an episode at most; default: the environment's")
    add("--max_steps_without_progress", type=cli.count, default=100, help="truncate an episode after; 0: never")
    add("--cap_time", type=int, choices=(0, 1), default=0, help="1: cap episodes at twice the last mean length (steps)")
    add = parser.add_argument_group("search").add_argument
    add("-o", "--optimizer", choices=OPTIMIZERS, default="cma", help="evolution strategy")
    add("--generations", type=cli.positive_int, help="stop after this many in total; default: run until Ctrl-C")
    add(
        "--subspace", type=cli.count, default=48, help="principal components of [z, h] to search in; 0: all 867 weights"
    )
    add("--sigma_init", type=cli.positive_float, default=0.1, help="standard deviation of the first population")
    add("--sigma_decay", type=cli.positive_float, help=f"factor on sigma a generation; default: {CMA_DECAY} for cma")
    add("--joint_steps", type=cli.count, default=30, help="generations on all weights before block-coordinate phases")
    add("--turn_steps", type=cli.positive_int, default=8, help="generations of a phase (gas, then brake, then steer)")
    add("--turn_sigma", type=cli.positive_float, default=0.05, help="sigma_init of a phase; twice that for gas")
    add("--hard_tracks", action=yes_or_no, default=True, help="replay the worst tracks of the last evaluation")
    add("--retrain", type=int, choices=(0, 1), default=0, help="1: after a worse evaluation go on from the best mean")
    add("--init_opt", type=Path, help="start from the best mean of this .es.npz, of these V and M or their ancestors")
    add("-s", "--seed_start", type=cli.seed, default=111, help="seed of the search and of its tracks")
    add("--new_model", action="store_true", help="start over; the search of that name is lost")
    add = parser.add_argument_group("evaluation").add_argument
    add("--eval_steps", type=cli.positive_int, default=10, help="generations between evaluations of the mean")
    add("--eval_episode", type=cli.episode_count, default=32, help="unseen tracks an evaluation")
    add = parser.add_argument_group("dreams").add_argument
    add("--dream_mode", type=int, nargs="?", const=1, choices=(0, 1), default=0, help="1: search in dreams")
    add("--temperature", type=cli.positive_float, default=1.0, help="of M's samples; above 1 is more uncertain")
    add = parser.add_argument_group("ablations").add_argument
    add("--z_only", action=yes_or_no, default=False, help="C's input is z alone")
    add("--sample_z", action=yes_or_no, default=False, help="C's input is a sampled z, not its mean")
    add("--previous_action", action=yes_or_no, default=False, help="condition M on the previous action (tutorial)")


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add_arguments(parser)
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    args.max_length = args.max_length or config.ENVIRONMENTS[args.env_name].max_length
    if not args.sigma_decay:
        args.sigma_decay = CMA_DECAY if args.optimizer == "cma" else OPTIMIZERS[args.optimizer].default_sigma_decay
    if args.subspace >= arch.FEATURES:
        parser.error(f"--subspace {args.subspace}: [z, h] has {arch.FEATURES} components; 0 searches all weights")
    if args.dream_mode and (args.sample_z or args.previous_action):
        parser.error("--dream_mode: in a dream z is always sampled, and M conditioned on the current action")
    if args.z_only and not args.subspace:
        parser.error("--z_only removes h from the --subspace, so --subspace must be above 0")
    population = args.num_worker * args.num_worker_trial
    if not 2 <= population <= cli.MAX_EPISODES:
        limits = f"must be at least 2, at most {cli.MAX_EPISODES}"
        parser.error(f"--num_worker x --num_worker_trial, the population, {limits}")
    return args


def settings_of(args: argparse.Namespace, hashes: dict[str, str]) -> dict:
    """What a search is, not how it is run: a resumed search must share all of it but the versions."""
    running = ("num_worker", "num_worker_trial", "generations", "new_model", "seed_start")
    settings = {name: value for name, value in vars(args).items() if name not in running} | hashes
    settings["seed"], settings["population"] = args.seed_start, args.num_worker * args.num_worker_trial
    settings["init_opt"] = file_hash(args.init_opt) if args.init_opt else None
    settings["initial_z"] = initial_states_hash(hashes["vae"]) if args.dream_mode else None
    settings["versions"] = {"numpy": np.__version__, "cma": version("cma")}
    return settings


def search_name(args: argparse.Namespace) -> str:
    """NAME of the search's files."""
    env_name = args.env_name + ("_dream" if args.dream_mode else "")
    return f"{env_name}.{args.optimizer}.{args.num_episode}.{args.num_worker * args.num_worker_trial}"


def start_or_resume(args: argparse.Namespace, settings: dict, agent: Agent) -> ControllerSearch:
    """The saved search of that name, or a new one."""
    name = search_name(args)
    if state_path(name).exists() and not args.new_model:
        search = ControllerSearch.load(state_path(name))
        check_settings(search, settings)
        search.write_reports()
        print(f"resuming {state_path(name)} after generation {search.generation}")
        return search
    started = args.init_opt and weights_to_start_from(args.init_opt, name, settings)
    w0 = np.zeros(arch.NUM_WEIGHTS) if started is None else started
    return ControllerSearch(name, settings, new_coordinates(settings, agent.rnn.hidden_states, w0))


def train(args: argparse.Namespace, search: ControllerSearch, evaluate: Evaluate) -> None:
    """Run generations and evaluations until --generations."""
    started = time.monotonic() - (search.rows[-1, 1] if search.generation else 0)
    print(args.env_name, f"({', '.join(ROW)})")
    while True:
        if search.evaluation_due:  # first: the last run may have been stopped during an evaluation
            evaluate_mean(search, evaluate)
        if search.generation >= (args.generations or np.inf):
            return
        if turn_begins(search.settings, search.generation):
            print(f"from generation {search.generation + 1} on: {search.actions[0]} alone")
        generation, seconds, *row = run_generation(search, evaluate, started)
        print(args.env_name, (int(generation), int(seconds), *(round(number, 4) for number in row)))


def main() -> None:
    args = parse_args()
    launch(min(args.num_worker, cli.cores()))
    with Ranks() as ranks, cli.enough_memory("lower --num_worker or --num_worker_trial"):
        agent = Agent(args.sample_z, args.previous_action)
        hashes = agent.load()
        real = Simulator(agent, args.env_name, args.max_steps_without_progress)
        dreams = None
        if args.dream_mode:
            dreams = DreamSimulator(agent.rnn, hashes["vae"], args.temperature, args.max_steps_without_progress)

        def roll_out(tasks: list[Task]) -> list[Result]:
            return (dreams if tasks and tasks[0].dream else real).run(tasks)

        if ranks.rank > 0:
            return ranks.serve(roll_out)
        for folder in (config.CONTROLLER_DIR, config.LOG_DIR):
            check_folder(folder)
        name = search_name(args)
        with only_one(config.CONTROLLER_DIR / f".{name}.lock", f"training {name}"):
            search = start_or_resume(args, settings_of(args, hashes), agent)
            train(args, search, evaluator(partial(ranks.map, roll_out)))
    print(f"controller in {weights_path(name, 'best' if len(search.real.rows) else 'current')}")


if __name__ == "__main__":
    cli.run(main)
