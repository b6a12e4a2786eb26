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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gymnasium as gym
import numpy as np

import cli
import config
import controller.arch as controller
import screen
from lanes import ROWS, Active, Lane, Lanes, Result, Task, score_fresh_tracks
from rollouts import UserError

Watch = Callable[[gym.Env, Lane, np.ndarray, np.ndarray], None]  # environment, lane, its frame (64, 64, 3), its z (32,)


class Agent:
    """V and M: what an agent has besides its controller's 867 weights.

    They run on one thread: worker processes fill the cores, and results do not depend on how many those are.

    Args:
        sample_z: drive by a z drawn from N(mu, sigma²), not by its mean mu (DEVIATIONS 9).
        previous_action: tell M the action before the present one beside z, as the tutorial does (DEVIATIONS 8).
    """

    def __init__(self, sample_z: bool = False, previous_action: bool = False) -> None:
        from nets import set_threads  # imports TensorFlow, which --help and mistakes need not wait for
        from rnn.arch import RNN
        from vae.arch import VAE

        set_threads(1)
        self.vae, self.rnn = VAE(), RNN()
        self.sample_z, self.previous_action = sample_z, previous_action

    def load(self, folder: Path = Path()) -> dict[str, str]:
        """Load the weights that stages 02 and 04 left in a folder; returns their hashes, {"vae": ..., "rnn": ...}."""
        vae_path, rnn_path = folder / config.VAE_DIR / "weights.h5", folder / config.RNN_DIR / "weights.h5"
        vae = self.vae.load(vae_path)
        self.hashes = {"vae": vae, "rnn": self.rnn.load(rnn_path, vae)}
        return self.hashes


class Simulator(Lanes):
    """Drives episodes in lock-step lanes: one call of each network a step serves them all.

    A score depends on the task and on `patience` alone, not on what drives in the other lanes.

    Args:
        agent: whose V and M see and remember.
        env_name, patience, lanes: as for Lanes.
        watch: called at each step of every lane and at its last frame, for windows, videos and stage 01.
    """

    def __init__(
        self, agent: Agent, env_name: str, patience: int | None = None, watch: Watch | None = None, lanes: int = ROWS
    ) -> None:
        super().__init__(env_name, patience, lanes, "rgb_array" if watch else None)
        self.agent, self.watch = agent, watch
        rows = len(self.frames)
        self.gained = np.zeros((rows, 1), np.float32)
        self.h, self.c = np.zeros((2, rows, config.HIDDEN_UNITS), np.float32)
        self.W, self.b = controller.unpack(np.zeros((rows, controller.NUM_WEIGHTS)))
        self.noise = [np.random.default_rng() for _ in range(rows)]

    def begin(self, row: int, lane: Lane) -> None:
        self.h[row] = self.c[row] = 0
        self.noise[row] = np.random.default_rng([lane.task.track, 3])
        if lane.task.weights is not None:
            self.W[row], self.b[row] = controller.unpack(lane.task.weights)

    def act(self, active: Active) -> None:
        """Frame -> z_t; action_t = C(z_t, h_t); h_{t+1} = M(z_t, action_t, reward_t > 0)."""
        z, log_var = self.agent.vae.encode(self.frames, ROWS)
        if self.agent.sample_z:
            z += np.exp(log_var / 2) * [rng.standard_normal(config.Z_DIM, np.float32) for rng in self.noise]
        actions = controller.act(self.W, self.b, z, self.h)
        told = actions.copy()
        for row, lane in active:
            self.gained[row] = lane.reward > 0
            if lane.explores():
                actions[row] = self.settings.explore(lane.steps, lane.action, lane.rng, lane.task.refresh_rate)
            told[row] = lane.action if self.agent.previous_action else actions[row]
            lane.action = actions[row].copy()
            if self.watch:
                self.watch(self.envs[row], lane, self.frames[row], z[row])
        x = np.concatenate([z, told, self.gained], axis=1)
        for i in range(0, len(x), ROWS):
            call = slice(i, i + ROWS)
            self.h[call], self.c[call] = self.agent.rnn.step(x[call], self.h[call], self.c[call])

    def end(self, row: int, lane: Lane) -> None:
        if self.watch:  # the last frame too
            mu, _ = self.agent.vae.encode(self.frames[row : row + 1], ROWS)
            self.watch(self.envs[row], lane, self.frames[row], mu[0])


