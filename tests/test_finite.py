"""Numbers stay finite: networks train on the dullest and the wildest data, and a loss that is none stops the run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import snapshot

import config
from pipeline import training
from pipeline.batches import is_positive
from pipeline.errors import UserError
from pipeline.networks import keras, seed_everything, tf
from rnn.arch import RNN, RNNTrainer
from vae.arch import VAE, VAETrainer

pytestmark = pytest.mark.usefixtures("one_thread")

EPISODES, STEPS = 4, 8


def rnn_trainer() -> RNNTrainer:
    seed_everything(0)
    trainer = RNNTrainer(RNN(), 0)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3, global_clipnorm=1.0))  # as stage 04 does
    return trainer


def series(mu: float = 0, log_var: float = 0, action: float = 0, reward: float = 0) -> dict[str, np.ndarray]:
    """Episodes in which nothing ever changes."""
    return {
        "mu": np.full((EPISODES, STEPS + 1, config.Z_DIM), mu, np.float32),
        "log_var": np.full((EPISODES, STEPS + 1, config.Z_DIM), log_var, np.float32),
        "action": np.full((EPISODES, STEPS, config.ACTION_DIM), action, np.float32),
        "reward": is_positive(np.full((EPISODES, STEPS + 1), reward, np.float32)),
        "real": np.ones((EPISODES, STEPS), bool),
    }


def losses(trainer: training.Trainer, data: object, steps: int) -> list[float]:
    step = tf.function(trainer.train_step)
    data = keras.tree.map_structure(tf.constant, data)
    found = []
    for _ in range(steps):
        trainer.reset_metrics()
        found.append(float(step(data)["loss"]))
    return found


# --- adversarial data ----------------------------------------------------------------------------------------------

SERIES = {
    "a constant without any noise": series(log_var=-40),
    "a constant far away": series(mu=1e6, log_var=-10),
    "nothing but noise": series(log_var=20),
    "huge rewards": series(reward=3e38),
    "huge actions": series(action=1e6),
}


@pytest.mark.parametrize("what", SERIES)
def test_the_rnn_learns_from_anything(what: str) -> None:
    found = losses(rnn_trainer(), SERIES[what], 200)
    assert np.isfinite(found).all()
    assert found[-1] < found[0]


BLACK = np.zeros((2, *config.FRAME_SHAPE), np.uint8)
FRAMES = {
    "one colour": BLACK + np.array([255, 0, 127], np.uint8),
    "black and white in turn": BLACK + np.array([[[[0]]], [[[255]]]], np.uint8),
}


@pytest.mark.parametrize("what", FRAMES)
def test_the_vae_learns_from_anything(what: str) -> None:
    seed_everything(0)
    trainer = VAETrainer(VAE(), 0)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3))  # as stage 02 does
    found = losses(trainer, FRAMES[what], 120)
    assert np.isfinite(found).all()
    assert found[-1] < found[0] / 2


# --- a loss that is none ---------------------------------------------------------------------------------------------

OVERFLOW = series(log_var=200)  # finite numbers, whose exponential is not


def fit(training_data: dict[int, int], validation: list[dict], epochs: int, new_model: bool) -> training.Trainer:
    """Train epochs of three steps; `training_data` says at which step (from 0) of which epochs the data overflows."""

    def batches(epoch: int) -> Iterator[dict]:
        for step in range(3):
            yield OVERFLOW if training_data.get(epoch) == step else series(mu=epoch + step)

    trainer = rnn_trainer()
    schedule = training.Schedule(3, epochs, None)
    training.fit(trainer, Path("rnn"), {}, schedule, new_model, batches, lambda: iter(validation), patience=9)
    return trainer


@pytest.mark.parametrize(
    ("bad_steps", "validation", "where"),
    [
        ({1: 1}, [series()], "at step 2 of epoch 2"),
        ({2: 0}, [series()], "at step 1 of epoch 3"),
        ({1: 2}, [series()], "at step 3 of epoch 2"),
        ({}, [series(), OVERFLOW], "at the validation of epoch 2"),
    ],
)
def test_a_loss_that_is_none_stops_the_run_and_keeps_the_good_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_steps: dict, validation: list[dict], where: str
) -> None:
    """Nothing that it has spoilt is written: the run goes on from the last good epoch, with better data."""
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


def spoiling_train_step(trainer: training.Trainer, data: dict) -> dict:
    """A gradient step whose loss is fine, and whose sixth update is not."""
    logs = training.Trainer.train_step(trainer, data)
    bias = trainer.network.trainable_variables[-1]
    bias.assign(tf.where(tf.equal(trainer.optimizer.iterations, 6), np.float32(np.nan), bias))
    return logs


def test_an_update_that_spoils_the_weights_is_noticed_before_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of an epoch's last step is finite, its gradient is not: validation sees it."""
    monkeypatch.chdir(tmp_path)
    fit({}, [series()], epochs=1, new_model=True)
    before = snapshot(tmp_path)
    monkeypatch.setattr(RNNTrainer, "train_step", spoiling_train_step)
    with pytest.raises(UserError, match="the loss is nan at the validation of epoch 2"):
        fit({}, [series()], epochs=2, new_model=False)
    assert snapshot(tmp_path) == before
