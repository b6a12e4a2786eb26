"""Figures of stage 02: reconstructions, information per latent, and latent traversals."""

from typing import TYPE_CHECKING

import numpy as np

import config
from experiments.plots.canvas import WIDTH, new_figure, show_grid
from pipeline.batches import Batch, real_steps
from pipeline.seeds import rng
from vae.arch import VAE, kl_divergence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECONSTRUCTED = (2, 5)  # rows and columns of frames
SAMPLE = 2000  # frames over which the information per latent is averaged
INFORMATIVE_NATS = 0.1  # nats above which a latent counts as informative
TRAVERSAL = np.linspace(-3, 3, 7)  # values of one latent, in standard deviations of the prior
TRAVERSED = 8  # latents, the most informative ones


def some_frames(batches: list[Batch], count: int) -> np.ndarray:
    """A fixed sample of real frames from all batches, uint8 (count, 64, 64, 3)."""
    stream, frames = rng("figure", 0), []
    for batch in batches:
        episode, step = np.nonzero(real_steps(batch["done_data"][:]))
        for i in np.sort(stream.choice(len(step), -(-count // len(batches)))):
            frames.append(batch["obs_data"][episode[i], step[i]])
    return np.stack(frames)[np.linspace(0, len(frames) - 1, count).astype(int)]


def nats_per_latent(mu: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """KL divergence of each latent in nats (32,), averaged over n frames; mu and log_var (n, 32)."""
    return np.array([kl_divergence(mu[:, [i]], log_var[:, [i]]).numpy().mean() for i in range(mu.shape[1])])


def draw_reconstructions(vae: VAE, batches: list[Batch]) -> "Figure":
    """Frames, and below each its reconstruction from the mean of z."""
    rows, columns = RECONSTRUCTED
    frames = some_frames(batches, rows * columns)
    mu, _ = vae.encode(frames, len(frames))
    pairs = np.stack([frames, vae.decode(mu)]).reshape(2, rows, columns, *config.FRAME_SHAPE).swapaxes(0, 1)
    figure, axes = new_figure(WIDTH, 2.9)
    show_grid(axes, pairs.reshape(2 * rows, columns, *config.FRAME_SHAPE), ["frame", "from z"] * rows, [])
    return figure


def draw_latents(vae: VAE, batches: list[Batch]) -> "Figure":
    """Information per latent, and traversals of the most informative latents of one frame."""
    frames = some_frames(batches, SAMPLE)
    mu, log_var = vae.encode(frames, 100)
    nats = nats_per_latent(mu, log_var)
    order = np.argsort(-nats)
    figure, (bars, axes) = new_figure(WIDTH, 6, 2, height_ratios=(1, 3))
    bars.bar(range(vae.z_dim), nats[order])
    bars.axhline(INFORMATIVE_NATS, color="C1", linestyle="--", label=f"{INFORMATIVE_NATS} nats")
    bars.set(xlabel="latents, by information", ylabel="KL (nats)", xticks=[])
    bars.set_title(f"{int((nats > INFORMATIVE_NATS).sum())} of {vae.z_dim} latents above {INFORMATIVE_NATS} nats")
    bars.legend(loc="upper right")
    z = np.repeat(mu[:1], TRAVERSED * len(TRAVERSAL), axis=0).reshape(TRAVERSED, len(TRAVERSAL), vae.z_dim)
    for row, latent in enumerate(order[:TRAVERSED]):
        z[row, :, latent] = TRAVERSAL
    images = vae.decode(z.reshape(-1, vae.z_dim)).reshape(TRAVERSED, len(TRAVERSAL), *config.FRAME_SHAPE)
    show_grid(axes, images, [f"z {latent}" for latent in order[:TRAVERSED]], [f"{value:+.0f}" for value in TRAVERSAL])
    axes.set_xlabel("value of that latent (std of the prior)")
    axes.set_title("one frame, with one latent changed per row")
    return figure
