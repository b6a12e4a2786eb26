"""What 02 and 04 share: state.h5 is the one commit point, and the best weights and the log follow from it."""

from pathlib import Path

import numpy as np

from pipeline.networks import keras, tf
from pipeline.training import Checkpoint, Progress, Trainer, load_state


class Line(Trainer):
    """The smallest network there is."""

    parts = ("loss",)

    def losses_of(self, data: object, step: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"loss": tf.reduce_mean(self.network(data) ** 2)}


def line(weight: float) -> Line:
    trainer = Line(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="slope")], name="line"), seed=0)
    trainer.compile(optimizer=keras.optimizers.Adam())
    trainer.network.set_weights([np.full((1, 1), weight), np.zeros(1)])
    return trainer


def test_the_best_weights_outlive_a_worse_epoch_and_come_back_from_the_state(tmp_path: Path) -> None:
    trainer, results = line(1), [tmp_path / name for name in ("weights.h5", "weights.json", "log.csv")]
    checkpoint = Checkpoint(tmp_path, trainer, Progress({"seed": 0}, []), patience=5)
    checkpoint.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
    best = results[0].read_bytes()
    trainer.network.set_weights([np.full((1, 1), 2), np.zeros(1)])
    checkpoint.on_epoch_end(1, {"loss": 1.0, "val_loss": 1.5})
    assert results[0].read_bytes() == best
    left = [path.read_bytes() for path in results]
    for path in results:
        path.unlink()  # as if it had been killed once the state was written
    resumed = line(3)
    Checkpoint(tmp_path, resumed, load_state(tmp_path / "state.h5", resumed, ""), patience=5).write_results()
    assert [path.read_bytes() for path in results] == left
    assert resumed.network.get_weights()[0] == 2  # where the training goes on, not where it was best
