"""Figures of the dream: a real episode above the dream that continues it, and the error by horizon."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

import config
from display.overlay import side_by_side
from display.video import open_video
from experiments.plots.canvas import new_figure, save_figure, show_grid
from experiments.plots.rnn import last_series
from pipeline.batches import Batch, open_batch
from pipeline.errors import UserError
from pipeline.files import check_same
from pipeline.networks import seed_everything
from rnn.arch import RNN
from simulation.dream import dream_open_loop
from vae.arch import VAE

PRIME = 60  # real steps that M is conditioned on: the zoom at the start, and enough frames to infer the car's speed
HORIZON = 100  # dreamt steps
EPISODES, DREAMS = 24, 16  # episodes, and dreams per episode whose average is M's prediction
INFORMATIVE = 0.1  # variance of mu over frames above which a latent counts; the prior's is 1
SMOOTH = 10  # steps over which the reward's error is averaged, since positive rewards are rare
FRAMES = 10  # of the figure
ROWS = ("real", "reconstruction", "dream")


def choose(batch: Batch, count: int) -> tuple[np.ndarray, int, int]:
    """Indices of at most `count` long episodes, and their numbers of conditioning steps and of dreamt steps.

    Raises:
        UserError: no episode of the batch has four steps.
    """
    lengths = np.array(batch.lengths)
    steps = min(PRIME + HORIZON, lengths.max() - 1)
    prime = min(PRIME, steps // 3)
    if prime < 1:
        raise UserError(f"batch {batch.number} has no episode of at least four steps, which a dream needs")
    return np.flatnonzero(lengths > steps)[:count], prime, steps - prime


def errors(batch: Batch, rnn: RNN) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Errors of z and of reward > 0 by horizon, (steps,) each, of M and of two baselines without training.

    A prediction is the average of DREAMS dreams. The error of z is the root mean square over episodes and informative
    latents; the others hardly vary, so that a constant predicts them best. The error of reward > 0 is the mean squared
    difference between prediction and observation (Brier 1950).
    """
    episodes, prime, horizon = choose(batch, EPISODES)
    series = np.array(batch["rnn_input"][episodes, : prime + horizon])
    real_z, real_positive = series[:, prime:, : config.Z_DIM], series[:, prime:, -1]
    variance = real_z.var(axis=(0, 1))
    informative = variance >= min(INFORMATIVE, variance.max())
    seed_everything(0)
    predictions = {}
    for name, model in {"M": rnn, "untrained M": RNN()}.items():
        z, positive = dream_open_loop(model, series, prime, DREAMS)
        predictions[name] = z.mean(axis=1), positive.mean(axis=1)
    last = series[:, [prime - 1]]
    predictions["repeat the last step"] = last[..., : config.Z_DIM], last[..., -1]
    return {
        name: (
            np.sqrt(((z - real_z)[..., informative] ** 2).mean(axis=(0, 2))),
            ((positive - real_positive) ** 2).mean(axis=0),
        )
        for name, (z, positive) in predictions.items()
    }


def draw_errors(rnn: RNN, env_name: str, vae_hash: str, path: Path) -> None:
    """Curves of `errors`, of z on the left and of the reward on the right."""
    figure, (left, right) = new_figure(11, 4, 1, 2)
    for name, (z_error, reward_error) in errors(last_series(env_name, vae_hash), rnn).items():
        left.plot(range(1, len(z_error) + 1), z_error, label=name)
        window = min(SMOOTH, len(reward_error))
        smooth = np.convolve(reward_error, np.ones(window) / window, mode="valid")
        right.plot(range(1, len(smooth) + 1), smooth, label=name)
    left.set(xlabel="dreamt steps", ylabel="error of z (root mean square)")
    right.set(xlabel="dreamt steps", ylabel=f"error of reward > 0 (Brier), mean of {window} steps")
    left.legend()
    save_figure(figure, path)


def draw_dream(vae: VAE, rnn: RNN, env_name: str, vae_hash: str, path: Path, video: Path) -> None:
    """One episode, real above dreamt: some frames in a figure, all of them in a video."""
    batch = last_series(env_name, vae_hash)
    episode, prime, horizon = choose(batch, 1)
    observed = open_batch("obs", batch.number)
    check_same(
        f"rnn batch {batch.number}",
        asdict(batch.record.settings),
        {"obs": observed.hash},
        "run 03_generate_rnn_data.py again",
    )
    frames = np.array(observed["obs_data"][episode[0], prime : prime + horizon])
    series = np.array(batch["rnn_input"][episode, : prime + horizon])
    z, _ = dream_open_loop(rnn, series, prime, dreams=1)
    reconstructed, dreamt = vae.decode(series[0, prime:, : config.Z_DIM]), vae.decode(z[0, 0])
    shown = np.linspace(0, horizon - 1, min(FRAMES, horizon)).astype(int)
    figure, axes = new_figure(1.2 * FRAMES, 4.2)
    images = np.stack([frames[shown], reconstructed[shown], dreamt[shown]])
    show_grid(axes, images, list(ROWS), [f"+{step + 1}" for step in shown])
    axes.set_title(f"dream of M after {prime} real steps, under the recorded actions")
    save_figure(figure, path)
    with open_video(video) as show:
        for step, row in enumerate(zip(frames, reconstructed, dreamt, strict=True)):
            show(side_by_side(dict(zip(ROWS, row, strict=True)), f"+{step + 1}"))
