"""The agent, V + M + C, and what it is worth on the road.

    python model.py car_racing --filename ./controller/car_racing.cma.4.32.best.json --render_mode --record_video
    python model.py car_racing --filename ./controller/car_racing.cma.4.32.best.json --final_mode
    python model.py car_racing --filename FILE --dream_mode --render_mode           # the agent in its dream
    python model.py --play                                       # you, by the arrow keys; or in the dream: --dream_mode
    python model.py --final_mode                                 # where nothing is trained: the driver of pretrained/

Plays one track and prints its score; --final_mode scores 100 tracks that no stage has seen. V and M are those that the
controller learned with: vae/weights.h5 and rnn/weights.h5 in the folder that its controller/ lies in.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

try:
    from pipeline import cli
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: run `make setup` and start this with .venv/bin/python") from None

import gymnasium as gym
import numpy as np

import config
from controller.files import LAYOUTS
from display.overlay import compose
from display.video import Show, open_video
from display.window import open_window
from pipeline.seeds import env_seed_range
from simulation.agent import Agent, folder_of, load_agent
from simulation.rollout import Result, Slot, Task, score_unseen_tracks
from simulation.simulator import Simulator


# --- the command ------------------------------------------------------------------------------------------------------
def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("env_name", nargs="?", default="car_racing", help=f"environment: {', '.join(config.ENVIRONMENTS)}")
    add("--filename", type=Path, help="controller to play, a .json that stage 05 wrote")
    add("--layout", choices=LAYOUTS, help="order of the weights in --filename; default: what the file says")
    add("--generate_data_mode", action="store_true", help="drive at random as stage 01 does, without a controller")
    add("--seed", type=cli.seed, default=0, help="another seed, other tracks")
    add("--max_length", type=cli.positive_int, help="steps an episode; the environment's own if not given")
    add("--final_mode", action="store_true", help="score many unseen tracks: mean ± standard deviation")
    add("--num_episode", type=cli.episode_count, default=100, help="tracks of --final_mode")
    add("--dream_mode", type=int, nargs="?", const=1, choices=(0, 1), default=0, help="1: in the agent's dream")
    add("--temperature", type=cli.positive_float, default=1.0, help="of the dream: above 1 it is stranger")
    add("--play", action="store_true", help="drive by the arrow keys, in a window")
    add("--record_video", action="store_true", help=f"write an mp4 below {config.VIDEO_DIR}/")
    add("--render_mode", action="store_true", help="watch in a window; closing it ends the program")
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    args.max_length = args.max_length or config.ENVIRONMENTS[args.env_name].max_length
    check_wishes(parser, args)
    return args


def check_wishes(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, and find a driver where none was named."""
    if args.filename and args.generate_data_mode:
        parser.error("give either --filename, a controller to play, or --generate_data_mode")
    if args.dream_mode and args.generate_data_mode:
        parser.error("--generate_data_mode drives on the road: it cannot be dreamt")
    if args.final_mode and (args.record_video or args.render_mode or args.play or args.dream_mode):
        parser.error("--final_mode plays many tracks side by side, on the road: it cannot be watched")
    if args.play and (args.record_video or args.generate_data_mode):
        parser.error("--play is not recorded, and nobody drives but you")
    needs_driver = not (args.generate_data_mode or args.play)
    if needs_driver and not args.filename:
        args.filename = pretrained_driver(parser, args.env_name)


def pretrained_driver(parser: argparse.ArgumentParser, env_name: str) -> Path:
    """The controller that comes with the project, for who has none yet."""
    weights = [folder / "weights.h5" for folder in (config.VAE_DIR, config.RNN_DIR)]
    if any(path.exists() for path in (*weights, *config.CONTROLLER_DIR.glob("*.json"))):
        parser.error("give --filename, one of the controllers that are trained here, or --generate_data_mode")
    name = config.ENVIRONMENTS[env_name].pretrained
    if name is None:
        parser.error(f"give --filename: no driver for {env_name} is trained here, and none comes with the project")
    path = config.PRETRAINED_DIR / config.CONTROLLER_DIR / name
    print(f"nothing is trained here: {path} drives")
    return path


def video_path(args: argparse.Namespace) -> Path:
    name = args.filename.stem if args.filename else f"{args.env_name}.random"
    return config.VIDEO_DIR / f"{name}{'.dream' if args.dream_mode else ''}.seed{args.seed}.mp4"


@contextmanager
def open_shows(args: argparse.Namespace) -> Iterator[list[Show]]:
    """The window and the video that were asked for."""
    with ExitStack() as stack:
        shows = []
        if args.render_mode:
            shows.append(stack.enter_context(open_window("--render_mode")))
        if args.record_video:
            shows.append(stack.enter_context(open_video(video_path(args))))
        yield shows


def play_one(args: argparse.Namespace, agent: Agent, weights: np.ndarray | None) -> Result:
    """Play one track, for the eye too if asked."""
    with open_shows(args) as shows:

        def watch(env: gym.Env, slot: Slot, frame: np.ndarray, z: np.ndarray) -> None:
            reconstruction = agent.vae.decode(z[None])[0]
            picture = compose(env.render(), frame, reconstruction, slot.action, slot.score, slot.steps)
            for show in shows:
                show(picture)

        simulator = Simulator(agent, args.env_name, watch=watch if shows else None)
        [env_seed] = env_seed_range("report", args.seed, 0, 1)
        [result] = simulator.run([Task(weights, env_seed, args.max_length)])
    return result


def dream_one(args: argparse.Namespace, agent: Agent, weights: np.ndarray) -> Result:
    """Let the agent drive in a dream."""
    from display import play

    world = play.Dream(agent, args.temperature, folder_of(args.filename))
    [seed] = env_seed_range("report", args.seed, 0, 1)
    with open_shows(args) as shows:

        def show(picture: np.ndarray) -> frozenset[str]:
            keys = [show_it(picture) or frozenset() for show_it in shows]
            return keys[0] if keys else frozenset()

        return play.episode(world, seed, args.max_length, play.dreaming_driver(world, weights), show)


def play_by_hand(args: argparse.Namespace) -> None:
    """Give the wheel to the person."""
    from display import play

    with open_window("--play") as show:  # before TensorFlow is loaded: without a display, fail at once
        if args.dream_mode:
            agent, _ = load_agent(args.filename, args.layout)
            world = play.Dream(agent, args.temperature, folder_of(args.filename))
        else:
            world = play.Road(args.env_name, load_agent(args.filename, args.layout)[0] if args.filename else None)
        play.by_hand(world, env_seed_range("report", args.seed, 0, cli.MAX_EPISODES), args.max_length, show)


def watch_agent(args: argparse.Namespace) -> None:
    """Play one track or one dream, and say what it scored."""
    result = (dream_one if args.dream_mode else play_one)(args, *load_agent(args.filename, args.layout))
    print(f"{'dreamt ' if args.dream_mode else ''}score {result.score:.1f} in {result.steps} steps")
    if args.record_video:
        print(f"video in {video_path(args)}")


def main() -> None:
    args = parse_args()
    if args.play:
        play_by_hand(args)
    elif args.final_mode:
        agent, weights = load_agent(args.filename, args.layout)
        score_unseen_tracks(Simulator(agent, args.env_name), weights, args.seed, args.num_episode, args.max_length)
    else:
        watch_agent(args)


if __name__ == "__main__":
    cli.run(main, resumable=False)
