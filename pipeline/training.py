"""The resumable training loop of stages 02 and 04.

After every epoch the network is validated and everything is saved. state.h5 is the only commit point; the best weights
and the log are derived from it. Batch order and noise are functions of (seed, epoch, step), so a resumed training gives
the same numbers as an uninterrupted one. The exception is a training that ended within an epoch at its --steps: resumed
with more steps, it starts a new epoch.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write, check_folder, check_same, only_one
from pipeline.networks import are_saved, keras, save_weights, tf, versions
from pipeline.seeds import rng
from pipeline.settings import read_settings
from pipeline.training_state import check_arrays, read_state, restore, write_state
from pipeline.weights import TrainingSettings


class Trainer(keras.Model):
    """Gradient steps on a loss with several terms, each reported separately.

    A subclass defines `losses_of(data, step)`, which returns "loss", the sum, and its terms, and lists these names in
    `parts`.
    """

    parts: tuple[str, ...]

    def __init__(self, network: keras.Model, seed: int):
        super().__init__(name=f"{network.name}_trainer")
        self.network, self.seed = network, seed
        self.trackers = {name: keras.metrics.Mean(name) for name in self.parts}

    @property
    def metrics(self) -> list[Any]:
        return list(self.trackers.values())

    def losses_of(self, data: Any, step: tf.Tensor) -> dict[str, tf.Tensor]:
        raise NotImplementedError

    def noise_like(self, tensor: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Standard normal noise with the shape of `tensor`, a function of (seed, step)."""
        return tf.random.stateless_normal(tf.shape(tensor), seed=[tf.constant(self.seed, tf.int64), step])

    def train_step(self, data: object) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            losses = self.losses_of(data, tf.cast(self.optimizer.iterations, tf.int64))
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(losses["loss"], weights), weights)
        return self._track(losses, data)

    def test_step(self, data: object) -> dict[str, tf.Tensor]:
        no_step = tf.constant(-1, tf.int64)  # the same noise at every validation
        return self._track(self.losses_of(data, no_step), data)

    def _track(self, losses: dict[str, tf.Tensor], data: object) -> dict[str, tf.Tensor]:
        rows = tf.shape(keras.tree.flatten(data)[0])[0]
        for name, tracker in self.trackers.items():
            tracker.update_state(losses[name], sample_weight=rows)  # the last batch of a validation may be short
        return {name: tracker.result() for name, tracker in self.trackers.items()}


@dataclass
class Progress:
    """The progress of a training.

    Attributes:
        settings: the settings that a resumed training must share.
        history: one row of losses per finished epoch.
        best: metadata of the epoch with the lowest validation loss; None before the first epoch.
        best_weights: the weights after that epoch.
    """

    settings: TrainingSettings
    history: list[dict[str, float]]
    best: dict[str, Any] | None = None
    best_weights: list[np.ndarray] = field(default_factory=list)

    @property
    def best_loss(self) -> float:
        return self.best["losses"]["val_loss"] if self.best else float("inf")


