"""Stage 05: learn to drive. Searches for the controller's 867 numbers, on many processes.

    python 05_train_controller.py car_racing --num_worker 16 --num_worker_trial 2 --num_episode 4 --max_length 1000
    python 05_train_controller.py car_racing -n 8 -t 2 -e 4 --max_length 1000 --eval_steps 10 --dream_mode 1
    mpirun -np 17 python 05_train_controller.py car_racing -n 16 -t 2 -e 4        # or any launcher: Slurm, a hostfile

Reads vae/weights.h5, rnn/weights.h5 and, for the search's coordinates, data/rnn_*. Leaves controller/NAME.es.npz (the
search), NAME.best.json and NAME.current.json (the weights) and log/NAME.*.json; NAME is env.opt.num_episode.population.
It goes on until Ctrl-C, or for --generations; the same command again goes on from the last generation. At first all
weights are searched together; after --joint_steps generations those of gas, brake and steering take turns. A row is

    generation, seconds, mean, min, max, std, sigma, mean steps, max steps, episodes

of the population's scores, each averaged over the generation's tracks. What is evaluated and kept is the search's mean.

With --dream_mode the population drives in dreams alone, which data/initial_z.npz begins, and `car_racing_dream` stands
in NAME. The mean is evaluated on the road and in dreams: NAME.best.json is the best on the road, NAME.dream_best.json
the best in dreams, chosen without ever having seen the road (unless --init_opt brings one that has).
"""

import argparse
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

import cli
import config
import controller.arch as controller
import mpi
from controller.generation import Drive, drive_generation, evaluate
from controller.search import (
    ControllerSearch,
    check_settings,
    new_coordinates,
    state_path,
    turn_begins,
    weights_path,
    weights_to_start_from,
)
from dreams import DreamSimulator, beginnings_hash
from es import OPTIMIZERS
from lanes import Result, Task
from model import Agent, Simulator
from rollouts import check_folder, file_hash, only_one

CMA_DECAY = 0.94  # CMA-ES takes the luck of the tracks for a landscape, and would stay as wide as it began


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("env_name", help=f"environment: {', '.join(config.ENVIRONMENTS)}")
    add("-o", "--optimizer", choices=OPTIMIZERS, default="cma", help="how to search")
    add("-n", "--num_worker", type=cli.positive_int, default=16, help="processes, or as many as there are cores")
    add("-t", "--num_worker_trial", type=cli.positive_int, default=4, help="times num_worker: the population")
    add("-e", "--num_episode", type=cli.tracks, default=2, help="tracks a generation, the same for all members")
    add("--max_length", type=cli.positive_int, help="steps an episode; the environment's own if not given")
    add("--eval_steps", type=cli.positive_int, default=10, help="generations between evaluations on fresh tracks")
    add("--eval_episode", type=cli.tracks, default=32, help="tracks an evaluation")
    add("--generations", type=cli.positive_int, help="stop after so many, all told; else go on until Ctrl-C")
    add("--patience", type=cli.count, default=100, help="give an episode up after so many steps without gain; 0: never")
    add("--subspace", type=cli.count, default=48, help="search in so many components of [z, h]; 0: all 867 weights")
    add("--dream_mode", type=int, nargs="?", const=1, choices=(0, 1), default=0, help="1: search in dreams")
    add("--temperature", type=cli.positive_float, default=1.0, help="of the dreams: above 1 they are stranger")
    add("--z_only", type=int, choices=(0, 1), default=0, help="1: C sees z and not h")
    add("--sample_z", type=int, choices=(0, 1), default=0, help="1: drive by a z drawn from what V sees, not its mean")
    add("--previous_action", type=int, choices=(0, 1), default=0, help="1: tell M the action before, as the tutorial")
    add("--sigma_init", type=cli.positive_float, default=0.1, help="standard deviation of the first population")
    add("--sigma_decay", type=cli.positive_float, help=f"factor on sigma a joint generation; for cma {CMA_DECAY}")
    add("--joint_steps", type=cli.count, default=30, help="generations that search all weights, then turns begin")
    add("--turn_steps", type=cli.positive_int, default=8, help="generations of one action alone, then of the next")
    add("--turn_sigma", type=cli.positive_float, default=0.05, help="sigma_init of a turn; of the gas's, twice that")
    add("--hard_tracks", type=int, choices=(0, 1), default=1, help="1: every second track is one it drove badly")
    add("--cap_time", type=int, choices=(0, 1), default=0, help="1: no episode longer than twice the last mean")
    add("--retrain", type=int, choices=(0, 1), default=0, help="1: after a worse evaluation search on from the best")
    add("--init_opt", type=Path, help="start from the best mean of this .es.npz, of these V and M or earlier ones")
    add("-s", "--seed_start", type=cli.seed, default=111, help="seed: another one, other tracks and another search")
    add("--new_model", action="store_true", help="start over; the search of that name is lost")
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    args.max_length = args.max_length or config.ENVIRONMENTS[args.env_name].max_length
    if not args.sigma_decay:
        args.sigma_decay = CMA_DECAY if args.optimizer == "cma" else OPTIMIZERS[args.optimizer].default_sigma_decay
    if args.subspace >= controller.FEATURES:
        parser.error(f"--subspace {args.subspace}: [z, h] has {controller.FEATURES} components; 0 searches all weights")
    if args.dream_mode and (args.sample_z or args.previous_action):
        parser.error("--dream_mode: in a dream z is always drawn, and M told the present action")
    if args.z_only and not args.subspace:
        parser.error("--z_only 1 leaves components of h out of the --subspace, so there must be one")
    population = args.num_worker * args.num_worker_trial
    if not 2 <= population <= cli.MAX_TRACKS:
        parser.error(f"--num_worker x --num_worker_trial, the population, must be at least 2, at most {cli.MAX_TRACKS}")
    return args


