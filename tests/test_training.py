"""Tests of the training loop of 02 and 04: the best weights and the log are restored from state.h5."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.settings import training_settings

from pipeline.networks import keras, tf
from pipeline.optimizer import Adam
from pipeline.training import Checkpoint, Progress, Schedule, Trainer, fit, load_state

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
    checkpoint = Checkpoint(tmp_path, trainer, Progress(training_settings(), []), patience=5)
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


@pytest.mark.parametrize(
    ("epochs", "steps", "end"),
    [
        (2, 9, "ended by --epochs 2, after 6 steps of --steps 9; a larger one continues"),
        (2, None, "ended by --epochs 2, after 6 steps; a larger one continues"),
        (9, 2, "ended by --steps 2; a larger one continues"),
    ],
)
def test_the_limit_that_ended_a_training_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture, epochs: int, steps: int | None, end: str
) -> None:
    """Also by the same command once more. Three steps are an epoch."""
    trainer, data = line_trainer(1), [np.ones((2, 1), np.float32)] * 3
    for words in (f"\n{end}\n", f"is trained, {2 if end.startswith('ended by --e') else 1} epochs: {end}, --new_model"):
        fit(
            trainer,
            tmp_path,
            settings=training_settings(),
            schedule=Schedule(3, epochs, steps),
            new_model=False,
            training=lambda epoch: iter(data),
            validation=lambda: iter(data),
            patience=5,
        )
        assert words in capsys.readouterr().out


def test_fused_adam_equals_keras_adam() -> None:
    """After ten steps, with clipping by the global norm; the state has the same variables in the same order."""
    rng = np.random.default_rng(0)
    gradients = [[tf.constant(rng.normal(0, 3, shape), tf.float32) for shape in ((4, 3), (3,))] for _ in range(10)]
    results = []
    for kind in (Adam, keras.optimizers.Adam):
        variables = [keras.Variable(np.full(shape, 0.5, np.float32)) for shape in ((4, 3), (3,))]
        optimizer = kind(1e-2, global_clipnorm=1.0)
        optimizer.build(variables)
        for step in gradients:
            optimizer.apply(step, variables)
        results.append([variable.numpy() for variable in (*variables, *optimizer.variables)])
    for ours, keras_own in zip(*results, strict=True):
        assert np.abs(keras_own).max() > 1e-4
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4)


FAULTS = """
import resource
import ctypes
import subprocess
import sys
from pathlib import Path
import numpy as np
from pipeline import networks, training
from pipeline.optimizer import Adam
from pipeline.weights import TrainingSettings
{imports}

counts = []

def batches(epoch=0):
    rng = np.random.default_rng(epoch)
    for step in range(STEPS):
        if epoch == 0:
            counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        yield {batch}

STEPS = 16
networks.seed_everything(0)
trainer = {trainer}
trainer.compile(optimizer=Adam())
settings = TrainingSettings(data="", N=None, batch_size=1, seed=0, init_weights=None)
schedule = training.Schedule(STEPS, 1, None)
training.fit(trainer, Path("network"), settings, schedule, True, batches, lambda: batches(1), 5)
last = counts[-8:]  # after the first steps, which allocate TensorFlow's buffers
print((last[-1] - last[0]) / (len(last) - 1))
"""
NETWORKS = {
    "02": {
        "imports": "from vae.arch import VAE, VAETrainer",
        "batch": "rng.integers(256, size=(100, 64, 64, 3), dtype=np.uint8)",
        "trainer": "VAETrainer(VAE(), 0)",
    },
    "04": {
        "imports": "from rnn.arch import RNN, RNNTrainer",
        "batch": "{'mu': rng.random((50, 100, 32), np.float32), 'log_var': rng.random((50, 100, 32), np.float32),"
        " 'action': rng.random((50, 99, 3), np.float32), 'reward': np.zeros((50, 100), np.float32),"
        " 'real': np.ones((50, 99), bool)}",
        "trainer": "RNNTrainer(RNN(), 0)",
    },
}


def without_huge_pages() -> None:
    """Pages of 4 KiB alone, in which faults are counted alike on every Linux (prctl PR_SET_THP_DISABLE)."""
    ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of Linux")
@pytest.mark.parametrize("stage", NETWORKS)
def test_gradient_step_causes_few_page_faults(tmp_path: Path, stage: str) -> None:
    """Dataset.from_generator, whose kernel sets malloc's mmap threshold, causes 2,000 and more of these tensors."""
    program = FAULTS.format(**NETWORKS[stage])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, preexec_fn=without_huge_pages, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 1500
