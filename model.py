"""The agent (V, M and C): plays an episode, displays or records it, or scores unseen tracks; also a library.

    python model.py car_racing --filename ./controller/car_racing.cma.4.32.best.json --render_mode --record_video
    python model.py car_racing --filename ./controller/car_racing.cma.4.32.best.json --final_mode
    python model.py car_racing --filename FILE --dream_mode --render_mode    # the agent in its dream
    python model.py --play                                                   # drive with the arrow keys
    python model.py --final_mode                                             # without --filename: the pretrained agent
    python model.py --status               # what of stages 01 to 05 is done in this folder, what runs, what comes next

Plays one track and prints its score; --final_mode scores 100 unseen tracks. V and M are loaded from vae/weights.h5 and
rnn/weights.h5 of the folder that holds the controller's controller/ folder. From Python (docs/library.md):

    from model import load_agent

    agent = load_agent()  # the pretrained one; or of a folder, or of a controller file
    env = agent.make_env()
    frame, _ = env.reset(seed=7)
    frame, reward, terminated, truncated, _ = env.step(agent.act(frame))
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from controller.arch import squash
from controller.files import LAYOUTS, recorded_env
from display import play
from display.video import FPS, open_video
from display.window import open_window
from pipeline.entries import check_car
from pipeline.seeds import env_seed_range
from simulation.agent import default_folder, folder_of, has_trained_agent, load_agent_and_weights, load_networks
from simulation.dream import single_dream
from simulation.environments import exploration_policy, frames_per_second, try_env
from simulation.own_data import Episode, write_episodes
from simulation.policies import ControllerPolicy, ExplorationPolicy
from simulation.real_world import EnvironmentWorld, RealWorld
from simulation.rollout import NO_WEIGHTS, Policy, Result, RolloutSettings, Task, World, score_unseen_tracks
from simulation.trained_agent import load_agent

__all__ = ["Episode", "load_agent", "squash", "write_episodes"]  # the library


# --- the command ------------------------------------------------------------------------------------------------------
def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    names = f"{', '.join(config.ENVIRONMENTS)}; default: that of --filename, or car_racing"
    add("env_name", nargs="?", help=f"environment: {names}")
    add("--filename", type=Path, help="controller, a .json of stage 05")
    add("--layout", choices=LAYOUTS, help="order of the weights in --filename; default: the one it records")
    add("--generate_data_mode", action="store_true", help="use the exploration policy of stage 01, no controller")
    add("--seed", type=cli.seed, default=0, help="seed of the tracks, or of the dream")
    add("--max_length", type=cli.max_length, help="steps per episode; default, or -1: the environment's")
    add("--final_mode", action="store_true", help="score many unseen tracks: mean ± std and minimum")
    add("--num_episode", type=cli.episode_count, default=100, help="number of tracks of --final_mode")
    add("--dream_mode", type=int, nargs="?", const=1, choices=(0, 1), default=0, help="1: play in the agent's dream")
    add(
        "--temperature",
        type=cli.positive_float,
        default=1.0,
        help="temperature of M's samples in the dream; above 1 more uncertain",
    )
    add("--play", action="store_true", help="drive with the arrow keys, in a window")
    add("--record_video", action="store_true", help=f"write an mp4 into {config.VIDEO_DIR}/")
    add("--render_mode", action="store_true", help="display in a window; closing it stops the program")
    add("--status", action="store_true", help="print what of the five stages is done here, what runs and comes next")
    args = parser.parse_args()
    args.env_name = args.env_name or (args.filename and recorded_env(args.filename)) or "car_racing"
    cli.check_environment(parser, args.env_name)
    args.max_length = args.max_length or config.ENVIRONMENTS[args.env_name].max_length
    check_flags(parser, args)
    return args


def check_flags(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse flags that exclude each other, and set --filename to the pretrained controller where it is missing."""
    if args.filename and args.generate_data_mode:
        parser.error("give either --filename or --generate_data_mode")
    if args.dream_mode and args.generate_data_mode:
        parser.error("--generate_data_mode is not available with --dream_mode")
    if args.final_mode and (args.record_video or args.render_mode or args.play or args.dream_mode):
        parser.error("--final_mode scores real tracks without display: leave out the window, video and dream flags")
    if args.play and (args.record_video or args.generate_data_mode):
        parser.error("--play excludes --record_video and --generate_data_mode")
    needs_controller = not (args.generate_data_mode or args.play or args.status)
    if needs_controller and not args.filename:
        args.filename = pretrained_controller(parser, args.env_name)


def pretrained_controller(parser: argparse.ArgumentParser, env_name: str) -> Path:
    """The shipped controller; an argument error where the working directory holds trained weights or controllers."""
    if has_trained_agent():
        parser.error("give --filename, a controller of this folder, or --generate_data_mode")
    name = config.ENVIRONMENTS[env_name].pretrained
    if name is None:
        parser.error(f"give --filename: this folder has no controller for {env_name}, and none is shipped")
    path = config.PRETRAINED_DIR / config.CONTROLLER_DIR / name
    print(f"no trained agent in this folder: using {path}")
    return path


