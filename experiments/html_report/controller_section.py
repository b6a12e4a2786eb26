"""The report's section of stage 05: the scores of its agent, a video, its search and its weights."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import config
from controller.evaluations import EVALUATION
from controller.files import name_of
from controller.search import ROW
from experiments.html_report import provenance
from experiments.html_report.figures import Figure
from experiments.html_report.provenance import Provenance
from pipeline.errors import UserError
from pipeline.files import file_hash, read_json, write_json
from simulation.agent import Agent, folder_of, load_agent_and_weights
from simulation.rollout import RolloutSettings

VIDEO = "driving.mp4"
Args = argparse.Namespace


def controllers(env_name: str, folder: Path) -> list[Path]:
    """The best controllers of the searches in a folder, of one environment."""
    return sorted((folder / config.CONTROLLER_DIR).glob(f"{env_name}.*.best.json"))


def only_controller(env_name: str, folder: Path) -> Path:
    """The best controller of a folder, when the folder holds exactly one search of that environment."""
    found, where = controllers(env_name, folder), folder / config.CONTROLLER_DIR
    if not found:
        raise UserError(f"no {env_name}.*.best.json in {where}/: run 05_train_controller.py first")
    if len(found) > 1:
        raise UserError(f"give --filename, one of the controllers that are there: {', '.join(map(str, found))}")
    return found[0]


def chosen_controller(args: Args) -> Path:
    """--filename, or the one best controller of the working directory."""
    return args.filename or only_controller(args.env_name, Path())


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


def controller_figures(args: Args) -> list[Figure]:
    from experiments.plots import controller as plots
    from experiments.plots.scores import draw_scores

    filename = chosen_controller(args)
    agent, weights = load_agent_and_weights(filename)
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
    if not args.draw_only:
        write_scores(args, agent, weights)

    def video() -> None:
        saved_scores(args)
        if not (config.REPORT_DIR / VIDEO).exists():
            raise UserError(f"{config.REPORT_DIR / VIDEO} is not there: leave out --draw_only")

    def learning_curve() -> Any:
        try:
            random_score = float(np.mean(saved_scores(args)["scores"]["random"]))
        except UserError:  # not scored
            random_score = None
        return plots.draw_learning_curve(search, rows, evaluations, random_score)

    figures = [
        Figure(
            VIDEO,
            "The agent drives",
            "The first of the unseen tracks, in real time: the game, the agent's frame, and its reconstruction from z.",
            "a whole lap on the road, in fewer than 1,000 steps: the score is then above 900.",
            video,
        ),
        Figure(
            "scores.png",
            "Score of every track",
            "Each dot is the score on one unseen track; the random and the untrained agent drove the same ones.",
            "all dots of the trained agent lie together at 900 and above; a single one far below is a crash.",
            lambda: draw_scores(saved_scores(args)["scores"]),
        ),
        Figure(
            "learning_curve.png",
            "Learning curve",
            "Scores of the candidates of each generation, and of the mean of the search on tracks of its own.",
            "the evaluations rise, then stay level with a small deviation; the last ones are no worse than the best.",
            learning_curve,
        ),
        Figure(
            "weights.png",
            "Weights of C",
            "The weight of every input of the linear controller, for each action.",
            "both z and h have weights that differ from zero: C uses what V sees and what M predicts.",
            lambda: plots.draw_weights(weights),
        ),
    ]
    if settings.env_name == "car_racing" and not settings.dream_mode and from_scratch:
        beside = Figure(
            "beside_paper.png",
            "Beside the paper's search",
            "Evaluations of this search, and of the paper's, by episodes and by wall time.",
            "the score of the paper's last point, 900, is reached further to the left.",
            lambda: plots.draw_beside_paper(rows, evaluations),
        )
        figures.append(beside)
    return figures


def controller_provenance(args: Args) -> Provenance:
    from experiments.plots.controller import read_search_settings

    filename = chosen_controller(args)
    search, log_dir = name_of(filename), folder_of(filename) / config.LOG_DIR
    rows, _ = read_history(log_dir, search)
    return provenance.of_search(read_search_settings(log_dir / f"{search}.json"), rows)
