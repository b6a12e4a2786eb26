"""Figure of stage 04: M's predictions along one episode beside the observed values."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from experiments.plots.canvas import WIDTH, legend_above, new_figure
from pipeline.batches import Batch, check_vae, find_batches_of, open_batch
from pipeline.errors import UserError
from pipeline.networks import tf
from rnn.arch import RNN, split_mixture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENTS = 3


@cache  # opening a batch hashes it
def last_series(env_name: str, vae_hash: str) -> Batch:
    """The last batch of latent series of an environment; `vae_hash` is that of the VAE that must have encoded it."""
    batch = open_batch("rnn", find_batches_of(env_name, "rnn")[-1])
    check_vae([batch], vae_hash)
    return batch


def predicted(rnn: RNN, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """M's predictions after each step of a series, float32 (T, 36).

    Returns: mean and standard deviation of the next z (T, 32) each, probability of a positive reward or, where M models
        it, its value (T,), mixture weights (T, 5, 32).
    """
    log_pi, mu, log_sigma, reward, *_ = split_mixture(rnn.model(inputs[None]), rnn.sizes)
    log_pi, mu, log_sigma = (part.numpy()[0] for part in (log_pi, mu, log_sigma))
    pi = np.exp(log_pi)
    mean = (pi * mu).sum(axis=1)
    variance = (pi * (np.exp(2 * log_sigma) + (mu - mean[:, None]) ** 2)).sum(axis=1)
    reward = (reward if rnn.sizes.reward else tf.sigmoid(reward)).numpy()[0]
    return mean, np.sqrt(variance), reward, pi


def draw_predictions(rnn: RNN, env_name: str, vae_hash: str) -> "Figure":
    """One-step predictions of the latents that vary most and of the reward; and the weights of one mixture.

    Raises:
        UserError: the episode has fewer than three steps, or the series were encoded by another VAE.
    """
    batch = last_series(env_name, vae_hash)
    length = batch.lengths[0] - 1
    if length < 2:
        raise UserError(f"the first episode of batch {batch.number} has fewer than three steps, which this needs")
    inputs, outputs = batch["rnn_input"][0, :length], batch["rnn_output"][0, :length]
    mean, std, reward, pi = predicted(rnn, inputs)
    latents = np.argsort(-outputs[:, : rnn.sizes.z].var(axis=0))[:LATENTS]
    figure, all_axes = new_figure(WIDTH, 6.4, LATENTS + 2)
    t = np.arange(1, length + 1)
    for axes, latent in zip(all_axes, latents, strict=False):
        axes.fill_between(t, (mean - std)[:, latent], (mean + std)[:, latent], alpha=0.35, linewidth=0)
        axes.plot(t, mean[:, latent], linewidth=1, label="predicted ± std")
        axes.plot(t, outputs[:, latent], linewidth=1, label="observed")
        axes.set_ylabel(f"z {latent}")
    legend_above(all_axes[0])
    all_axes[-2].plot(t, reward, linewidth=1)
    all_axes[-2].plot(t, outputs[:, rnn.sizes.z], ".", markersize=3, color="C1")
    if rnn.sizes.reward:
        all_axes[-2].set_ylabel("modeled\nreward")
    else:
        all_axes[-2].set(ylabel="reward > 0", ylim=(-0.1, 1.1))
    all_axes[-1].stackplot(t, pi[:, :, latents[0]].T)
    all_axes[-1].set(ylabel=f"z {latents[0]}: weights\nof 5 Gaussians", xlabel="step", ylim=(0, 1))
    figure.align_ylabels()
    return figure
