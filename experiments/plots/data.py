"""Figures of stage 01: frames with actions and rewards, and the distribution of actions."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.plots.canvas import WIDTH, legend_above, new_figure, show_grid
from pipeline.batches import Batch
from pipeline.entries import action_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES, FRAMES = 4, 5


def draw_frames(batches: list[Batch]) -> "Figure":
    """One episode per row, from batches spread over all; below, the actions and rewards of the last one."""
    chosen = [batches[i] for i in np.linspace(0, len(batches) - 1, EPISODES).astype(int)]
    episodes = [row * 7 % batch.episodes for row, batch in enumerate(chosen)]
    steps = np.linspace(0, min(batch.record.time_steps for batch in chosen) - 1, FRAMES).astype(int)
    frames = np.stack([batch["obs_data"][i, steps] for i, batch in zip(episodes, chosen, strict=True)])
    figure, (top, middle, bottom) = new_figure(WIDTH, 5.8, 3, height_ratios=(2.9, 1, 1))
    names = [f"batch {batch.number}\nepisode {i}" for i, batch in zip(episodes, chosen, strict=True)]
    show_grid(top, frames, names, [f"step {step}" if step == 0 else f"{step}" for step in steps])
    batch, episode = chosen[-1], episodes[-1]
    actions = batch["action_data"][episode].T
    for name, values in zip(action_names(batch.record.settings.env, len(actions)), actions, strict=True):
        middle.plot(values, label=name, linewidth=1)
    middle.set(ylabel="action")
    legend_above(middle, columns=3)
    bottom.plot(np.cumsum(batch["reward_data"][episode]))
    bottom.set(xlabel="step", ylabel="sum of rewards")
    figure.align_ylabels([middle, bottom])
    return figure


def draw_actions(batches: list[Batch]) -> "Figure":
    """Histograms of each number of an action, and of the sum of rewards per episode."""
    recorded = [batch["action_data"][~batch["done_data"][:]] for batch in batches]  # no action follows the end
    actions = np.concatenate(recorded)[::7].T
    names = action_names(batches[0].record.settings.env, len(actions))
    rows = len(actions) // 2 + 1
    figure, all_axes = new_figure(WIDTH, 2 * rows, rows, 2)
    for axes, name, values in zip(all_axes.flat, names, actions, strict=False):
        axes.hist(values, bins=30, log=True)
        axes.set(xlabel=name, ylabel="frames")
    returns = np.concatenate([batch["reward_data"][:].sum(axis=1) for batch in batches])
    all_axes.flat[-1].hist(returns, bins=30, color="C1")
    all_axes.flat[-1].set(xlabel="sum of rewards", ylabel="episodes")
    return figure