def settings_of(args: argparse.Namespace, hashes: dict[str, str]) -> dict:
    """What a search is, not how it is run: a resumed one must share all of it but the versions."""
    running = ("num_worker", "num_worker_trial", "generations", "new_model", "seed_start")
    settings = {name: value for name, value in vars(args).items() if name not in running} | hashes
    settings["seed"], settings["population"] = args.seed_start, args.num_worker * args.num_worker_trial
    settings["init_opt"] = file_hash(args.init_opt) if args.init_opt else None
    settings["initial_z"] = beginnings_hash(hashes["vae"]) if args.dream_mode else None
    settings["versions"] = {"numpy": np.__version__, "cma": version("cma")}
    return settings


def search_name(args: argparse.Namespace) -> str:
    """What its files are called."""
    env_name = args.env_name + ("_dream" if args.dream_mode else "")
    return f"{env_name}.{args.optimizer}.{args.num_episode}.{args.num_worker * args.num_worker_trial}"


def start_or_resume(args: argparse.Namespace, settings: dict, agent: Agent) -> ControllerSearch:
    """The search that is there, or a new one."""
    name = search_name(args)
    if state_path(name).exists() and not args.new_model:
        search = ControllerSearch.load(state_path(name))
        check_settings(search, settings)
        search.write_reports()
        print(f"going on with {state_path(name)} after generation {search.generation}")
        return search
    started = args.init_opt and weights_to_start_from(args.init_opt, name, settings)
    w0 = np.zeros(controller.NUM_WEIGHTS) if started is None else started
    return ControllerSearch(name, settings, new_coordinates(settings, agent.rnn, w0))


def train(args: argparse.Namespace, settings: dict, agent: Agent, drive: Drive) -> ControllerSearch:
    """Search on until there are enough generations."""
    search = start_or_resume(args, settings, agent)
    started = time.monotonic() - (search.rows[-1, 1] if search.generation else 0)
    while True:
        if search.evaluation_due:  # first: the last run may have been stopped in the middle of it
            evaluate(search, drive)
        if search.generation >= (args.generations or np.inf):
            return search
        if turn_begins(search.settings, search.generation):
            print(f"from generation {search.generation + 1} on: the {search.actions[0]} alone")
        generation, seconds, *row = drive_generation(search, drive, started)
        print(args.env_name, (int(generation), int(seconds), *(round(number, 4) for number in row)))


def main() -> None:
    args = parse_args()
    mpi.launch(min(args.num_worker, cli.cores()))
    with mpi.Ranks() as ranks, cli.enough_memory("lower --num_worker or --num_worker_trial"):
        agent = Agent(args.sample_z, args.previous_action)
        hashes = agent.load()
        road = Simulator(agent, args.env_name, args.patience)
        dreams = DreamSimulator(agent.rnn, hashes["vae"], args.temperature, args.patience) if args.dream_mode else None

        def drive(tasks: list[Task]) -> list[Result]:
            return (dreams if tasks and tasks[0].dream else road).run(tasks)

        if ranks.rank > 0:
            return ranks.serve(drive)
        for folder in (config.CONTROLLER_DIR, config.LOG_DIR):
            check_folder(folder)
        name = search_name(args)
        with only_one(config.CONTROLLER_DIR / f".{name}.lock", f"training {name}"):
            search = train(args, settings_of(args, hashes), agent, partial(ranks.map, drive))
    print(f"the driver is {weights_path(name, 'best' if len(search.road.rows) else 'current')}")


if __name__ == "__main__":
    cli.run(main)
