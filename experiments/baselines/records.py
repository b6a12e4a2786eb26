"""What the baselines leave: where it lies, their scores on unseen tracks, their learning curves."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import config
from experiments.plots.canvas import new_figure, save_figure
from pipeline import cli
from pipeline.files import write_json

SUFFIXES = ("state.h5", "es.npz", "scores.json", "png")
WINDOW = 100  # episodes of a running mean


def path(name: str, suffix: str) -> Path:
    """Where a baseline keeps one of its files: baselines/NAME.SUFFIX below the folder it was started in."""
    return config.BASELINES_DIR / f"{name}.{suffix}"


def weights_path(name: str) -> Path:
    """Where its trained weights are; a .json beside them says how they were made."""
    return config.BASELINES_DIR / f"{name}_weight.h5"


def remove(name: str) -> None:
    """Delete all that a training of that name left."""
    weights = weights_path(name)
    for old in (weights, weights.with_suffix(".json"), *(path(name, suffix) for suffix in SUFFIXES)):
        old.unlink(missing_ok=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that all baselines share."""
    parser.add_argument("--seed", type=cli.seed, default=0, help="another seed, other tracks and another training")
    parser.add_argument("--new_model", action="store_true", help="start over; what was there before is lost")


def add_final_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the final score."""
    parser.add_argument("--final_mode", action="store_true", help="score what was trained on many unseen tracks")
    parser.add_argument("--num_episode", type=cli.episode_count, default=100, help="tracks of --final_mode")


def keep_scores(
    name: str, scores: list[float], seed: int, metadata: dict, parameters: int = 0, steps: int = 0, seconds: float = 0
) -> None:
    """Write scores on unseen tracks, what is known of who drove, and its cost into baselines/NAME.scores.json.

    Args:
        parameters: numbers that were trained; steps, seconds: of the environment and of the clock that they took.
    """
    cost = {"parameters": parameters, "agent_steps": int(steps), "seconds": float(seconds)}
    write_json(path(name, "scores.json"), {"seed": seed, "scores": scores, "about": metadata, **cost})


def running_mean(scores: Sequence[float], window: int = WINDOW) -> np.ndarray:
    """The mean of each score and of those before it, `window` of them at most: (n,) -> float64 (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    last = np.arange(1, len(scores) + 1)
    first = np.maximum(last - window, 0)
    return (sums[last] - sums[first]) / (last - first)


def draw_learning_curve(name: str, scores: Sequence[float], evaluations: np.ndarray | None = None) -> None:
    """Scores of training episodes, their running mean, and evaluations on unseen tracks, into baselines/NAME.png.

    Args:
        scores: one an episode, in order.
        evaluations: float64 (n, 4): episode, mean, standard deviation, minimum; None: there are none.
    """
    figure, axes = new_figure(8, 5)
    episodes = np.arange(1, len(scores) + 1)
    axes.plot(episodes, scores, ".", markersize=3, alpha=0.3, label="an episode")
    axes.plot(episodes, running_mean(scores), label=f"mean of the last {WINDOW}")
    if evaluations is not None and len(evaluations):
        episode, mean, std, _ = evaluations.T
        axes.errorbar(episode, mean, std, fmt="o-", capsize=3, label="without exploring, on unseen tracks ± std")
    axes.set(xlabel="episode", ylabel="score", title=name)
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path(name, "png"))
