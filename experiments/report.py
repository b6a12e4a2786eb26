"""What came of it: pictures of what every stage left, and the driver's score beside other drivers'.

    python experiments/report.py all car_racing --filename controller/car_racing.cma.2.64.best.json
    python experiments/report.py data                      # sample frames with actions and rewards
    python experiments/report.py vae                       # reconstructions, informative latents, latent traversals
    python experiments/report.py rnn                       # the next z and the next reward, expected and come
    python experiments/report.py controller                # scores, learning curve beside the paper's, weights
    python experiments/report.py dream                     # a dream beside the real episode; errors by horizon

Writes PNGs, dream.mp4 and scores.json into report/. `all` gathers everything in report/index.html, one file that needs
nothing else. The scores are those of the trained driver, a random one (the exploration policy of stage 01) and an
untrained agent (every network as it was before it saw anything), on the same unseen tracks.
"""

import argparse
from functools import cache
from pathlib import Path

import numpy as np

import config
import controller.arch as controller
from controller.evaluations import EVALUATION
from controller.files import name_of
from controller.search import ROW
from experiments.html_report import Pictures, write_page
from pipeline import cli
from pipeline.batches import Batch, open_batches_of
from pipeline.errors import UserError
from pipeline.files import file_hash, write_json
from pipeline.seeds import env_seed_range
from simulation.agent import Agent, folder_of, load_agent
from simulation.rollout import Task
from simulation.simulator import Simulator


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("what", choices=(*SECTIONS, "all"), help="the stage to look at, or all of them")
    parser.add_argument("env_name", nargs="?", default="car_racing", help=f"one of {', '.join(config.ENVIRONMENTS)}")
    parser.add_argument("--filename", type=Path, help="controller of stage 05; may be left out where there is only one")
    parser.add_argument("--init_opt", type=Path, help="the search that this one went on from, for its curve")
    parser.add_argument("--num_episode", type=cli.episode_count, default=16, help="tracks to score each driver on")
    parser.add_argument("--seed", type=cli.seed, default=0, help="another seed, other tracks")
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    if args.what == "all" and args.filename and folder_of(args.filename).resolve() != Path.cwd():
        parser.error(f"all: the stages before {args.filename} are in {folder_of(args.filename)}: run it there")
    return args


@cache  # opening hashes them, a second a gigabyte
def obs_batches(env_name: str) -> list[Batch]:
    return list(open_batches_of(env_name, "obs"))


# --- the sections -----------------------------------------------------------------------------------------------------
def report_data(args: argparse.Namespace) -> Pictures:
    from experiments.plots.data import draw_actions, draw_frames

    draw_frames(obs_batches(args.env_name), config.REPORT_DIR / "frames.png")
    draw_actions(obs_batches(args.env_name), config.REPORT_DIR / "actions.png")
    return {
        "frames.png": "Episodes of stage 01.",
        "actions.png": "How often each action was taken, and what it gained.",
    }


def report_vae(args: argparse.Namespace) -> Pictures:
    from experiments.plots.vae import draw_latents, draw_reconstructions

    agent = Agent()
    agent.vae.load(config.VAE_DIR / "weights.h5")
    draw_reconstructions(agent.vae, obs_batches(args.env_name), config.REPORT_DIR / "reconstructions.png")
    draw_latents(agent.vae, obs_batches(args.env_name), config.REPORT_DIR / "latents.png")
    return {
        "reconstructions.png": "Frames, and what the decoder makes of their 32 numbers.",
        "latents.png": "What each latent tells, and what it draws.",
    }


def report_rnn(args: argparse.Namespace) -> Pictures:
    from experiments.plots.rnn import draw_predictions

    agent = Agent()
    hashes = agent.load()
    draw_predictions(agent.rnn, args.env_name, hashes["vae"], config.REPORT_DIR / "predictions.png")
    return {"predictions.png": "What M expected of an episode, one step ahead, and what came."}


