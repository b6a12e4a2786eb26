"""The resumable training loop of stages 02 and 04.

At every checkpoint the network is validated on a fixed part of the held-out data and everything is saved. state.h5 is
the only commit point; the best weights and the log are derived from it. Batch order and noise are functions of (seed,
epoch, step), so a resumed training gives the same numbers as an uninterrupted one. A training that is extended has one
row more, of the checkpoint at its earlier end.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import config
from pipeline import cli
from pipeline.curves import Curves
from pipeline.devices import rows_before, total
from pipeline.errors import UserError
from pipeline.files import atomic_write, check_folder, check_same, only_one
from pipeline.networks import are_saved, keras, save_weights, tf, versions
from pipeline.new_model import check_not_set_aside, forget_previous, until_saved
from pipeline.progress import Progress, load_state, points, save_state, starts_epoch
from pipeline.schedule import Schedule
from pipeline.weights import TrainingSettings


class Trainer(keras.Model):
    """Gradient steps on a loss with several terms, each reported separately.

    A subclass defines `losses_of(data, step)`, which returns "loss", the sum, and its terms, and lists these names in
    `parts`: means over what `count_of(data)` counts.
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

    def count_of(self, data: Any) -> tf.Tensor:
        """What the losses of a batch are means over, float32: its rows."""
        return tf.cast(rows_of(data), tf.float32)

    def images(self, batch: Any) -> dict[str, np.ndarray]:
        """Images of a validation batch that show what is learned: tag -> uint8 (n, height, width, 1 or 3).

        They must not draw random numbers.
        """
        return {}

    def noise_like(self, tensor: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Standard normal noise with the shape of `tensor`, a function of (seed, step) and the row in the batch."""
        rows, row_shape = tf.shape(tensor)[0], tf.shape(tensor)[1:]
        shape = tf.concat([[total(rows)], row_shape], axis=0)
        noise = tf.random.stateless_normal(shape, seed=[tf.constant(self.seed, tf.int64), step])
        first = rows_before(rows)
        return noise[first : first + rows]

    def train_step(self, data: object) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            losses = self.losses_of(data, tf.cast(self.optimizer.iterations, tf.int64))
            loss = losses["loss"] * self._share(data)
        weights = self.network.trainable_variables
        self.optimizer.apply(total(tape.gradient(loss, weights)), weights)
        return self._track(losses, data)

    def test_step(self, data: object) -> dict[str, tf.Tensor]:
        no_step = tf.constant(-1, tf.int64)  # the same noise at every validation
        return self._track(self.losses_of(data, no_step), data)

    def _maybe_symbolic_build(self, iterator: object = None, data_batch: object = None) -> None:
        """Nothing: the network has its weights. Keras would average the parts of a batch, whose sizes may differ."""

    def _track(self, losses: dict[str, tf.Tensor], data: object) -> dict[str, tf.Tensor]:
        rows, share = total(rows_of(data)), self._share(data)
        for name, tracker in self.trackers.items():
            # The last batch of a validation may be short.
            tracker.update_state(total(losses[name] * share), sample_weight=rows)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _share(self, data: object) -> tf.Tensor:
        """The weight of this device's losses in the means over the batch: 1 on one device."""
        count = self.count_of(data)
        return count / tf.maximum(total(count), 1.0)


def rows_of(data: object) -> tf.Tensor:
    """The rows of a batch, int32."""
    return tf.shape(keras.tree.flatten(data)[0])[0]


class Checkpoint(keras.callbacks.Callback):
    """Validates and saves the state, the best weights and the log at every checkpoint, and stops the training early.

    Args:
        folder: folder of state.h5, weights.h5 and log.csv.
        trainer: the compiled trainer.
        progress: its progress so far.
        schedule: when a checkpoint is due.
        patience_steps: gradient steps without a better validation loss after which training stops.
    """

    def __init__(self, folder: Path, trainer: Trainer, progress: Progress, schedule: Schedule, patience_steps: int):
        super().__init__()
        self.folder, self.trainer, self.progress = folder, trainer, progress
        self.schedule, self.patience_steps = schedule, patience_steps
        self.curves = Curves(folder.parent / config.LOG_DIR / folder.name)
        self.held_out: tf.data.Dataset  # the validation batches and a progress bar, set when the training begins
        self.bar: tqdm[Any]
        self.example: Any = None  # the first validation batch, of which images are made

    @property
    def step(self) -> int:
        return int(self.trainer.optimizer.iterations.numpy())

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        step = self.step
        self.check(logs["loss"], f"step {step}")
        self.bar.set_postfix(loss=f"{logs['loss']:.4g}", refresh=False)
        self.bar.update()
        if self.schedule.is_checkpoint(step):
            validated = self.trainer.evaluate(self.held_out, verbose=0, return_dict=True)
            self.trainer.reset_metrics()  # the losses of the next row are means since this one
            self.save(step, logs | {f"val_{name}": value for name, value in validated.items()})
            if self.is_finished():
                self.trainer.stop_training = True

    def check(self, loss: float, where: str) -> None:
        """Stop at a loss that is not finite, before weights with NaN are saved (tests/test_finite.py)."""
        if not np.isfinite(loss):
            raise UserError(f"the loss is {loss} at {where}: training stopped; the last finite weights are kept")

    def save(self, step: int, losses: dict[str, float]) -> None:
        """Append a row with the losses after `step` to the history, save everything, and print the row."""
        self.check(losses["val_loss"], f"the validation after step {step}")
        epoch = round(step / self.schedule.steps_per_epoch, 4)
        row = {"step": step, "epoch": epoch} | {name: float(losses[name]) for name in sorted(losses)}
        progress = self.progress
        better = row["val_loss"] < progress.best_loss
        saved_step = progress.saved_step
        progress.history.append(row)
        if better:
            progress.best = {
                "settings": asdict(progress.settings),
                "steps": step,
                "losses": row,
                "versions": versions(),
            }
            progress.best_weights = self.trainer.network.get_weights()
        starts = starts_epoch(progress.history, len(progress.history) - 1)
        if starts or step >= self.schedule.goal or self.is_finished():
            self.curves.write_images(self.trainer.images(self.example), step, saved_step)
        save_state(self.folder / "state.h5", self.trainer, progress)
        self.write_results()
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "epoch"))
        tqdm.write(f"step {step}, epoch {epoch:.2f}: {numbers}{', the best so far' if better else ''}")
        sys.stdout.flush()  # a log file is buffered

    def write_results(self) -> None:
        """Write the files derived from the state: the best weights, unless they are saved already, log and curves.

        Then no earlier state is needed that --new_model has set aside.
        """
        progress, network, path = self.progress, self.trainer.network, self.folder / "weights.h5"
        if progress.best and not are_saved(path, progress.best):
            last = network.get_weights()
            network.set_weights(progress.best_weights)
            save_weights(network, path, progress.best)
            network.set_weights(last)
        if progress.history:
            with atomic_write(self.folder / "log.csv") as part, open(part, "w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, progress.history[0])
                writer.writeheader()
                writer.writerows(progress.history)
            self.curves.write(points(self.folder.name, progress.history))
            self.curves.remove_images(progress.saved_step)
        forget_previous(self.folder / "state.h5")

    def is_finished(self) -> bool:
        """Whether the validation loss has not improved for `patience_steps` gradient steps."""
        progress = self.progress
        if not progress.best or not progress.history:
            return False
        return bool(progress.history[-1]["step"] - progress.best["losses"]["step"] >= self.patience_steps)


def fit(
    trainer: Trainer,
    folder: Path,
    settings: TrainingSettings,
    schedule: Schedule,
    new_model: bool,
    training: Callable[[int, int], Iterator[Any]],
    validation: Callable[[], Iterator[Any]],
    patience_steps: int,
) -> None:
    """Train a compiled `trainer` from scratch or from its saved state, with Keras' own `fit`.

    Args:
        folder: folder of state.h5, weights.h5 and log.csv.
        settings: the settings that a resumed training must share.
        training: (epoch, first) -> iterator over the batches of an epoch from batch `first` on, steps_per_epoch - first
            of them; a batch is an array or a dict of arrays.
        validation: () -> iterator over the validation batches.
        patience_steps: gradient steps without a better validation loss after which training stops.

    Raises:
        UserError: the state is damaged or of other settings, a loss is not finite, or a file cannot be written.
        MemoryError: a gradient step does not fit into memory.
    """
    with trainer.distribute_strategy.scope():
        trainer.optimizer.build(trainer.network.trainable_variables)  # else the first step is traced twice
    with only_one(folder / ".training.lock", f"training {folder}/"):
        progress = _start_or_resume(trainer, folder, settings, new_model)
        checkpoint = Checkpoint(folder, trainer, progress, schedule, patience_steps)
        if progress.best:
            checkpoint.write_results()  # the last run may have been killed between the state and these files
        if checkpoint.is_finished():
            reason = f"no better validation loss in the last {patience_steps} of {checkpoint.step} steps"
            print(f"{folder}/ is trained: {reason}; --new_model starts over")
            return
        if checkpoint.step >= schedule.goal:
            end = schedule.end(checkpoint.step)
            print(f"{folder}/ is trained, {checkpoint.step} steps: {end}, --new_model starts over")
            return
        check_folder(folder)
        with until_saved(folder / "state.h5", new_model):
            _run(trainer, checkpoint, schedule, training, validation)
        if checkpoint.is_finished():
            print(f"no better validation loss for {patience_steps} steps: stopped early")
        else:
            print(schedule.end(checkpoint.step))


def _start_or_resume(trainer: Trainer, folder: Path, settings: TrainingSettings, new_model: bool) -> Progress:
    """The progress of a new training, or that of the saved one, whose state is restored into `trainer`."""
    state, weights = folder / "state.h5", folder / "weights.h5"
    if new_model:
        return Progress(settings, [])
    if not state.exists():
        check_not_set_aside(state)
        if weights.exists():
            raise UserError(f"{weights} exists without {state}, which resuming needs: --new_model replaces it")
        print(f"{folder}/ holds no training to resume: starting from scratch")
        return Progress(settings, [])
    progress = load_state(state, trainer, "--new_model starts over")
    remedy = "give the earlier settings, or --new_model to start over"
    check_same(str(state), asdict(progress.settings), asdict(settings.as_stated_in(progress.settings)), remedy)
    print(f"resuming {state} after {int(trainer.optimizer.iterations.numpy())} steps")
    return progress


def _run(
    trainer: Trainer,
    checkpoint: Checkpoint,
    schedule: Schedule,
    training: Callable[[int, int], Iterator[Any]],
    validation: Callable[[], Iterator[Any]],
) -> None:
    """Train from the present step to the schedule's goal, or until the checkpoint stops it; see `fit`."""
    step = checkpoint.step
    failures: list[UserError] = []
    held_out = validation()
    checkpoint.example = next(held_out)
    checkpoint.held_out = _dataset(validation, 1 + sum(1 for _ in held_out), failures)
    stream = _dataset(partial(_batches_after, step, training, schedule.steps_per_epoch), schedule.goal - step, failures)
    bar = cli.progress(schedule.goal, "step", initial=step)
    try:
        with bar as checkpoint.bar:
            # The batches are shuffled already; Keras would warn that it cannot shuffle a stream.
            trainer.fit(stream, callbacks=[checkpoint], shuffle=False, verbose=0)
    except tf.errors.ResourceExhaustedError:
        raise MemoryError("for a gradient step, or the data of one") from None
    except tf.errors.OpError:
        if failures:  # in place of TensorFlow's report of it
            raise failures[0] from None
        raise


def _batches_after(step: int, training: Callable[[int, int], Iterator[Any]], steps_per_epoch: int) -> Iterator[Any]:
    """The batches of all gradient steps after `step`, without end; none of those before is read."""
    epoch, first = divmod(step, steps_per_epoch)
    while True:
        yield from training(epoch, first)
        epoch, first = epoch + 1, 0


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

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def load(index: tf.Tensor) -> object:
        tensors = tf.numpy_function(read, [index], [tf.as_dtype(array.dtype) for array in flat])
        for tensor, array in zip(tensors, flat, strict=True):
            tensor.set_shape((None, *array.shape[1:]))
        return keras.tree.pack_sequence_as(example, tensors)

    return tf.data.Dataset.range(count).map(load).prefetch(4)