def save_state(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write everything that resuming needs: last weights, optimizer state, progress and best weights."""
    metadata = {"settings": asdict(progress.settings), "history": progress.history, "best": progress.best}
    write_state(path, metadata, _state_variables(model) | {"best": progress.best_weights})


def load_state(path: Path, model: keras.Model, remedy: str) -> Progress:
    """Restore a compiled model from a file of `save_state`; returns the saved progress.

    Args:
        remedy: how to start over, for the error message.

    Raises:
        UserError: the file is missing, damaged or of another architecture.
    """
    metadata, groups = read_state(path, remedy)
    try:
        settings = read_settings(TrainingSettings, metadata["settings"], str(path), remedy)
        progress = Progress(settings, metadata["history"], metadata["best"], groups.pop("best"))
        if not isinstance(progress.history, list):
            raise TypeError("its history is no list")
        losses = [row["val_loss"] for row in progress.history]
        if not losses or not np.isfinite(losses).all() or progress.best_loss != min(losses):
            raise ValueError("its losses are inconsistent")
    except UserError:
        raise
    except Exception as error:  # metadata of any other structure counts as damage
        raise UserError(f"{path} is not a training state ({first_line(error)}): {remedy}") from None
    variables = _state_variables(model)
    check_arrays(path, variables["model"] if progress.best else [], progress.best_weights, remedy)
    restore(path, variables, groups, remedy)
    return progress


def _state_variables(model: keras.Model) -> dict[str, list[Any]]:
    if not model.optimizer.built:
        model.optimizer.build(model.network.trainable_variables)
    return {"model": model.network.weights, "optimizer": model.optimizer.variables}


class Checkpoint(keras.callbacks.Callback):
    """Saves the state, the best weights and the log after every epoch, and stops the training early.

    Args:
        folder: folder of state.h5, weights.h5 and log.csv.
        trainer: the compiled trainer.
        progress: its progress so far.
        patience: epochs without a better validation loss after which training stops.
    """

    def __init__(self, folder: Path, trainer: Trainer, progress: Progress, patience: int):
        super().__init__()
        self.folder, self.trainer, self.progress, self.patience = folder, trainer, progress, patience

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        self.check(logs["loss"], f"step {batch + 1} of epoch {len(self.progress.history) + 1}")

    def check(self, loss: float, where: str) -> None:
        """Stop at a loss that is not finite, before weights with NaN are saved (tests/test_finite.py)."""
        if not np.isfinite(loss):
            raise UserError(f"the loss is {loss} at {where}: training stopped; the last finite weights are kept")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        row = {"epoch": epoch + 1} | {key: float(value) for key, value in logs.items()}
        self.check(row["val_loss"], f"the validation of epoch {epoch + 1}")
        progress = self.progress
        progress.history.append(row)
        if row["val_loss"] < progress.best_loss:
            metadata = {
                "settings": asdict(progress.settings),
                "epochs": epoch + 1,
                "losses": row,
                "versions": versions(),
            }
            progress.best, progress.best_weights = metadata, self.trainer.network.get_weights()
        save_state(self.folder / "state.h5", self.trainer, progress)
        self.write_results()
        if self.is_finished():
            self.trainer.stop_training = True

    def write_results(self) -> None:
        """Write the files derived from the state: the best weights, unless they are saved already, and the log."""
        progress, network, path = self.progress, self.trainer.network, self.folder / "weights.h5"
        if progress.best and not are_saved(path, progress.best):
            last = network.get_weights()
            network.set_weights(progress.best_weights)
            save_weights(network, path, progress.best)
            network.set_weights(last)
        with atomic_write(self.folder / "log.csv") as part, open(part, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, progress.history[0])
            writer.writeheader()
            writer.writerows(progress.history)

    def is_finished(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        losses = [row["val_loss"] for row in self.progress.history]
        return len(losses) > self.patience and min(losses[-self.patience :]) >= min(losses[: -self.patience])


def shuffled(samples: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Yield the batches of an epoch in an order that depends on (seed, epoch); drops an incomplete last batch."""
    order = rng("batch_order", seed, epoch).permutation(len(samples))
    for i in range(0, len(samples) - batch_size + 1, batch_size):
        yield samples[order[i : i + batch_size]]


def in_order(samples: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield all samples in batches, in their order; the last batch may be shorter."""
    for i in range(0, len(samples), batch_size):
        yield samples[i : i + batch_size]


@dataclass(frozen=True)
class Schedule:
    """The length of a training: at most `epochs` epochs and `steps` gradient steps in total; None means no limit."""

    steps_per_epoch: int
    epochs: int | None
    steps: int | None

    def spans(self, epoch: int, step: int) -> list[tuple[int, int, int]]:
        """The spans left after `epoch` epochs and `step` steps: [(first epoch, last epoch + 1, steps per epoch)]."""
        limits = []
        if self.epochs is not None:
            limits.append((self.epochs - epoch) * self.steps_per_epoch)
        if self.steps is not None:
            limits.append(self.steps - step)
        whole, rest = divmod(max(0, min(limits)), self.steps_per_epoch)
        spans = [(epoch, epoch + whole, self.steps_per_epoch), (epoch + whole, epoch + whole + 1, rest)]
        return [span for span in spans if span[0] < span[1] and span[2]]

    def end(self, step: int) -> str:
        """Which limit ended the training after `step` steps, and what continues it."""
        if self.steps is not None and step >= self.steps:
            return f"ended by --steps {self.steps}; a larger one continues"
        goal = f" of --steps {self.steps}" if self.steps is not None else ""
        return f"ended by --epochs {self.epochs}, after {step} steps{goal}; a larger one continues"


def fit(
    trainer: Trainer,
    folder: Path,
    settings: TrainingSettings,
    schedule: Schedule,
    new_model: bool,
    training: Callable[[int], Iterator[Any]],
    validation: Callable[[], Iterator[Any]],
    patience: int,
) -> None:
    """Train a compiled `trainer` from scratch or from its saved state, with Keras' own `fit`.

    Args:
        folder: folder of state.h5, weights.h5 and log.csv.
        settings: the settings that a resumed training must share.
        training: epoch -> iterator over at least steps_per_epoch batches; a batch is an array or a dict of arrays.
        validation: () -> iterator over the validation batches.
        patience: epochs without a better validation loss after which training stops.

    Raises:
        UserError: the state is damaged or of other settings, a loss is not finite, or a file cannot be written.
        MemoryError: a gradient step does not fit into memory.
    """
    trainer.optimizer.build(trainer.network.trainable_variables)  # else the first step is traced twice
    with only_one(folder / ".training.lock", f"training {folder}/"):
        checkpoint = _start_or_resume(trainer, folder, settings, new_model, patience)
        done = len(checkpoint.progress.history)
        spans = schedule.spans(done, int(trainer.optimizer.iterations))
        if checkpoint.is_finished():
            reason = f"no better validation loss in the last {patience} of {done} epochs"
            print(f"{folder}/ is trained: {reason}; --new_model starts over")
            return
        if not spans:
            end = schedule.end(int(trainer.optimizer.iterations))
            print(f"{folder}/ is trained, {done} epochs: {end}, --new_model starts over")
            return
        check_folder(folder)
        failures: list[UserError] = []
        held_out = _dataset(validation, sum(1 for _ in validation()), failures)
        for first, stop, steps in spans:
            if checkpoint.is_finished():
                break
            stream = _dataset(partial(_chain, training, first, stop, steps), (stop - first) * steps, failures)
            try:
                trainer.fit(
                    stream,
                    initial_epoch=first,
                    epochs=stop,
                    steps_per_epoch=steps,
                    validation_data=held_out,
                    callbacks=[checkpoint],
                    shuffle=False,  # the batches are shuffled already; Keras would warn that it cannot shuffle a stream
                    verbose=1 if sys.stdout.isatty() else 2,  # a bar on a terminal, one line per epoch in a log file
                )
            except tf.errors.ResourceExhaustedError:
                raise MemoryError("for a gradient step, or the data of one") from None
            except tf.errors.OpError:
                if failures:  # in place of TensorFlow's report of it
                    raise failures[0] from None
                raise
        if checkpoint.is_finished():
            print(f"no better validation loss for {patience} epochs: stopped early")
        else:
            print(schedule.end(int(trainer.optimizer.iterations)))


def _start_or_resume(
    trainer: Trainer, folder: Path, settings: TrainingSettings, new_model: bool, patience: int
) -> Checkpoint:
    """The checkpoint of a new training, or that of the saved one, whose state is restored into `trainer`."""
    state, weights = folder / "state.h5", folder / "weights.h5"
    if not (new_model or state.exists()):
        if weights.exists():
            raise UserError(f"{weights} exists without {state}, which resuming needs: --new_model replaces it")
        print(f"{folder}/ holds no training to resume: starting from scratch")
    if new_model or not state.exists():
        return Checkpoint(folder, trainer, Progress(settings, []), patience)
    progress = load_state(state, trainer, "--new_model starts over")
    remedy = "give the earlier settings, or --new_model to start over"
    check_same(str(state), asdict(progress.settings), asdict(settings), remedy)
    checkpoint = Checkpoint(folder, trainer, progress, patience)
    checkpoint.write_results()  # the last run may have been killed between the state and these files
    print(f"resuming {state} after {len(progress.history)} epochs")
    return checkpoint


def _chain(training: Callable[[int], Iterator[Any]], first: int, stop: int, steps: int) -> Iterator[Any]:
    for epoch in range(first, stop):
        yield from islice(training(epoch), steps)


def _dataset(batches: Callable[[], Iterator[Any]], count: int, failures: list[UserError]) -> tf.data.Dataset:
    """A tf.data stream, read ahead in the background, of the `count` batches that `batches()` yields.

    A UserError of `batches()` is appended to `failures`: TensorFlow raises another error in its place.
    Every pass over the stream calls `batches()` anew. `Dataset.from_generator` would be the plain way, but its kernel
    calls mallopt, and from then on the process maps and unmaps every tensor above 128 KiB at every step: 100,000 page
    faults, a third of the processor's time (guarded by tests/test_training.py).
    """
    example = next(batches())
    flat = keras.tree.flatten(example)
    stream: Iterator[Any] = iter(())

    def read(index: np.ndarray) -> list[np.ndarray]:
        nonlocal stream
        if index == 0:
            stream = batches()
        try:
            arrays: list[np.ndarray] = keras.tree.flatten(next(stream))
            return arrays
        except UserError as error:
            failures.append(error)
            raise

    def load(index: tf.Tensor) -> object:
        tensors = tf.numpy_function(read, [index], [tf.as_dtype(array.dtype) for array in flat])
        for tensor, array in zip(tensors, flat, strict=True):
            tensor.set_shape((None, *array.shape[1:]))
        return keras.tree.pack_sequence_as(example, tensors)

    return tf.data.Dataset.range(count).map(load).prefetch(4)
