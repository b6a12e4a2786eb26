"""Figures of every stage's output, and the agent's scores beside those of a random and an untrained one.

    python experiments/report.py all car_racing --filename controller/car_racing.cma.2.64.best.json
    python experiments/report.py data                      # sample frames with actions and rewards
    python experiments/report.py vae                       # reconstructions, informative latents, latent traversals
    python experiments/report.py rnn                       # the next z and the next reward, predicted and observed
    python experiments/report.py controller                # scores, learning curve beside the paper's, weights
    python experiments/report.py dream                     # a dream beside the real episode; errors by horizon
    python experiments/report.py browser                   # report/dream.html: drive in the dream, in a browser

Writes PNGs, dream.mp4 and scores.json into report/. `all` also writes report/index.html, one file that holds every
figure. Three agents are scored on the same unseen tracks: the trained one, the random policy of stage 01, and an
untrained one (initial networks and a random controller).

`browser`, which `all` leaves out, writes report/dream.html: one file that needs no other and no network, with the
folder's agent or, where nothing is trained, the pretrained one.
"""

import argparse
from functools import cache
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
import controller.arch as controller
from controller.evaluations import EVALUATION
from controller.files import name_of
from controller.search import ROW
from experiments.html_report import Figures, write_report
from pipeline.batches import Batch, open_batches_of
from pipeline.errors import UserError
from pipeline.files import file_hash, write_json
from pipeline.scores import summary
from pipeline.seeds import env_seed_range, rng
from simulation.agent import Agent, default_folder, folder_of, load_agent_and_weights
from simulation.environments import exploration_policy
from simulation.policies import ControllerPolicy, ExplorationPolicy
from simulation.real_world import ROWS, EnvironmentWorld, RealWorld
from simulation.rollout import NO_WEIGHTS, RolloutSettings, rollout


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "what",
        choices=(*SECTIONS, "browser", "all"),
        help="stage to report on, or all of them; browser: the page to drive in",
    )
    environments = ", ".join(config.ENVIRONMENTS)
    parser.add_argument("env_name", nargs="?", default="car_racing", help=f"environment: {environments}")
    parser.add_argument("--filename", type=Path, help="controller of stage 05; needed where there are several")
    parser.add_argument("--init_opt", type=Path, help="search that this one started from; the curve then includes it")
    parser.add_argument(
        "--num_episode", type=cli.episode_count, default=16, help="unseen tracks to score each agent on"
    )
    parser.add_argument("--seed", type=cli.seed, default=0, help="run seed of the unseen tracks")
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    if args.what == "all" and args.filename and folder_of(args.filename).resolve() != Path.cwd():
        parser.error(f"all: the stages before {args.filename} are in {folder_of(args.filename)}: run it there")
    return args


@cache  # opening a batch hashes it, which takes a second per gigabyte
def obs_batches(env_name: str) -> list[Batch]:
    return list(open_batches_of(env_name, "obs"))


# --- the sections -----------------------------------------------------------------------------------------------------
def report_data(args: argparse.Namespace) -> Figures:
    from experiments.plots.data import draw_actions, draw_frames

    draw_frames(obs_batches(args.env_name), config.REPORT_DIR / "frames.png")
    draw_actions(obs_batches(args.env_name), config.REPORT_DIR / "actions.png")
    return {
        "frames.png": "Episodes recorded by stage 01.",
        "actions.png": "Distribution of each action, and of the sum of rewards of an episode.",
    }


def report_vae(args: argparse.Namespace) -> Figures:
    from experiments.plots.vae import draw_latents, draw_reconstructions

    agent = Agent.on_one_thread()
    agent.vae.load(config.VAE_DIR / "weights.h5")
    draw_reconstructions(agent.vae, obs_batches(args.env_name), config.REPORT_DIR / "reconstructions.png")
    draw_latents(agent.vae, obs_batches(args.env_name), config.REPORT_DIR / "latents.png")
    return {
        "reconstructions.png": "Frames, and V's reconstructions from their 32 latents.",
        "latents.png": "Information in each latent, and traversals of the most informative ones.",
    }


def report_rnn(args: argparse.Namespace) -> Figures:
    from experiments.plots.rnn import draw_predictions

    agent = Agent.on_one_thread()
    hashes = agent.load()
    draw_predictions(agent.rnn, args.env_name, hashes["vae"], config.REPORT_DIR / "predictions.png")
    return {"predictions.png": "One episode: M's predictions one step ahead, and the observed values."}


