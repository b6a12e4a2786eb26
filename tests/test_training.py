"""Tests of the training loop of 02 and 04: the best weights and the log are restored from state.h5."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.networks import keras, tf
from pipeline.training import Checkpoint, Progress, Trainer, load_state

pytestmark = pytest.mark.usefixtures("one_thread")


class LineTrainer(Trainer):
    """A trainer of a network with one weight and one bias."""

    parts = ("loss",)

    def losses_of(self, data: object, step: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"loss": tf.reduce_mean(self.network(data) ** 2)}


def line_trainer(weight: float) -> LineTrainer:
    trainer = LineTrainer(
        keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="slope")], name="line"), seed=0
    )
    trainer.compile(optimizer=keras.optimizers.Adam())
    trainer.network.set_weights([np.full((1, 1), weight), np.zeros(1)])
    return trainer


def test_the_best_weights_survive_a_worse_epoch_and_are_restored_from_the_state(tmp_path: Path) -> None:
    trainer, results = line_trainer(1), [tmp_path / name for name in ("weights.h5", "weights.json", "log.csv")]
    checkpoint = Checkpoint(tmp_path, trainer, Progress({"seed": 0}, []), patience=5)
    checkpoint.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
    best = results[0].read_bytes()
    trainer.network.set_weights([np.full((1, 1), 2), np.zeros(1)])
    checkpoint.on_epoch_end(1, {"loss": 1.0, "val_loss": 1.5})
    assert results[0].read_bytes() == best
    written = [path.read_bytes() for path in results]
    for path in results:
        path.unlink()  # as after a kill between the state and these files
    resumed = line_trainer(3)
    Checkpoint(tmp_path, resumed, load_state(tmp_path / "state.h5", resumed, ""), patience=5).write_results()
    assert [path.read_bytes() for path in results] == written
    assert resumed.network.get_weights()[0] == 2  # the last weights, not the best ones
