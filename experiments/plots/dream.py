"""How good the dream is: a real episode above the dream that goes on from it, and how fast the two part."""

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
from simulation.dream import dream_on
from vae.arch import VAE

PRIME = 60  # real steps that M is told before it dreams: the zoom, and time to notice how fast the car is
HORIZON = 100  # steps dreamt
EPISODES, DREAMS = 24, 16  # to measure by: dreams of an episode, whose average is M's guess
TELLING = 0.1  # the variance of mu over frames from which on a latent counts; the prior's is 1
SMOOTH = 10  # steps over which the error of the reward, which comes once in a while, is averaged
FRAMES = 10


def choose(batch: Batch, count: int) -> tuple[np.ndarray, int, int]:
    """At most so many long episodes, and how many of their steps M is told and then dreams."""
    lengths = np.array(batch.record["settings"]["lengths"])
    steps = min(PRIME + HORIZON, lengths.max() - 1)
    prime = min(PRIME, steps // 3)
    if prime < 1:
        raise UserError(f"batch {batch.number} has no episode of four steps, to dream on from the first of them")
    return np.flatnonzero(lengths > steps)[:count], prime, steps - prime


def errors(batch: Batch, rnn: RNN) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Error of z and of the reward by horizon, (steps,) each, of M and of two guessers that know nothing.

    The guess is the average of DREAMS dreams. z: root mean square over episodes and latents that tell something (the
    others hardly move, and are best guessed by not trying); reward > 0: mean square of guess minus what came (Brier
    1950).
    """
    episodes, prime, horizon = choose(batch, EPISODES)
    series = np.array(batch["rnn_input"][episodes, : prime + horizon])
    real_z, real_gain = series[:, prime:, : config.Z_DIM], series[:, prime:, -1]
    variance = real_z.var(axis=(0, 1))
    telling = variance >= min(TELLING, variance.max())
    seed_everything(0)
    guesses = {}
    for name, guesser in {"M": rnn, "untrained M": RNN()}.items():
        z, gained = dream_on(guesser, series, prime, DREAMS)
        guesses[name] = z.mean(axis=1), gained.mean(axis=1)
    last = series[:, [prime - 1]]
    guesses["repeat the last"] = last[..., : config.Z_DIM], last[..., -1]
    return {
        name: (np.sqrt(((z - real_z)[..., telling] ** 2).mean(axis=(0, 2))), ((gain - real_gain) ** 2).mean(axis=0))
        for name, (z, gain) in guesses.items()
    }


def draw_errors(rnn: RNN, env_name: str, vae: str, path: Path) -> None:
    """How the error grows with the horizon, beside the two guessers."""
    figure, (left, right) = new_figure(11, 4, 1, 2)
    for name, (z_error, reward_error) in errors(last_series(env_name, vae), rnn).items():
        left.plot(range(1, len(z_error) + 1), z_error, label=name)
        window = min(SMOOTH, len(reward_error))
        smooth = np.convolve(reward_error, np.ones(window) / window, mode="valid")
        right.plot(range(1, len(smooth) + 1), smooth, label=name)
    left.set(xlabel="steps dreamt", ylabel="error of z (root mean square)")
    right.set(xlabel="steps dreamt", ylabel=f"error of reward > 0 (Brier), over {window} steps")
    left.legend()
    save_figure(figure, path)


def draw_dream(vae: VAE, rnn: RNN, env_name: str, digest: str, picture: Path, film: Path) -> None:
    """One episode, real above dreamt: frames in a picture, all of them in an mp4."""
    batch = last_series(env_name, digest)
    episode, prime, horizon = choose(batch, 1)
    seen = open_batch("obs", batch.number)
    check_same(f"rnn batch {batch.number}", batch.record["settings"], {"obs": seen.hash}, "run 03 again")
    frames = np.array(seen["obs_data"][episode[0], prime : prime + horizon])
    series = np.array(batch["rnn_input"][episode, : prime + horizon])
    z, _ = dream_on(rnn, series, prime, dreams=1)
    reconstructed, dreamt = vae.decode(series[0, prime:, : config.Z_DIM]), vae.decode(z[0, 0])
    shown = np.linspace(0, horizon - 1, min(FRAMES, horizon)).astype(int)
    figure, axes = new_figure(1.2 * FRAMES, 4.2)
    images = np.stack([frames[shown], reconstructed[shown], dreamt[shown]])
    show_grid(axes, images, ["real", "what V sees", "dreamt"], [f"+{step + 1}" for step in shown])
    axes.set_title(f"M was told {prime} steps, and dreamt on by the actions that were taken")
    save_figure(figure, picture)
    with open_video(film) as show:
        for step, images in enumerate(zip(frames, reconstructed, dreamt, strict=True)):
            show(side_by_side(dict(zip(("real", "what V sees", "dreamt"), images, strict=True)), f"+{step + 1}"))
