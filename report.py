"""What came of it: the driver's score beside other drivers', and pictures of what the stages left.

    python report.py car_racing --filename controller/car_racing.cma.2.64.best.json

Scores the trained driver, a random driver (the exploration policy of stage 01) and an untrained agent (every network as
it was before it saw anything) on the same fresh tracks. Writes report/scores.json, report/reconstructions.png (frames
above what the VAE makes of them) and report/learning_curve.png (the search of that name).
"""

import argparse
from pathlib import Path

import numpy as np

import cli
import config
import controller.arch as controller
from controller.search import EVALUATION, ROW
from lanes import Task
from model import Agent, Simulator, load_agent
from rollouts import UserError, atomic_write, open_batches_of, read_json, real_steps, write_json

PICTURES = 10


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("env_name", help=f"environment: {', '.join(config.ENVIRONMENTS)}")
    parser.add_argument("--filename", type=Path, required=True, help="controller, a .json that stage 05 wrote")
    parser.add_argument("--num_episode", type=cli.tracks, default=16, help="tracks to score each driver on")
    parser.add_argument("--seed", type=cli.seed, default=0, help="another seed, other tracks")
    args = parser.parse_args()
    cli.check_environment(parser, args.env_name)
    return args


def untrained(seed: int) -> tuple[Agent, np.ndarray]:
    """An agent as it is before stage 02: initial networks, and a first guess of stage 05 as its controller."""
    from nets import seed_everything

    seed_everything(seed)
    return Agent(), np.random.default_rng(seed).normal(0, 0.1, controller.NUM_WEIGHTS)


def score_drivers(args: argparse.Namespace, agent: Agent, weights: np.ndarray) -> dict[str, list[float]]:
    """Scores of each driver on the same tracks, printed as a table."""
    tracks = config.track_seeds("report", args.seed, 0, args.num_episode)
    max_length = config.ENVIRONMENTS[args.env_name].max_length
    drivers = {"trained": (agent, weights), "random": (agent, None), "untrained": untrained(args.seed)}
    scores = {}
    for name, (its_agent, its_weights) in drivers.items():
        tasks = [Task(its_weights, track, max_length) for track in tracks]
        scores[name] = [result.score for result in Simulator(its_agent, args.env_name).run(tasks)]
        mean, std, low = np.mean(scores[name]), np.std(scores[name]), min(scores[name])
        print(f"{name:>10}: {mean:7.1f} ± {std:5.1f} over {len(tracks)} fresh tracks, lowest {low:.1f}", flush=True)
    return scores


def new_figure(width: float, height: float) -> tuple[object, object]:
    """A figure drawn without a display, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def save_figure(figure: object, path: Path) -> None:
    with atomic_write(path) as part:
        figure.savefig(part, dpi=120)


def draw_reconstructions(agent: Agent, env_name: str, path: Path) -> None:
    """Frames of the environment's first batch, and below each what the decoder makes of its z."""
    batch = next(open_batches_of(env_name, "obs"))
    episode, step = np.nonzero(real_steps(batch["done_data"]))
    chosen = np.random.default_rng(0).choice(len(step), PICTURES, replace=len(step) < PICTURES)
    frames = np.stack([batch["obs_data"][episode[i], step[i]] for i in chosen])
    mu, _ = agent.vae.encode(frames, PICTURES)
    rows = [np.concatenate(list(images), axis=1) for images in (frames, agent.vae.decode(mu))]
    figure, axes = new_figure(PICTURES, 2.2)
    axes.imshow(np.concatenate(rows), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title("frames (above) and their reconstructions (below)")
    save_figure(figure, path)


def draw_learning_curve(
    name: str,
    rows: list[dict],
    evaluations: list[dict],
    path: Path,
    random_score: float | None = None,
    evaluated: str = "mean of the search",
) -> None:
    """Population and evaluations of a search by generation; the random driver's score, if given, for comparison."""
    figure, axes = new_figure(8, 5)
    generation = [row["generation"] for row in rows]
    axes.fill_between(generation, [row["min"] for row in rows], [row["max"] for row in rows], alpha=0.15)
    axes.plot(generation, [row["mean"] for row in rows], label="population: mean, and min to max")
    axes.errorbar(
        [row["generation"] for row in evaluations],
        [row["mean"] for row in evaluations],
        [row["std"] for row in evaluations],
        fmt="o-",
        capsize=3,
        label=f"{evaluated} on fresh tracks ± std",
    )
    if random_score is not None:
        axes.axhline(random_score, linestyle=":", color="grey", label="random driver")
    axes.set(xlabel="generation", ylabel="score", title=name)
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def read_rows(path: Path, names: tuple[str, ...]) -> list[dict]:
    """The rows of a search's history, each with the numbers of those names; UserError when they are something else."""
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and names == tuple(row) for row in rows):
        raise UserError(f"{path} is not the history of a search: need rows of {', '.join(names)}")
    if not all(type(number) in (int, float) for row in rows for number in row.values()):
        raise UserError(f"{path} is not the history of a search: it holds something that is not a number")
    return rows


def main() -> None:
    args = parse_args()
    agent, weights = load_agent(args.filename)
    # Files that are missing are missed now, not after minutes of driving.
    search = args.filename.name.removesuffix(".json").removesuffix(".best").removesuffix(".current")
    tables = {"hist": ROW, "log": EVALUATION}
    history = [read_rows(config.LOG_DIR / f"{search}.{kind}.json", names) for kind, names in tables.items()]
    draw_reconstructions(agent, args.env_name, config.REPORT_DIR / "reconstructions.png")
    scores = score_drivers(args, agent, weights)
    write_json(config.REPORT_DIR / "scores.json", {"filename": str(args.filename), "seed": args.seed, "scores": scores})
    random_score = float(np.mean(scores["random"]))
    draw_learning_curve(search, *history, config.REPORT_DIR / "learning_curve.png", random_score)
    print(f"scores, reconstructions and learning curve in {config.REPORT_DIR}/")


if __name__ == "__main__":
    cli.run(main, resumable=False)
