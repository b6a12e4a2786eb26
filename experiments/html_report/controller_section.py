"""The report's section of stage 05: the scores of its agent, a video, its search and its weights."""

import argparse
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import config
from controller.evaluations import EVALUATION
from controller.files import best_controllers, name_of, only_controller
from controller.search import ROW
from experiments.html_report import provenance
from experiments.html_report.figures import Figure, said
from experiments.html_report.provenance import Provenance
from pipeline.entries import action_names
from pipeline.errors import UserError
from pipeline.files import file_hash, read_json, write_json
from simulation.agent import Agent, folder_of, load_agent_and_weights
from simulation.rollout import RolloutSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

VIDEO = "driving.mp4"
Args = argparse.Namespace


def has_controllers(args: Args) -> bool:
    """Whether the working directory holds the controller of a search of the environment, or several."""
    return bool(best_controllers(Path(), f"{args.env_name}.*"))


def chosen_controller(args: Args, folder: Path = Path()) -> Path:
    """--filename, or the best controller of the only search of the environment in a folder."""
    several = "give --filename, one of the controllers that are there"
    return args.filename or only_controller(folder, f"{args.env_name}.*", several)


def read_history(log_dir: Path, search: str) -> list[list[dict]]:
    """The rows and the evaluations of a search."""
    from experiments.plots.controller import read_rows

    tables = {"hist": ROW, "log": EVALUATION}
    return [read_rows(log_dir / f"{search}.{kind}.json", names) for kind, names in tables.items()]


def score_settings(args: Args) -> RolloutSettings:
    """The unseen tracks that the agents are scored on."""
    max_length = config.ENVIRONMENTS[args.env_name].max_length
    return RolloutSettings(env=args.env_name, seed=args.seed, num_episode=args.num_episode, max_length=max_length)


def saved_scores(args: Args) -> dict[str, Any]:
    """What report/scores.json holds; UserError if it is missing or of another controller."""
    path, filename = config.REPORT_DIR / "scores.json", chosen_controller(args)
    if not path.exists():
        raise UserError(f"{path} is not there: leave out --draw_only, and the agents are scored")
    saved = read_json(path)
    complete = isinstance(saved, dict) and saved.keys() >= {"scores", "seed", "num_episode"}
    if not complete or saved.get("sha256") != file_hash(filename):
        raise UserError(f"{path} is not of {filename}: leave out --draw_only, and the agents are scored")
    return saved


def write_scores(args: Args, agent: Agent, weights: np.ndarray) -> None:
    """Score the agent beside two others, film it, and write scores.json."""
    from experiments.html_report.agent_drive import score_agents

    filename, settings = chosen_controller(args), score_settings(args)
    scores = score_agents(agent, weights, settings, config.REPORT_DIR / VIDEO)
    content = {"filename": str(filename), "sha256": file_hash(filename), **asdict(settings), "scores": scores}
    write_json(config.REPORT_DIR / "scores.json", content)


@dataclass(frozen=True)
class Search:
    """What the logs say of the search of a controller.

    Attributes:
        rows, evaluations: its history, that of the search of --init_opt in front.
        beside_paper: whether it can be compared with the paper's: of the car on the road, and all of it is known.
    """

    name: str
    rows: list[dict]
    evaluations: list[dict]
    beside_paper: bool


def read_search(args: Args, filename: Path) -> Search:
    """Read the search of a controller file; UserError if a log is missing, or --init_opt is not where it started."""
    from experiments.plots.controller import joined, read_search_settings

    name, log_dir = name_of(filename), folder_of(filename) / config.LOG_DIR
    history, settings = read_history(log_dir, name), read_search_settings(log_dir / f"{name}.json")
    from_scratch = not settings.init_opt  # as the paper's search
    if args.init_opt:
        if file_hash(args.init_opt) != settings.init_opt:
            raise UserError(f"--init_opt {args.init_opt} is not the search that {name} started from")
        earlier = folder_of(args.init_opt) / config.LOG_DIR
        history = joined(read_history(earlier, name_of(Path(args.init_opt.name.removesuffix(".es.npz")))), history)
        from_scratch = True
    on_the_road = settings.env_name == "car_racing" and not settings.dream_mode
    rows, evaluations = history
    return Search(name, rows, evaluations, on_the_road and from_scratch)


def check_video(args: Args) -> None:
    """Raise UserError unless report/ holds the video of the controller's drive, which its scores come with."""
    saved_scores(args)
    if not (config.REPORT_DIR / VIDEO).exists():
        raise UserError(f"{config.REPORT_DIR / VIDEO} is not there: leave out --draw_only")


def learning_curve(args: Args, search: Search) -> "MatplotlibFigure":
    """The learning curve, with the random policy's score where it was measured."""
    from experiments.plots.controller import draw_learning_curve

    random_score = None
    with suppress(UserError):  # not scored
        random_score = float(np.mean(saved_scores(args)["scores"]["random"]))
    return draw_learning_curve(search.name, search.rows, search.evaluations, random_score)


def controller_figures(args: Args) -> list[Figure]:
    from experiments.plots.controller import draw_beside_paper, draw_weights
    from experiments.plots.scores import draw_scores

    filename = chosen_controller(args)
    agent, weights = load_agent_and_weights(filename)
    # The logs are read before the rollouts, so that a missing file is reported at once and not after minutes.
    search = read_search(args, filename)
    if not args.draw_only:
        write_scores(args, agent, weights)
    figures = [
        Figure(
            VIDEO,
            "The agent drives",
            "The first of the unseen tracks, in real time: the game, the agent's frame, and its reconstruction from z.",
            said(
                args.env_name,
                "a whole lap on the road, in fewer than 1,000 steps: the score is then above 900.",
                "it does what brings reward, from the first step to the last.",
            ),
            lambda: check_video(args),
        ),
        Figure(
            "scores.png",
            "Score of every track",
            "Each dot is the score on one unseen track; the random and the untrained agent drove the same ones.",
            said(
                args.env_name,
                "all dots of the trained agent lie together at 900 and above; a single one far below is a crash.",
                "the dots of the trained agent lie to the right of the others.",
            ),
            lambda: draw_scores(saved_scores(args)["scores"]),
        ),
        Figure(
            "learning_curve.png",
            "Learning curve",
            "Scores of the candidates of each generation, and of the mean of the search on tracks of its own.",
            "the evaluations rise, then stay level with a small deviation; the last ones are no worse than the best.",
            lambda: learning_curve(args, search),
        ),
        Figure(
            "weights.png",
            "Weights of C",
            "The weight of every input of the linear controller, for each action.",
            "both z and h have weights that differ from zero: C uses what V sees and what M predicts.",
            lambda: draw_weights(weights, action_names(args.env_name, agent.sizes.actions), agent.sizes.z),
        ),
    ]
    if search.beside_paper:
        beside = Figure(
            "beside_paper.png",
            "Beside the paper's search",
            "Evaluations of this search, and of the paper's, by episodes and by wall time.",
            "the score of the paper's last point, 900, is reached further to the left.",
            lambda: draw_beside_paper(search.rows, search.evaluations),
        )
        figures.append(beside)
    return figures


def controller_provenance(args: Args) -> Provenance:
    from experiments.plots.controller import read_search_settings

    filename = chosen_controller(args)
    search, log_dir = name_of(filename), folder_of(filename) / config.LOG_DIR
    rows, _ = read_history(log_dir, search)
    return provenance.of_search(read_search_settings(log_dir / f"{search}.json"), rows)
