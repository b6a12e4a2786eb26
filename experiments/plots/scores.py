"""The score of every unseen track, of the trained agent beside a random and an untrained one."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.plots.canvas import SERIES, THEME, WIDTH, legend_above, new_figure
from pipeline.scores import mean_std
from pipeline.seeds import rng

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPREAD = 0.22  # vertical scatter, by which equal scores stay apart


def draw_scores(scores: dict[str, list[float]]) -> "Figure":
    """A strip of dots for each agent, one dot a track, with a bar at the mean; the first agent's lowest is named."""
    figure, axes = new_figure(WIDTH, 0.75 * len(scores) + 0.8)
    stream = rng("figure", 0)
    for row, (values, color) in enumerate(zip(scores.values(), SERIES, strict=False)):
        heights = row + stream.uniform(-SPREAD, SPREAD, len(values))
        axes.scatter(values, heights, 22, color=color, alpha=0.65, linewidths=0, label="a track" if not row else None)
        mean = np.mean(values)
        axes.plot([mean, mean], [row - 0.36, row + 0.36], color=THEME["ink"], label="mean" if not row else None)
        if not row:
            lowest = int(np.argmin(values))
            left = values[lowest] < np.mean([min(map(min, scores.values())), max(map(max, scores.values()))])
            axes.annotate(
                f"min {values[lowest]:.1f}, track {lowest}",
                (values[lowest], heights[lowest]),
                (6 if left else -6, -12),
                textcoords="offset points",
                ha="left" if left else "right",
                va="top",
            )
    names = [f"{name}\n{mean_std(values)}" for name, values in scores.items()]
    axes.set(xlabel="score of an unseen track", ylim=(len(scores) - 0.5, -0.5))
    axes.set_yticks(range(len(scores)), names)
    axes.tick_params(axis="y", length=0)
    legend_above(axes)
    axes.grid(axis="x")
    return figure
