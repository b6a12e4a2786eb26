"""Tests that training stays finite on extreme data, and that a loss of NaN or infinity stops it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import snapshot

import config
from pipeline import training
from pipeline.errors import UserError
from pipeline.networks import keras, seed_everything, tf
from pipeline.optimizer import Adam
from pipeline.sizes import CAR
from pipeline.weights import TrainingSettings
from rnn.arch import RNN, RNNTrainer
from vae.arch import VAE, VAETrainer

pytestmark = pytest.mark.usefixtures("one_thread")

EPISODES, STEPS = 4, 8


def rnn_trainer() -> RNNTrainer:
    seed_everything(0)
    trainer = RNNTrainer(RNN(), 0)
    trainer.compile(optimizer=Adam(1e-3, global_clipnorm=1.0))  # as stage 04 does
    return trainer


def series(mu: float = 0, log_var: float = 0, action: float = 0, reward: float = 0) -> dict[str, np.ndarray]:
    """Episodes in which every array is constant."""
    return {
        "mu": np.full((EPISODES, STEPS + 1, CAR.z), mu, np.float32),
        "log_var": np.full((EPISODES, STEPS + 1, CAR.z), log_var, np.float32),
        "action": np.full((EPISODES, STEPS, CAR.actions), action, np.float32),
        "reward": CAR.modeled_reward(np.full((EPISODES, STEPS + 1), reward, np.float32)),
        "real": np.ones((EPISODES, STEPS), bool),
    }


def losses(trainer: training.Trainer, data: object, steps: int) -> list[float]:
    step = tf.function(trainer.train_step)
    data = keras.tree.map_structure(tf.constant, data)
    history = []
    for _ in range(steps):
        trainer.reset_metrics()
        history.append(float(step(data)["loss"]))
    return history


# --- extreme data --------------------------------------------------------------------------------------------------

SERIES = {
    "constant latents without noise": series(log_var=-40),
    "large constant latents": series(mu=1e6, log_var=-10),
    "latents of pure noise": series(log_var=20),
    "huge rewards": series(reward=3e38),
    "huge actions": series(action=1e6),
}


@pytest.mark.parametrize("what", SERIES)
def test_the_rnn_trains_on_extreme_data(what: str) -> None:
    history = losses(rnn_trainer(), SERIES[what], 200)
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


BLACK = np.zeros((2, *config.FRAME_SHAPE), np.uint8)
FRAMES = {
    "one color": BLACK + np.array([255, 0, 127], np.uint8),
    "alternating black and white": BLACK + np.array([[[[0]]], [[[255]]]], np.uint8),
}


@pytest.mark.parametrize("what", FRAMES)
def test_the_vae_trains_on_extreme_data(what: str) -> None:
    seed_everything(0)
    trainer = VAETrainer(VAE(), 0)
    trainer.compile(optimizer=Adam(1e-3))  # as stage 02 does
    history = losses(trainer, FRAMES[what], 120)
    assert np.isfinite(history).all()
    assert history[-1] < history[0] / 2


# --- a loss that is not finite -------------------------------------------------------------------------------------

OVERFLOW = series(log_var=200)  # finite values whose exponential is infinite
SETTINGS = TrainingSettings(data="", N=None, batch_size=4, seed=0, init_weights=None)


def fit(overflow_steps: dict[int, int], validation: list[dict], epochs: int, new_model: bool) -> training.Trainer:
    """Train epochs of three steps, each with a checkpoint; data of step overflow_steps[epoch] (from 0) overflow."""

    def batches(epoch: int, first: int) -> Iterator[dict]:
        for step in range(first, 3):
            yield OVERFLOW if overflow_steps.get(epoch) == step else series(mu=epoch + step)

    trainer = rnn_trainer()
    schedule = training.Schedule(3, epochs, None, 3)
    training.fit(trainer, Path("rnn"), SETTINGS, schedule, new_model, batches, lambda: iter(validation), 99)
    return trainer


@pytest.mark.parametrize(
    ("bad_steps", "validation", "where"),
    [
        ({1: 1}, [series()], "at step 5"),
        ({2: 0}, [series()], "at step 7"),
        ({1: 2}, [series()], "at step 6"),
        ({}, [series(), OVERFLOW], "at the validation after step 6"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_steps: dict, validation: list[dict], where: str
) -> None:
    """No file changes, so the training can resume after the last finite checkpoint with other data."""
    monkeypatch.chdir(tmp_path)
    good = min(bad_steps, default=1)
    fit({}, [series()], epochs=good, new_model=True)
    before = snapshot(tmp_path)
    with pytest.raises(UserError) as error:
        fit(bad_steps, validation, epochs=9, new_model=False)
    assert "the loss is " in str(error.value)
    assert where in str(error.value)
    assert "\n" not in str(error.value)
    assert snapshot(tmp_path) == before
    trainer = fit({}, [series()], epochs=good + 1, new_model=False)
    assert trainer.optimizer.iterations == 3 * (good + 1)


def train_step_with_nan_update(trainer: training.Trainer, data: dict) -> dict:
    """A gradient step with a finite loss whose sixth update sets a bias to NaN."""
    logs = training.Trainer.train_step(trainer, data)
    bias = trainer.network.trainable_variables[-1]
    bias.assign(tf.where(tf.equal(trainer.optimizer.iterations, 6), np.float32(np.nan), bias))
    return logs


def test_weights_with_nan_are_detected_before_they_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of the step before a checkpoint is finite, but its update is not: the validation detects it."""
    monkeypatch.chdir(tmp_path)
    fit({}, [series()], epochs=1, new_model=True)
    before = snapshot(tmp_path)
    monkeypatch.setattr(RNNTrainer, "train_step", train_step_with_nan_update)
    with pytest.raises(UserError, match="the loss is nan at the validation after step 6"):
        fit({}, [series()], epochs=2, new_model=False)
    assert snapshot(tmp_path) == before