def video_path(args: argparse.Namespace) -> Path:
    """Where --record_video writes."""
    name = args.filename.stem if args.filename else f"{args.env_name}.random"
    return config.VIDEO_DIR / f"{name}{'.dream' if args.dream_mode else ''}.seed{args.seed}.mp4"


@contextmanager
def open_outputs(args: argparse.Namespace) -> Iterator[list[play.Show]]:
    """Open the window and the video of the command line; yields the functions that show or record an image."""
    fps = frames_per_second(args.env_name) if args.record_video else FPS
    with ExitStack() as stack:
        outputs: list[play.Show] = []
        if args.render_mode:
            outputs.append(stack.enter_context(open_window("--render_mode")))
        if args.record_video:
            outputs.append(stack.enter_context(open_video(video_path(args), fps)))
        yield outputs


def open_world(args: argparse.Namespace, render_mode: str | None = None) -> tuple[World, Policy[Any], np.ndarray]:
    """The real world, the policy and the policy's weights of the command line."""
    try_env(args.env_name)
    if args.generate_data_mode:
        explored = EnvironmentWorld(args.env_name, render_mode=render_mode)
        assert explored.actions  # its environment is in config.py
        explore = exploration_policy(args.env_name)
        return explored, ExplorationPolicy(explore, explored.rows, count=explored.actions.count), NO_WEIGHTS
    agent, weights = load_agent_and_weights(args.filename, args.layout)
    world = RealWorld(agent, args.env_name, render_mode=render_mode)
    return world, ControllerPolicy(world.rows, world.form), weights


def play_track(args: argparse.Namespace) -> Result:
    """Play one track, with display if the command line asks for it."""
    [env_seed] = env_seed_range("report", args.seed, 0, 1)
    with open_outputs(args) as outputs:
        world, policy, weights = open_world(args, "rgb_array" if outputs else None)
        display = play.InteractiveDisplay(play.draw_real, outputs)
        return play.run_episode(world, policy, Task(env_seed, args.max_length, weights), display)


def play_dream(args: argparse.Namespace) -> Result:
    """Play one dream, with display if the command line asks for it."""
    [seed] = env_seed_range("report", args.seed, 0, 1)
    with open_outputs(args) as outputs:
        agent, weights = load_agent_and_weights(args.filename, args.layout)
        world = single_dream(agent, folder_of(args.filename), args.temperature, args.env_name)
        display = play.InteractiveDisplay(play.draw_dream, outputs)
        policy = ControllerPolicy(world.rows, world.form)
        return play.run_episode(world, policy, Task(seed, args.max_length, weights), display)


def play_with_keyboard(args: argparse.Namespace) -> None:
    """Let a person drive, in the real environment or in a dream."""
    check_car("--play", args.env_name)
    remedy = "driving needs a screen and a keyboard, on this machine or by `ssh -X`; --record_video shows the agent"
    with open_window("--play", remedy=remedy) as show:  # before TensorFlow is loaded: fail at once without a display
        env_seeds = env_seed_range("report", args.seed, 0, cli.MAX_EPISODES)
        if args.dream_mode:
            folder = folder_of(args.filename) if args.filename else default_folder()
            agent = load_agent_and_weights(args.filename, args.layout)[0] if args.filename else load_networks(folder)
            keyboard = play.Keyboard(play.draw_dream, [play.limit_fps(show)], play.COUNTDOWN)
            dream = single_dream(agent, folder, args.temperature, args.env_name)
            play.play_episodes(dream, env_seeds, args.max_length, keyboard)
        else:
            keyboard = play.Keyboard(play.draw_real, [play.limit_fps(show)], play.COUNTDOWN)
            world = EnvironmentWorld(args.env_name, rows=1, render_mode="rgb_array")
            if args.filename:
                agent, _ = load_agent_and_weights(args.filename, args.layout)
                world = RealWorld(agent, args.env_name, rows=1, render_mode="rgb_array")
            play.play_episodes(world, env_seeds, args.max_length, keyboard)


def play_agent(args: argparse.Namespace) -> None:
    """Play one track or one dream, and print its score."""
    result = (play_dream if args.dream_mode else play_track)(args)
    print(f"{'dream ' if args.dream_mode else ''}score {result.score:.1f} in {result.steps} steps")
    if args.record_video:
        print(f"video in {video_path(args)}")


def main() -> None:
    args = parse_args()
    if args.status:
        from display.next_step import report  # loads h5py: --help must not wait

        print(report())
    elif args.play:
        play_with_keyboard(args)
    elif args.final_mode:
        world, policy, weights = open_world(args)
        settings = RolloutSettings(
            env=args.env_name, seed=args.seed, num_episode=args.num_episode, max_length=args.max_length
        )
        score_unseen_tracks(world, policy, settings, weights)
    else:
        play_agent(args)


if __name__ == "__main__":
    cli.run(main, resumable=False)
