"""Figures of the dream: a real episode above the dream that continues it, and the error by horizon."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from display.overlay import side_by_side
from display.video import open_video
from experiments.plots.canvas import WIDTH, legend_above, new_figure, show_grid
from experiments.plots.rnn import last_series
from pipeline.batches import Batch, open_batch
from pipeline.errors import UserError
from pipeline.files import check_same
from pipeline.networks import seed_everything
from rnn.arch import RNN
from simulation.dream import dream_open_loop
from vae.arch import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRIME = 60  # real steps that M is conditioned on: the zoom at the start, and enough frames to infer the car's speed
HORIZON = 100  # dreamt steps of a recorded episode
STEPS = 200  # dreamt steps of an agent's episode
EPISODES, DREAMS = 24, 16  # episodes, and dreams per episode whose average is M's prediction
INFORMATIVE = 0.1  # variance of mu over frames above which a latent counts; the prior's is 1
SMOOTH = 10  # steps over which the reward's error is averaged, since positive rewards are rare
FRAMES = 5  # of the figure
FPS = 25  # of the video: half the speed of the environment
ROWS = ("real", "from z", "dream")


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
    """Errors of z and of the modeled reward by horizon, (steps,) each, of M and of two baselines without training.

    A prediction is the average of DREAMS dreams. The error of z is the root mean square over episodes and informative
    latents; the others hardly vary, so that a constant predicts them best. The error of the reward, of the car whether
    it is positive, is the mean squared difference between prediction and observation (Brier 1950).
    """
    episodes, prime, horizon = choose(batch, EPISODES)
    series = np.array(batch["rnn_input"][episodes, : prime + horizon])
    real_z, real_reward = series[:, prime:, : rnn.sizes.z], series[:, prime:, -1]
    variance = real_z.var(axis=(0, 1))
    informative = variance >= min(INFORMATIVE, variance.max())
    seed_everything(0)
    predictions = {}
    for name, model in {"M": rnn, "untrained M": RNN(rnn.sizes)}.items():
        z, reward = dream_open_loop(model, series, prime, DREAMS)
        predictions[name] = z.mean(axis=1), reward.mean(axis=1)
    last = series[:, [prime - 1]]
    predictions["repeat the last step"] = last[..., : rnn.sizes.z], last[..., -1]
    return {
        name: (
            np.sqrt(((z - real_z)[..., informative] ** 2).mean(axis=(0, 2))),
            ((reward - real_reward) ** 2).mean(axis=0),
        )
        for name, (z, reward) in predictions.items()
    }


def draw_errors(rnn: RNN, env_name: str, vae_hash: str) -> "Figure":
    """Curves of `errors`, of z above and of the reward below."""
    figure, (top, bottom) = new_figure(WIDTH, 4.6, 2)
    window = 1
    for name, (z_error, reward_error) in errors(last_series(env_name, vae_hash), rnn).items():
        top.plot(range(1, len(z_error) + 1), z_error, label=name)
        window = min(SMOOTH, len(reward_error))
        smooth = np.convolve(reward_error, np.ones(window) / window, mode="valid")
        bottom.plot(range(1, len(smooth) + 1), smooth)
    top.set_ylabel("error of z (rms)")
    what = "squared error of\nmodeled reward" if rnn.sizes.reward else "Brier error of\nreward > 0"
    bottom.set(xlabel="dreamt steps", ylabel=f"{what}, {window} steps")
    for axes in (top, bottom):
        axes.grid()
    legend_above(top)
    figure.align_ylabels()
    return figure


@dataclass(frozen=True)
class Episode:
    """A real episode: frames, uint8 (T, 64, 64, 3), and [z, action, modeled reward] of each step, float32 (T, 36)."""

    frames: np.ndarray
    series: np.ndarray


def recorded_episode(env_name: str, vae_hash: str) -> Episode:
    """Of the last batch's long episodes, the one with the largest rewards in the steps that are dreamt."""
    batch = last_series(env_name, vae_hash)
    episodes, prime, horizon = choose(batch, batch.episodes)
    rewards = batch["rnn_input"][:][episodes, prime : prime + horizon, -1]
    best = episodes[rewards.sum(axis=1).argmax()]
    observed = open_batch("obs", batch.number)
    check_same(
        f"rnn batch {batch.number}",
        asdict(batch.record.settings),
        {"obs": observed.hash},
        "run 03_generate_rnn_data.py again",
    )
    steps = slice(prime + horizon)
    return Episode(np.array(observed["obs_data"][best, steps]), np.array(batch["rnn_input"][best, steps]))


@dataclass(frozen=True)
class Dream:
    """The dreamt part of an episode: real frames, their reconstructions, and the dream, uint8 (T, 64, 64, 3) each.

    Attributes:
        prime: real steps before it, on which M was conditioned.
    """

    images: tuple[np.ndarray, np.ndarray, np.ndarray]
    prime: int


def dream_of(vae: VAE, rnn: RNN, episode: Episode) -> Dream:
    """Let M continue an episode under its actions, after PRIME real steps or a third of a shorter episode.

    Raises:
        UserError: the episode has fewer than four steps.
    """
    prime = min(PRIME, (len(episode.series) - 1) // 3)
    if prime < 1:
        raise UserError("the episode has fewer than four steps, which a dream needs")
    z, _ = dream_open_loop(rnn, episode.series[None], prime, dreams=1)
    real = episode.series[prime:, : rnn.sizes.z]
    return Dream((episode.frames[prime:], vae.decode(real), vae.decode(z[0, 0])), prime)


def draw_dream(dream: Dream) -> "Figure":
    """Some steps of a dream, real above reconstructed above dreamt."""
    shown = np.linspace(0, len(dream.images[0]) - 1, FRAMES).astype(int)
    figure, axes = new_figure(WIDTH, 2.5)
    images = np.stack([frames[shown] for frames in dream.images])
    show_grid(axes, images, list(ROWS), [f"+{step + 1}" for step in shown])
    axes.set_xlabel(f"steps after {dream.prime} real ones")
    return figure


def write_dream(images: dict[str, np.ndarray], path: Path, fps: float = FPS, skip: int = 1) -> None:
    """Write every `skip`-th step of at most three names -> frames, uint8 (T, 64, 64, 3), side by side, as a video."""
    with open_video(path, fps) as show:
        for step in range(0, len(next(iter(images.values()))), skip):
            show(side_by_side({name: frames[step] for name, frames in images.items()}, f"step {step + 1}"))
