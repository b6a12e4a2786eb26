"""Stage 02 or 04, run as a user does, and timed beside the bare gradient step in the same process.

After every log line the stage pauses, and two things are timed that drift with the machine as the stage does: its own
gradient step on one batch that is already in memory, and a large matrix product. The weights that the stage writes are
not those of a normal run, since the bare steps train too.
"""

import os
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import config
from experiments import ROOT
from pipeline.files import write_json
from pipeline.networks import keras, tf
from pipeline.training import Checkpoint, Trainer

BARE_SHARE = 0.3  # of a log interval's seconds for bare steps
PRODUCT = 3000  # rows and columns of the square matrices


class Timer(keras.callbacks.Callback):
    """Times the log intervals of a training; to be called after its checkpoint.

    Args:
        batches: of the stage; the first one is that of the bare steps.
        checkpoint: prints the log lines.
        path: file for the results, written after every interval.
    """

    def __init__(self, batches: tf.data.Dataset, checkpoint: Checkpoint, path: Path):
        super().__init__()
        self.batches, self.checkpoint, self.path = batches, checkpoint, path
        self.times: dict[str, Any] = {"first_step": None, "intervals": []}
        self.matrix = np.random.default_rng(0).random((PRODUCT, PRODUCT), np.float32)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch and not self.times["intervals"]:
            self.first = {"steps": self.steps, "seconds": time.perf_counter() - self.start}

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not batch:
            self.times["first_step"] = time.time()
            write_json(self.path, self.times)
            return self._start()
        self.steps += 1
        if self.checkpoint.schedule.is_checkpoint(self.checkpoint.step):
            self._end()

    def _start(self) -> None:
        self.start, self.faults, self.steps = time.perf_counter(), page_faults(), 0

    def _end(self) -> None:
        interval = {"steps": self.steps, "seconds": time.perf_counter() - self.start}
        interval["faults"] = page_faults() - self.faults
        if not self.times["intervals"]:
            interval |= self.first  # without the validation, whose trace belongs to the start
            self.step, self.batch = tf.function(self.model.train_step), next(iter(self.batches.take(1)))
            self._seconds_of_bare_steps(1)
            self.matrix @ self.matrix
        bare_steps = max(3, round(BARE_SHARE * self.steps))
        interval["bare_seconds"] = self._seconds_of_bare_steps(bare_steps) / bare_steps
        start = time.perf_counter()
        for _ in range(3):
            self.matrix @ self.matrix
        interval["peak"] = 3 * PRODUCT**3 / (time.perf_counter() - start)
        self.times["intervals"].append(interval)
        write_json(self.path, self.times)
        self._start()

    def _seconds_of_bare_steps(self, steps: int) -> float:
        iterations = self.model.optimizer.iterations
        before, start = int(iterations), time.perf_counter()
        for _ in range(steps):
            float(self.step(self.batch)["loss"])
        seconds = time.perf_counter() - start
        iterations.assign(before)  # the stage counts its steps by it
        return seconds


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def forget_data() -> None:
    """Drop the data files from the page cache, so that the first epoch reads them from the disk."""
    for path in config.DATA_DIR.glob("*.npy"):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)  # pages that are not written yet would stay
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def run() -> None:
    """Run a stage; sys.argv holds TIMES.json, cold or warm, the script and its arguments.

    Writes to TIMES.json `first_step`, the time of day at the end of the first gradient step, and per log interval: its
    gradient steps, seconds and page faults from the end of the first step or the last log line to this one, with
    everything that the stage does in between (in the first interval without the validation); seconds of one bare step;
    and multiply-adds per second of the product. With `cold`, the first interval reads the data from the disk.
    """
    results, cache, script, *arguments = sys.argv[1:]
    original = keras.Model.fit

    def fit(trainer: Trainer, batches: tf.data.Dataset, callbacks: list, **options: Any) -> object:
        if cache == "cold":
            forget_data()
        [checkpoint] = callbacks
        timer = Timer(batches, checkpoint, Path(results))
        return original(trainer, batches, callbacks=[checkpoint, timer], **options)

    Trainer.fit = fit
    sys.argv = [script, *arguments]
    runpy.run_path(str(ROOT / script), run_name="__main__")