def report_controller(args: argparse.Namespace) -> Figures:
    from experiments.plots import controller as plots

    filename = args.filename or only_controller(args.env_name, Path())
    agent, weights = load_agent_and_weights(filename)
    assert weights is not None  # of a controller file
    # The logs are read before the rollouts, so that a missing file is reported at once and not after minutes.
    search, log_dir = name_of(filename), folder_of(filename) / config.LOG_DIR
    rows, evaluations = read_history(log_dir, search)
    settings = plots.read_search_settings(log_dir / f"{search}.json")
    from_scratch = not settings.init_opt  # as the paper's search
    if args.init_opt:
        if file_hash(args.init_opt) != settings.init_opt:
            raise UserError(f"--init_opt {args.init_opt} is not the search that {search} started from")
        earlier = folder_of(args.init_opt) / config.LOG_DIR
        before = read_history(earlier, name_of(Path(args.init_opt.name.removesuffix(".es.npz"))))
        rows, evaluations = plots.joined(before, [rows, evaluations])
        from_scratch = True
    plots.draw_weights(weights, config.REPORT_DIR / "weights.png")
    scores = score_agents(args, agent, weights)
    write_json(config.REPORT_DIR / "scores.json", {"filename": str(filename), "seed": args.seed, "scores": scores})
    random_score = float(np.mean(scores["random"]))
    plots.draw_learning_curve(search, rows, evaluations, config.REPORT_DIR / "learning_curve.png", random_score)
    table = "; ".join(f"{name}: {summary(values, 'unseen tracks')}" for name, values in scores.items())
    figures = {
        "learning_curve.png": f"Scores of the search by generation. Final scores: {table}.",
        "weights.png": "The controller's weights by input.",
    }
    if settings.env_name == "car_racing" and not settings.dream_mode and from_scratch:
        plots.draw_beside_paper(search, rows, evaluations, config.REPORT_DIR / "beside_paper.png")
        figures["beside_paper.png"] = "The search beside the paper's."
    return figures


def read_history(log_dir: Path, search: str) -> list[list[dict]]:
    """The rows and the evaluations of a search."""
    from experiments.plots.controller import read_rows

    tables = {"hist": ROW, "log": EVALUATION}
    return [read_rows(log_dir / f"{search}.{kind}.json", names) for kind, names in tables.items()]


def report_dream(args: argparse.Namespace) -> Figures:
    from experiments.plots.dream import draw_dream, draw_errors

    agent = Agent.on_one_thread()
    vae = agent.load()["vae"]
    paths = [config.REPORT_DIR / name for name in ("dream.png", "dream.mp4")]
    draw_dream(agent.vae, agent.rnn, args.env_name, vae, *paths)
    draw_errors(agent.rnn, args.env_name, vae, config.REPORT_DIR / "dream_errors.png")
    return {
        "dream.png": "A real episode, and the dream that continues it under the same actions.",
        "dream.mp4": "The same as a video.",
        "dream_errors.png": "Error of the dream by horizon, beside two baselines without training.",
    }


SECTIONS = {
    "data": report_data,
    "vae": report_vae,
    "rnn": report_rnn,
    "controller": report_controller,
    "dream": report_dream,
}


def report_browser(args: argparse.Namespace) -> Path:
    from experiments.browser.page import write_page

    filename = args.filename or only_controller(args.env_name, default_folder())
    path = config.REPORT_DIR / "dream.html"
    [env_seed] = env_seed_range("report", args.seed, 0, 1)
    write_page(filename, args.env_name, env_seed, path)
    return path


def only_controller(env_name: str, folder: Path) -> Path:
    """The best controller of a folder, when the folder holds exactly one search of that environment."""
    found = sorted((folder / config.CONTROLLER_DIR).glob(f"{env_name}.*.best.json"))
    if not found:
        where = folder / config.CONTROLLER_DIR
        raise UserError(f"no {env_name}.*.best.json in {where}/: run 05_train_controller.py first")
    if len(found) > 1:
        raise UserError(f"give --filename, one of the controllers that are there: {', '.join(map(str, found))}")
    return found[0]


# --- scores -----------------------------------------------------------------------------------------------------------
def untrained(seed: int) -> tuple[Agent, np.ndarray]:
    """An agent before stage 02: networks with initial weights, and a random controller (867,)."""
    from pipeline.networks import seed_everything

    seed_everything(seed)
    return Agent.on_one_thread(), rng("untrained", seed).normal(0, 0.1, controller.NUM_WEIGHTS)


def score_agents(args: argparse.Namespace, agent: Agent, weights: np.ndarray) -> dict[str, list[float]]:
    """Scores of three agents on the same unseen tracks; prints a line for each."""
    max_length = config.ENVIRONMENTS[args.env_name].max_length
    settings = RolloutSettings(env=args.env_name, seed=args.seed, num_episode=args.num_episode, max_length=max_length)
    agents = {"trained": (agent, weights), "random": (None, NO_WEIGHTS), "untrained": untrained(args.seed)}
    scores = {}
    for name, (its_agent, its_weights) in agents.items():
        tasks = settings.tasks(its_weights)
        if its_agent:
            results = rollout(RealWorld(its_agent, args.env_name), ControllerPolicy(ROWS), tasks)
        else:
            policy = ExplorationPolicy(exploration_policy(args.env_name), ROWS)
            results = rollout(EnvironmentWorld(args.env_name), policy, tasks)
        scores[name] = [result.score for result in results]
        print(f"{name:>10}: {summary(scores[name], 'unseen tracks')}", flush=True)
    return scores


def main() -> None:
    args = parse_args()
    if args.what == "browser":
        print(f"open {report_browser(args)} in a browser")
        return
    drawn = {name: SECTIONS[name](args) for name in (SECTIONS if args.what == "all" else [args.what])}
    for name in (name for figures in drawn.values() for name in figures):
        print(config.REPORT_DIR / name)
    if args.what == "all":
        write_report(f"World Models, staged: {args.env_name}", drawn, config.REPORT_DIR / "index.html")
        print(f"HTML report: {config.REPORT_DIR / 'index.html'}")


if __name__ == "__main__":
    cli.run(main, resumable=False)
