"""Figures of stage 02: reconstructions, information per latent, and latent traversals."""

from pathlib import Path

import numpy as np

import config
from experiments.plots.canvas import new_figure, save_figure, show_grid
from pipeline.batches import Batch, real_steps
from pipeline.seeds import rng
from vae.arch import VAE, kl_divergence

RECONSTRUCTED = 10  # frames
SAMPLE = 2000  # frames over which the information per latent is averaged
TRAVERSAL = np.linspace(-3, 3, 9)  # values of one latent, in standard deviations of the prior
TRAVERSED = 12  # latents, the most informative ones
INFORMATIVE_NATS = 0.1  # nats above which a latent counts as informative


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
    return np.array([kl_divergence(mu[:, [i]], log_var[:, [i]]).numpy().mean() for i in range(config.Z_DIM)])


def draw_reconstructions(vae: VAE, batches: list[Batch], path: Path) -> None:
    """Frames, and below each its reconstruction from the mean of z."""
    frames = some_frames(batches, RECONSTRUCTED)
    mu, _ = vae.encode(frames, RECONSTRUCTED)
    figure, axes = new_figure(RECONSTRUCTED, 2.4)
    show_grid(axes, np.stack([frames, vae.decode(mu)]), ["frame", "from z"], [])
    save_figure(figure, path)


def draw_latents(vae: VAE, batches: list[Batch], path: Path) -> None:
    """Information per latent, and traversals of the most informative latents of one frame."""
    frames = some_frames(batches, SAMPLE)
    mu, log_var = vae.encode(frames, 100)
    nats = nats_per_latent(mu, log_var)
    order = np.argsort(-nats)
    figure, (bars, axes) = new_figure(9, 14, 2, height_ratios=(1, 5))
    bars.bar(range(config.Z_DIM), nats[order])
    bars.set_xticks(range(config.Z_DIM), order, fontsize=7)
    informative = int((nats > INFORMATIVE_NATS).sum())
    title = f"KL divergence: {informative} of 32 latents above {INFORMATIVE_NATS} nats"
    bars.set(xlabel="latent", ylabel="nats", title=title)
    z = np.repeat(mu[:1], TRAVERSED * len(TRAVERSAL), axis=0).reshape(TRAVERSED, len(TRAVERSAL), config.Z_DIM)
    for row, latent in enumerate(order[:TRAVERSED]):
        z[row, :, latent] = TRAVERSAL
    images = vae.decode(z.reshape(-1, config.Z_DIM)).reshape(TRAVERSED, len(TRAVERSAL), *config.FRAME_SHAPE)
    show_grid(axes, images, [f"z {latent}" for latent in order[:TRAVERSED]], [f"{value:+.2g}" for value in TRAVERSAL])
    axes.set_title("one frame, with one latent changed")
    save_figure(figure, path)
