"""Figures of stage 01: frames with actions and rewards, and the distribution of actions."""

from pathlib import Path

import numpy as np

import config
from experiments.plots.canvas import new_figure, save_figure, show_grid
from pipeline.batches import Batch

EPISODES, FRAMES = 4, 8


def draw_frames(batches: list[Batch], path: Path) -> None:
    """One episode per row, from batches spread over all: frames in order, with action and reward below."""
    chosen = [batches[i] for i in np.linspace(0, len(batches) - 1, EPISODES).astype(int)]
    figure, all_axes = new_figure(1.3 * FRAMES, 1.75 * EPISODES, EPISODES)
    for row, (axes, batch) in enumerate(zip(all_axes, chosen, strict=True)):
        episode = row * 7 % batch.episodes
        steps = np.linspace(0, batch.record.time_steps - 1, FRAMES).astype(int)
        captions = []
        for step in steps:
            steer, gas, brake = batch["action_data"][episode, step]
            captions.append(
                f"t={step}  reward {batch['reward_data'][episode, step]:.1f}\n{steer:+.2f} {gas:.2f} {brake:.2f}"
            )
        show_grid(axes, batch["obs_data"][episode, steps][None], [f"batch {batch.number}"], captions)
    figure.suptitle("frames at step t, with the reward received on arriving and the action taken (steer, gas, brake)")
    save_figure(figure, path)


def draw_actions(batches: list[Batch], path: Path) -> None:
    """Histograms of each action and of the sum of rewards per episode."""
    figure, all_axes = new_figure(12, 3, 1, config.ACTION_DIM + 1)
    recorded = [batch["action_data"][~batch["done_data"][:]] for batch in batches]  # no action follows the end
    actions = np.concatenate(recorded)[::7]
    for axes, name, values in zip(all_axes, config.ACTIONS, actions.T, strict=False):
        axes.hist(values, bins=40, log=True)
        axes.set(title=name, ylabel="frames (every seventh)")
    all_axes[-1].hist(np.concatenate([batch["reward_data"][:].sum(axis=1) for batch in batches]), bins=40)
    all_axes[-1].set(title="sum of the rewards", ylabel="episodes")
    save_figure(figure, path)
