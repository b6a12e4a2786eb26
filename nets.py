"""What the networks need around them: TensorFlow without its noise, threads, weight files, resumable training.

Only the arch.py files and what uses a network import this module: it is the one place that imports TensorFlow.
"""

import csv
import json
import os
import platform
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np

from rollouts import UserError, atomic_write, file_hash, write_json


@contextmanager
def _silent_stderr():
    """Drop what native code writes to stderr: TensorFlow's first lines do not ask any log level."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
with _silent_stderr():
    import keras
    import tensorflow as tf


def set_threads(threads: int | None) -> None:
    """Give TensorFlow this many threads (None: all cores). Works only before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(threads or 0)
    tf.config.threading.set_inter_op_parallelism_threads(threads or 0)


def seed_everything(seed: int) -> None:
    """Make initial weights a function of `seed` and every operation deterministic."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


# --- weights ----------------------------------------------------------------------------------------------------------
def save_weights(model: keras.Model, path: Path, about: dict) -> None:
    """Write the weights alone to `path` (HDF5), and what is known about them to the .json beside it.

    Keras insists on names that end in .weights.h5 and drags the optimizer of a compiled model along; readers of the
    tutorial expect vae/weights.h5. So an uncompiled model saves under another name, and the file is renamed.
    """
    with atomic_write(path) as part:
        alias = part.with_suffix(".weights.h5")
        model.save_weights(alias)
        os.replace(alias, part)
    write_json(path.with_suffix(".json"), about | {"weights_sha256": file_hash(path)})


def load_weights(model: keras.Model, path: Path, maker: str) -> str:
    """Load weights into `model` and return their hash.

    Raises:
        UserError: there are none (`maker` is the script that makes them), or they are of another architecture.
    """
    if not path.exists():
        raise UserError(f"{path} is not there: run {maker} first")
    digest = file_hash(path)
    with TemporaryDirectory() as folder:
        alias = Path(folder) / "network.weights.h5"
        alias.symlink_to(path.resolve())
        try:
            model.load_weights(alias)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f"{path} does not fit this {model.name} (another architecture, or broken): {reason}") from None
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise UserError(f"{path} holds numbers that are not finite")
    return digest


# --- resumable training -----------------------------------------------------------------------------------------------
def save_state(path: Path, model: keras.Model, settings: dict, history: list[dict], best: float) -> None:
    """Write all that resuming needs: last weights, optimizer, and one row of `history` for every epoch done."""
    about = {"settings": settings, "history": history, "best": best}
    with atomic_write(path) as part, h5py.File(part, "w") as file:
        file.attrs["about"] = json.dumps(about)
        for group, variables in _state_variables(model).items():
            for i, variable in enumerate(variables):
                file.create_dataset(f"{group}/{i:03d}", data=np.asarray(variable))


def load_state(path: Path, model: keras.Model, start: str) -> dict:
    """Restore a compiled model from `save_state`; returns {"settings", "history", "best"}.

    Raises:
        UserError: there is nothing to go on from (`start` says how to start), or it does not fit.
    """
    if not path.exists():
        raise UserError(f"there is nothing to go on from ({path} is not there): {start}")
    try:
        with h5py.File(path, "r") as file:
            about = json.loads(file.attrs["about"])
            groups = {name: [np.asarray(file[name][key]) for key in sorted(file[name])] for name in ("model", "optimizer")}
        assert isinstance(about["settings"], dict) and isinstance(about["history"], list)
    except (OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise UserError(f"{path} is not a training state ({str(error).splitlines()[0]}): {start}") from None
    for name, variables in _state_variables(model).items():
        if [tuple(v.shape) for v in variables] != [a.shape for a in groups[name]]:
            raise UserError(f"{path} is the state of another architecture: {start}")
        for variable, array in zip(variables, groups[name], strict=True):
            variable.assign(array)
    return about


def _state_variables(model: keras.Model) -> dict[str, list]:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return {"model": model.weights, "optimizer": model.optimizer.variables}


class Trainer(keras.Model):
    """Fits a network by a loss of several parts, each reported apart.

    A subclass gives `parts`, the names of what `losses_of` returns ("loss", the sum, first), and `losses_of(data, step)`.
    Whatever is random there is a function of (seed, step), so a resumed training goes on exactly as an unbroken one.
    """

    parts: tuple[str, ...]

    def __init__(self, network: keras.Model, seed: int):
        super().__init__(name=f"{network.name}_trainer")
        self.network, self.seed = network, seed
        self.trackers = {name: keras.metrics.Mean(name) for name in self.parts}

    @property
    def metrics(self) -> list:
        return list(self.trackers.values())

    def noise_like(self, tensor: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Standard normal noise of the shape of `tensor`, always the same for one (seed, step)."""
        return tf.random.stateless_normal(tf.shape(tensor), seed=[tf.constant(self.seed, tf.int64), step])

    def train_step(self, data: object) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            losses = self.losses_of(data, tf.cast(self.optimizer.iterations, tf.int64))
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(losses["loss"], weights), weights)
        return self._track(losses)

    def test_step(self, data: object) -> dict[str, tf.Tensor]:
        return self._track(self.losses_of(data, tf.constant(-1, tf.int64)))  # no training step: the same noise each time

    def _track(self, losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, tracker in self.trackers.items():
            tracker.update_state(losses[name])
        return {name: tracker.result() for name, tracker in self.trackers.items()}


class Checkpoint(keras.callbacks.Callback):
    """After every epoch: the best weights so far, the state to resume from, the log; stops when nothing gets better.

    Args:
        network: whose weights are kept (the compiled model around it has the optimizer).
        folder: where weights.h5, state.h5 and log.csv live.
        settings: what resuming must match.
        patience: epochs without a better validation loss after which training stops.
        resumed: what `load_state` returned, if it did.
    """

    def __init__(self, network: keras.Model, folder: Path, settings: dict, patience: int, resumed: dict | None = None):
        super().__init__()
        self.network, self.folder, self.settings, self.patience = network, folder, settings, patience
        self.history = list(resumed["history"]) if resumed else []
        self.best = resumed["best"] if resumed else float("inf")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not np.isfinite(logs["loss"]):
            where = f"step {batch + 1} of epoch {len(self.history) + 1}"
            raise UserError(f"the loss is {logs['loss']} at {where}: stopped; the last good weights are kept")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row = {"epoch": epoch + 1} | {key: float(value) for key, value in logs.items()}
        self.history.append(row)
        if row["val_loss"] < self.best:
            self.best = row["val_loss"]
            about = {"settings": self.settings, "epochs": epoch + 1, "losses": row, "versions": versions()}
            save_weights(self.network, self.folder / "weights.h5", about)
        save_state(self.folder / "state.h5", self.model, self.settings, self.history, self.best)
        with atomic_write(self.folder / "log.csv") as part, open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, self.history[0])
            writer.writeheader()
            writer.writerows(self.history)
        if self.is_over():
            print(f"\nno better validation loss for {self.patience} epochs: stopped early")
            self.model.stop_training = True

    def is_over(self) -> bool:
        """Whether the last `patience` epochs brought no better validation loss."""
        losses = [row["val_loss"] for row in self.history]
        return len(losses) > self.patience and min(losses[-self.patience :]) > min(losses[: -self.patience])


def versions() -> dict[str, str]:
    """Versions worth keeping beside results."""
    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
