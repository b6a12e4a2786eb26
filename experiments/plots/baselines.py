"""Figures of the baselines."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.plots.canvas import new_figure, save_figure

WINDOW = 100  # episodes of a running mean


def running_mean(scores: Sequence[float], window: int = WINDOW) -> np.ndarray:
    """The mean of each score and at most `window` - 1 scores before it: (n,) -> float64 (n,)."""
    return np.array([np.mean(scores[max(0, end - window) : end]) for end in range(1, len(scores) + 1)])


def draw_training_scores(name: str, scores: Sequence[float], path: Path, evaluations: np.ndarray | None = None) -> None:
    """Draw the scores of a training's episodes, their running mean, and evaluations, float64 (n, 4)."""
    figure, axes = new_figure(8, 5)
    episodes = np.arange(1, len(scores) + 1)
    axes.plot(episodes, scores, ".", markersize=3, alpha=0.3, label="an episode")
    axes.plot(episodes, running_mean(scores), label=f"mean of the last {WINDOW}")
    if evaluations is not None and len(evaluations):
        episode, mean, std, _ = evaluations.T
        axes.errorbar(episode, mean, std, fmt="o-", capsize=3, label="greedy policy on unseen tracks ± std")
    axes.set(xlabel="episode", ylabel="score", title=name)
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def draw_scores_by_time(name: str, rows: np.ndarray, evaluations: np.ndarray, path: Path) -> None:
    """Draw the scores of a training against its wall time.

    Args:
        rows: float64 (n, 4): number, wall time (s), steps, mean score of the last episodes.
        evaluations: float64 (m, 4): number of a row, mean, std and min over unseen tracks.
    """
    figure, axes = new_figure(8, 5)
    minutes = rows[:, 1] / 60
    axes.plot(minutes, rows[:, 3], label=f"mean of the last {WINDOW} episodes")
    number, mean, std, _ = evaluations.T
    evaluated = minutes[number.astype(int) - 1]
    axes.errorbar(evaluated, mean, std, fmt="o-", capsize=3, label="greedy policy on unseen tracks ± std")
    axes.set(xlabel="minutes", ylabel="score", title=name)
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)