# --- the command ------------------------------------------------------------------------------------------------------
def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("env_name", nargs="?", default="car_racing", help=f"environment: {', '.join(config.ENVIRONMENTS)}")
    add("--filename", type=Path, help="controller to play, a .json that stage 05 wrote")
    add("--generate_data_mode", action="store_true", help="drive at random as stage 01 does, without a controller")
    add("--seed", type=cli.seed, default=0, help="another seed, other tracks")
    add("--max_length", type=cli.positive_int, help="steps an episode; the environment's own if not given")
    add("--final_mode", action="store_true", help="score many fresh tracks: mean ± standard deviation")
    add("--num_episode", type=cli.tracks, default=100, help="tracks of --final_mode")
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


def folder_of(filename: Path | None) -> Path:
    """Where a controller's V and M are: in the folder that its controller/ lies in, else in the working directory."""
    if filename and filename.parent.name == str(config.CONTROLLER_DIR):
        folder = filename.parent.parent
        if (folder / config.VAE_DIR / "weights.h5").exists():
            return folder
    return Path()


def load_agent(filename: Path | None) -> tuple[Agent, np.ndarray | None]:
    """The agent and the controller's weights; UserError when it learned with another V or M."""
    weights, _, about = controller.load(filename) if filename else (None, 0, {})
    agent = Agent(about.get("sample_z", 0), about.get("previous_action", 0))
    folder = folder_of(filename)
    for name, digest in agent.load(folder).items():
        if about.get(name, digest) != digest:
            what = f"{filename} learned with {name} {about[name]}, {folder / name}/weights.h5 is {digest}"
            raise UserError(f"{what}: put that one back, or train a controller for this one")
    return agent, weights


def video_path(args: argparse.Namespace) -> Path:
    name = args.filename.stem if args.filename else f"{args.env_name}.random"
    return config.VIDEO_DIR / f"{name}{'.dream' if args.dream_mode else ''}.seed{args.seed}.mp4"


@contextmanager
def open_shows(args: argparse.Namespace) -> Iterator[list[screen.Show]]:
    """The window and the video that were asked for."""
    with ExitStack() as stack:
        shows = []
        if args.render_mode:
            shows.append(stack.enter_context(screen.window("--render_mode")))
        if args.record_video:
            shows.append(stack.enter_context(screen.video(video_path(args))))
        yield shows


def play_one(args: argparse.Namespace, agent: Agent, weights: np.ndarray | None) -> Result:
    """Play one track, for the eye too if asked."""
    with open_shows(args) as shows:

        def watch(env: gym.Env, lane: Lane, frame: np.ndarray, z: np.ndarray) -> None:
            reconstruction = agent.vae.decode(z[None])[0]
            picture = screen.compose(env.render(), frame, reconstruction, lane.action, lane.score, lane.steps)
            for show in shows:
                show(picture)

        simulator = Simulator(agent, args.env_name, watch=watch if shows else None)
        [track] = config.track_seeds("report", args.seed, 0, 1)
        [result] = simulator.run([Task(weights, track, args.max_length)])
    return result


def dream_one(args: argparse.Namespace, agent: Agent, weights: np.ndarray) -> Result:
    """Let the agent drive in a dream."""
    import play

    world = play.Dream(agent, args.temperature, folder_of(args.filename))
    [seed] = config.track_seeds("report", args.seed, 0, 1)
    with open_shows(args) as shows:

        def show(picture: np.ndarray) -> frozenset[str]:
            keys = [show_it(picture) or frozenset() for show_it in shows]
            return keys[0] if keys else frozenset()

        return play.episode(world, seed, args.max_length, play.dreaming_driver(world, weights), show)


def play_by_hand(args: argparse.Namespace) -> None:
    """Give the wheel to the person."""
    import play

    with screen.window("--play") as show:  # before TensorFlow is loaded: without a display, fail at once
        if args.dream_mode:
            agent, _ = load_agent(args.filename)
            world = play.Dream(agent, args.temperature, folder_of(args.filename))
        else:
            world = play.Road(args.env_name, load_agent(args.filename)[0] if args.filename else None)
        play.by_hand(world, config.track_seeds("report", args.seed, 0, cli.MAX_TRACKS), args.max_length, show)


def watch_agent(args: argparse.Namespace) -> None:
    """Play one track or one dream, and say what it scored."""
    result = (dream_one if args.dream_mode else play_one)(args, *load_agent(args.filename))
    print(f"{'dreamt ' if args.dream_mode else ''}score {result.score:.1f} in {result.steps} steps")
    if args.record_video:
        print(f"video in {video_path(args)}")


def main() -> None:
    args = parse_args()
    if args.play:
        play_by_hand(args)
    elif args.final_mode:
        agent, weights = load_agent(args.filename)
        score_fresh_tracks(Simulator(agent, args.env_name), weights, args.seed, args.num_episode, args.max_length)
    else:
        watch_agent(args)


if __name__ == "__main__":
    cli.run(main, resumable=False)
