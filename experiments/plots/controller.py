"""Figures of stage 05: the course of a search, and the controller's weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import controller.arch as controller
from controller.settings import SearchSettings
from experiments.plots.canvas import THEME, WIDTH, legend_above, new_figure
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.settings import read_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_weights(weights: np.ndarray, names: Sequence[str], z_dim: int) -> "Figure":
    """Bars of the controller's weights (867,) by input, z and then M's state, a panel per number of an action.

    Args:
        z_dim: inputs that are z.
    """
    W, b = controller.unpack(weights, len(names))
    features = W.shape[1]
    figure, all_axes = new_figure(WIDTH, 1.6 * len(names), len(names))
    all_axes = np.atleast_1d(all_axes)
    for axes, name, row, bias in zip(all_axes, names, W, b, strict=True):
        axes.bar(range(z_dim), row[:z_dim], color="C1", width=1, label=f"{z_dim} latents z")
        hidden = range(z_dim, features)
        axes.bar(hidden, row[z_dim:], color="C0", width=1, label=f"{features - z_dim} hidden units h")
        axes.set(ylabel=f"{name}\nbias {bias:+.2f}")
    legend_above(all_axes[0])
    all_axes[-1].set_xlabel("input")
    figure.align_ylabels()
    return figure


def draw_learning_curve(
    name: str,
    rows: list[dict],
    evaluations: list[dict],
    random_score: float | None = None,
    evaluated: str = "mean of the search",
) -> "Figure":
    """Scores of the population and of the evaluations by generation.

    Args:
        rows, evaluations: as `read_rows` returns them.
        random_score: mean score of the random policy, drawn for comparison.
        evaluated: the label of what was evaluated.
    """
    figure, axes = new_figure(WIDTH, 3.8)
    generation = [row["generation"] for row in rows]
    lowest, highest = [row["min"] for row in rows], [row["max"] for row in rows]
    axes.fill_between(generation, lowest, highest, alpha=0.18, linewidth=0)
    axes.plot(generation, [row["mean"] for row in rows], label="population: mean, min to max")
    axes.errorbar(
        [row["generation"] for row in evaluations],
        [row["mean"] for row in evaluations],
        [row["std"] for row in evaluations],
        fmt="o-",
        markersize=4,
        capsize=3,
        label=f"{evaluated}, unseen tracks ± std",
    )
    if random_score is not None:
        axes.axhline(random_score, linestyle=":", color=THEME["muted"], label="random policy")
    axes.set(xlabel=f"generation of {name}", ylabel="score")
    legend_above(axes, columns=1)
    axes.grid()
    return figure


# The paper's own search on 64 cores: generation, hours, score of the best. The scores are read from its curve (arXiv
# 1803.10122); the hours are from the authors' log, carracing/log/carracing.cma.16.64.hist.json of
# WorldModelsExperiments.
PAPER_CURVE = np.array([(25, 15.1, 823), (50, 29.3, 867), (200, 114.1, 880), (1800, 1119, 900)])
PAPER_EPISODES = 64 * 16  # per generation


def draw_beside_paper(rows: list[dict], evaluations: list[dict]) -> "Figure":
    """Evaluations of a CarRacing search and of the paper's, by episodes and by wall time in hours."""
    figure, all_axes = new_figure(WIDTH, 5, 2)
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
        axes.errorbar(ours, means, stds, fmt="o-", markersize=4, capsize=3, label="this search ± std")
        axes.plot(papers, paper_scores, "s--", markersize=4, color=THEME["muted"], label="the paper's, on 64 cores")
        axes.set(xscale="log", xlabel=xlabel, ylabel="score on unseen tracks")
        axes.grid()
    legend_above(all_axes[0], columns=1)
    return figure


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