def report_controller(args: argparse.Namespace) -> Pictures:
    from experiments.plots.controller import draw_beside_paper, draw_learning_curve, draw_weights, joined, read_settings

    filename = args.filename or only_driver(args.env_name)
    agent, weights = load_agent(filename)
    # Files that are missing are missed now, not after minutes of driving.
    search, log_dir = name_of(filename), folder_of(filename) / config.LOG_DIR
    history, settings = read_history(log_dir, search), read_settings(log_dir / f"{search}.json")
    begun = not settings.get("init_opt")  # from nothing, as the paper's
    if args.init_opt:
        if file_hash(args.init_opt) != settings.get("init_opt"):
            raise UserError(f"--init_opt {args.init_opt} is not the search that {search} went on from")
        earlier = folder_of(args.init_opt) / config.LOG_DIR
        history, begun = joined(read_history(earlier, args.init_opt.name.removesuffix(".es.npz")), history), True
    draw_weights(weights, config.REPORT_DIR / "weights.png")
    scores = score_drivers(args, agent, weights)
    write_json(config.REPORT_DIR / "scores.json", {"filename": str(filename), "seed": args.seed, "scores": scores})
    random_score = float(np.mean(scores["random"]))
    draw_learning_curve(search, *history, config.REPORT_DIR / "learning_curve.png", random_score)
    table = ", ".join(f"{name} {np.mean(values):.1f} ± {np.std(values):.1f}" for name, values in scores.items())
    pictures = {
        "learning_curve.png": f"The search. Scores over {args.num_episode} unseen tracks: {table}.",
        "weights.png": "What the controller looks at.",
    }
    if settings["env_name"] == "car_racing" and not settings.get("dream_mode") and begun:
        draw_beside_paper(search, *history, config.REPORT_DIR / "beside_paper.png")
        pictures["beside_paper.png"] = "The search, and the paper's."
    return pictures


def read_history(log_dir: Path, search: str) -> list[list[dict]]:
    """The rows and the evaluations of a search."""
    from experiments.plots.controller import read_rows

    tables = {"hist": ROW, "log": EVALUATION}
    return [read_rows(log_dir / f"{search}.{kind}.json", names) for kind, names in tables.items()]


def report_dream(args: argparse.Namespace) -> Pictures:
    from experiments.plots.dream import draw_dream, draw_errors

    agent = Agent()
    vae = agent.load()["vae"]
    paths = [config.REPORT_DIR / name for name in ("dream.png", "dream.mp4")]
    draw_dream(agent.vae, agent.rnn, args.env_name, vae, *paths)
    draw_errors(agent.rnn, args.env_name, vae, config.REPORT_DIR / "dream_errors.png")
    return {
        "dream.png": "A real episode, and the dream that goes on from it by the same actions.",
        "dream.mp4": "The same, moving.",
        "dream_errors.png": "How fast dream and episode part, beside guessers that know nothing.",
    }


SECTIONS = {
    "data": report_data,
    "vae": report_vae,
    "rnn": report_rnn,
    "controller": report_controller,
    "dream": report_dream,
}


def only_driver(env_name: str) -> Path:
    """The best controller of the folder, when there is one search of that environment in it."""
    found = sorted(config.CONTROLLER_DIR.glob(f"{env_name}.*.best.json"))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none is there"
        raise UserError(f"give --filename, a controller that stage 05 wrote: {names}")
    return found[0]


# --- scores -----------------------------------------------------------------------------------------------------------
def untrained(seed: int) -> tuple[Agent, np.ndarray]:
    """An agent as it is before stage 02: initial networks, and a first guess of stage 05 as its controller."""
    from pipeline.networks import seed_everything

    seed_everything(seed)
    return Agent(), np.random.default_rng(seed).normal(0, 0.1, controller.NUM_WEIGHTS)


def score_drivers(args: argparse.Namespace, agent: Agent, weights: np.ndarray) -> dict[str, list[float]]:
    """Scores of each driver on the same tracks, printed as a table."""
    tracks = env_seed_range("report", args.seed, 0, args.num_episode)
    max_length = config.ENVIRONMENTS[args.env_name].max_length
    drivers = {"trained": (agent, weights), "random": (agent, None), "untrained": untrained(args.seed)}
    scores = {}
    for name, (its_agent, its_weights) in drivers.items():
        tasks = [Task(its_weights, env_seed, max_length) for env_seed in tracks]
        scores[name] = [result.score for result in Simulator(its_agent, args.env_name).run(tasks)]
        mean, std, low = np.mean(scores[name]), np.std(scores[name]), min(scores[name])
        print(f"{name:>10}: {mean:7.1f} ± {std:5.1f} over {len(tracks)} unseen tracks, min {low:.1f}", flush=True)
    return scores


def main() -> None:
    args = parse_args()
    drawn = {name: SECTIONS[name](args) for name in (SECTIONS if args.what == "all" else [args.what])}
    for name in (name for pictures in drawn.values() for name in pictures):
        print(config.REPORT_DIR / name)
    if args.what == "all":
        write_page(f"World Models, staged: {args.env_name}", drawn, config.REPORT_DIR / "index.html")
        print(f"everything in one page: {config.REPORT_DIR / 'index.html'}")


if __name__ == "__main__":
    cli.run(main, resumable=False)
