"""Figures of stage 05: the course of a search, and the controller's weights."""

from pathlib import Path

import numpy as np

import config
import controller.arch as controller
from controller.settings import SearchSettings
from experiments.plots.canvas import new_figure, save_figure
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.settings import read_settings


def draw_weights(weights: np.ndarray, path: Path) -> None:
    """Bars of the controller's weights (867,) by input, z and then h, one panel per action."""
    W, b = controller.unpack(weights)
    figure, all_axes = new_figure(12, 7, 3)
    for axes, name, row, bias in zip(all_axes, config.ACTIONS, W, b, strict=True):
        colors = ["tab:orange"] * config.Z_DIM + ["tab:blue"] * config.HIDDEN_UNITS
        axes.bar(range(controller.FEATURES), row, color=colors, width=1)
        axes.set(ylabel=name, title=f"bias {bias:+.2f}")
    all_axes[-1].set_xlabel("input: 32 latents z (orange), 256 hidden units h (blue)")
    save_figure(figure, path)


def draw_learning_curve(
    name: str,
    rows: list[dict],
    evaluations: list[dict],
    path: Path,
    random_score: float | None = None,
    evaluated: str = "mean of the search distribution",
) -> None:
    """Scores of the population and of the evaluations by generation.

    Args:
        rows, evaluations: as `read_rows` returns them.
        random_score: mean score of the random policy, drawn for comparison.
        evaluated: the label of what was evaluated.
    """
    figure, axes = new_figure(8, 5)
    generation = [row["generation"] for row in rows]
    axes.fill_between(generation, [row["min"] for row in rows], [row["max"] for row in rows], alpha=0.15)
    axes.plot(generation, [row["mean"] for row in rows], label="population: mean, min to max")
    axes.errorbar(
        [row["generation"] for row in evaluations],
        [row["mean"] for row in evaluations],
        [row["std"] for row in evaluations],
        fmt="o-",
        capsize=3,
        label=f"{evaluated} on unseen tracks ± std",
    )
    if random_score is not None:
        axes.axhline(random_score, linestyle=":", color="gray", label="random policy")
    axes.set(xlabel="generation", ylabel="score", title=name)
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)


# The paper's own search on 64 cores: generation, hours, score of the best. The scores are read from its curve (arXiv
# 1803.10122); the hours are from the authors' log, carracing/log/carracing.cma.16.64.hist.json of
# WorldModelsExperiments.
PAPER_CURVE = np.array([(25, 15.1, 823), (50, 29.3, 867), (200, 114.1, 880), (1800, 1119, 900)])
PAPER_EPISODES = 64 * 16  # per generation


def draw_beside_paper(name: str, rows: list[dict], evaluations: list[dict], path: Path) -> None:
    """Evaluations of a CarRacing search and of the paper's, by episodes and by wall time in hours."""
    figure, all_axes = new_figure(11, 4, columns=2)
    episodes = np.cumsum([row["episodes"] for row in rows])
    hours = np.array([row["seconds"] for row in rows]) / 3600
    evaluations = [row for row in evaluations if 0 < row["generation"] <= len(rows)]
    index = [int(row["generation"]) - 1 for row in evaluations]
    means, stds = ([row[key] for row in evaluations] for key in ("mean", "std"))
    generations, paper_hours, paper_scores = PAPER_CURVE.T
    sides = (
        ("episodes", episodes[index], generations * PAPER_EPISODES),
        ("wall time of the search (hours)", hours[index], paper_hours),
    )
    for axes, (xlabel, ours, papers) in zip(all_axes, sides, strict=True):
        axes.errorbar(ours, means, stds, fmt="o-", capsize=3, label=f"{name}: mean of the search distribution ± std")
        axes.plot(papers, paper_scores, "s--", color="gray", label="the paper, on 64 cores")
        axes.set(xscale="log", xlabel=xlabel, ylabel="score on unseen tracks")
        axes.grid(alpha=0.3)
    all_axes[0].legend(loc="lower right")
    save_figure(figure, path)


def joined(earlier: list[list[dict]], later: list[list[dict]]) -> list[list[dict]]:
    """Rows and evaluations of a search and of the one that started from it; generations and seconds accumulate."""
    if not earlier[0]:
        return later
    offset = {name: earlier[0][-1][name] for name in ("generation", "seconds")}
    moved = [[row | {key: row[key] + offset[key] for key in offset if key in row} for row in rows] for rows in later]
    return [first + second for first, second in zip(earlier, moved, strict=True)]


def read_rows(path: Path, names: tuple[str, ...]) -> list[dict]:
    """Read the rows of a search's history; each maps exactly `names` to numbers.

    Raises:
        UserError: the file is missing, broken, or holds something else.
    """
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and names == tuple(row) for row in rows):
        raise UserError(f"{path} is not the history of a search: need rows of {', '.join(names)}")
    if not all(type(number) in (int, float) for row in rows for number in row.values()):
        raise UserError(f"{path} is not the history of a search: it holds something that is not a number")
    return rows


def read_search_settings(path: Path) -> SearchSettings:
    """Read the settings of a search; UserError when the file is missing, broken, or holds something else."""
    return read_settings(SearchSettings, read_json(path), str(path), "resume the search, which writes it again")
