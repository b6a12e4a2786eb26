"""Tests of the training loop of 02 and 04: the best weights and the log are restored from state.h5."""

import csv
import ctypes
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import snapshot
from helpers.settings import training_settings

from pipeline.errors import UserError
from pipeline.networks import keras, tf
from pipeline.optimizer import Adam
from pipeline.progress import Progress, load_state
from pipeline.schedule import Schedule, in_order, shuffled, spread
from pipeline.training import Checkpoint, Trainer, fit

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


def test_the_best_weights_survive_a_worse_checkpoint_and_are_restored_from_the_state(tmp_path: Path) -> None:
    trainer, results = line_trainer(1), [tmp_path / name for name in ("weights.h5", "weights.json", "log.csv")]
    schedule = Schedule(3, 9, None, 2)
    checkpoint = Checkpoint(tmp_path, trainer, Progress(training_settings(), []), schedule, patience_steps=5)
    checkpoint.save(2, {"loss": 1.0, "val_loss": 1.0})
    best = results[0].read_bytes()
    trainer.network.set_weights([np.full((1, 1), 2), np.zeros(1)])
    checkpoint.save(4, {"loss": 1.0, "val_loss": 1.5})
    assert results[0].read_bytes() == best
    written = [path.read_bytes() for path in results]
    for path in results:
        path.unlink()  # as after a kill between the state and these files
    resumed = line_trainer(3)
    Checkpoint(tmp_path, resumed, load_state(tmp_path / "state.h5", resumed, ""), schedule, 5).write_results()
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
    for words in (f"\n{end}\n", f"is trained, {min(3 * epochs, steps or 6)} steps: {end}, --new_model"):
        fit(
            trainer,
            tmp_path,
            settings=training_settings(),
            schedule=Schedule(3, epochs, steps, 2),
            new_model=False,
            training=lambda epoch, first: iter(data[first:]),
            validation=lambda: iter(data),
            patience_steps=5,
        )
        assert words in capsys.readouterr().out


# --- checkpoints inside an epoch --------------------------------------------------------------------------------------

DATA = np.random.default_rng(0).normal(size=(40, 1)).astype(np.float32)  # 20 batches of 2, an epoch


class Killed(BaseException):
    """Ends a training at once, as a kill does."""


class SlopeTrainer(LineTrainer):
    """Its loss depends on noise, so on the step; it is killed at the beginning of a step."""

    kill_at: int | None = None

    def losses_of(self, data: object, step: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"loss": tf.reduce_mean((self.network(data) - 2 * data + 0.1 * self.noise_like(data, step)) ** 2)}


def train(
    folder: Path,
    steps: int,
    checkpoint_steps: int = 6,
    kill_at: int | None = None,
    new_model: bool = False,
    patience_steps: int = 999,
    read: list[int] | None = None,
) -> Trainer:
    """Train on DATA; the reading of the batch of step `kill_at` (from 1) ends the training, which `read` records."""
    trainer = SlopeTrainer(line_trainer(0).network, seed=0)
    trainer.compile(optimizer=Adam(0.05))

    def batches(epoch: int, first: int) -> Iterator[np.ndarray]:
        for i, rows in enumerate(shuffled(np.arange(40), 2, 0, epoch, first)):
            if read is not None:
                read.append(20 * epoch + first + i + 1)
            yield DATA[rows]

    class Kill(Checkpoint):
        def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
            if self.step + 1 == kill_at:
                raise Killed

    schedule = Schedule(20, None, steps, checkpoint_steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.training.Checkpoint", Kill)
        fit(
            trainer,
            folder,
            training_settings(),
            schedule,
            new_model,
            batches,
            lambda: in_order(DATA[:4], 2),
            patience_steps,
        )
    return trainer


def steps_of(folder: Path) -> list[int]:
    with open(folder / "log.csv", newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_a_training_killed_at_any_step_resumes_to_the_unbroken_one(tmp_path: Path) -> None:
    """All files are equal bit for bit; kills come inside an epoch and around its end, and skipped data are not read."""
    train(tmp_path / "whole", 33)
    assert steps_of(tmp_path / "whole") == [6, 12, 18, 24, 30, 33]
    for kill_at in (9, 20, 21, 33):
        broken, read = tmp_path / f"{kill_at}", []
        with pytest.raises(Killed):
            train(broken, 33, kill_at=kill_at)
        saved = (kill_at - 1) // 6 * 6
        assert steps_of(broken) == list(range(6, saved + 1, 6))
        train(broken, 33, read=read)
        assert min(read) == saved + 1
        assert snapshot(broken) == snapshot(tmp_path / "whole")


def test_the_gradient_steps_do_not_depend_on_the_checkpoints(tmp_path: Path) -> None:
    """Nor on an earlier end of the training, whose row stays."""
    expected = train(tmp_path / "a", 33, checkpoint_steps=100).network.get_weights()
    assert steps_of(tmp_path / "a") == [33]
    train(tmp_path / "b", 5, checkpoint_steps=7)
    trainer = train(tmp_path / "b", 33, checkpoint_steps=7)
    assert steps_of(tmp_path / "b") == [5, 7, 14, 21, 28, 33]
    for ours, theirs in zip(trainer.network.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_training_shorter_than_an_interval_saves_everything(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(tmp_path, 3, checkpoint_steps=100)
    assert set(snapshot(tmp_path)) == {"state.h5", "weights.h5", "weights.json", "log.csv"}
    assert re.search(r"\nstep 3, epoch 0.15: loss [\d.]+, val_loss [\d.]+, the best so far\n", capsys.readouterr().out)


def test_patience_counts_steps(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The first checkpoint that is so many steps after the best one ends the training, and it stays ended."""
    train(tmp_path, 2000, checkpoint_steps=5, patience_steps=12)
    assert "no better validation loss for 12 steps: stopped early" in capsys.readouterr().out
    with open(tmp_path / "log.csv", newline="") as file:
        losses = {int(row["step"]): float(row["val_loss"]) for row in csv.DictReader(file)}
    best = min(losses, key=losses.__getitem__)
    assert max(losses) == best + 15 < 2000
    train(tmp_path, 2000, checkpoint_steps=5, patience_steps=12)
    words = f"is trained: no better validation loss in the last 12 of {max(losses)} steps; --new_model starts over"
    assert words in capsys.readouterr().out


def test_the_validation_samples_are_spread_over_all_held_out_ones() -> None:
    np.testing.assert_array_equal(spread(np.arange(7), 2), range(7))
    np.testing.assert_array_equal(spread(np.arange(17), 2), [0, 2, 4, 6, 8, 10, 12, 14])


# --- --new_model over an earlier model --------------------------------------------------------------------------------


def test_an_earlier_model_is_lost_only_when_the_new_one_has_saved_a_state(tmp_path: Path) -> None:
    train(tmp_path, 12)
    earlier = snapshot(tmp_path)
    for _ in range(2):
        with pytest.raises(Killed):
            train(tmp_path, 20, new_model=True, kill_at=4)
        aside = {name.removesuffix(".previous"): digest for name, digest in snapshot(tmp_path).items()}
        assert aside == earlier
        with pytest.raises(UserError, match="--new_model was stopped before it saved a state, and "):
            train(tmp_path, 20)
    with pytest.raises(Killed):
        train(tmp_path, 20, new_model=True, kill_at=8)
    assert snapshot(tmp_path).keys() == earlier.keys()
    train(tmp_path, 20)
    train(tmp_path / "alone", 20)
    new = {name: digest for name, digest in snapshot(tmp_path).items() if "/" not in name}
    assert new == snapshot(tmp_path / "alone")


def test_the_earlier_model_goes_on_after_the_command_of_the_message(tmp_path: Path) -> None:
    train(tmp_path / "a", 12)
    with pytest.raises(Killed):
        train(tmp_path / "a", 20, new_model=True, kill_at=4)
    with pytest.raises(UserError) as error:
        train(tmp_path / "a", 20)
    command = re.search("`(mv .*)`", str(error.value))[1]
    subprocess.run(command.split(), check=True)
    train(tmp_path / "a", 18)
    train(tmp_path / "b", 12)
    train(tmp_path / "b", 18)
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


@pytest.mark.parametrize("new_model", [False, True])
@pytest.mark.parametrize("kill_at", [3, 8])
def test_what_a_stopped_training_says_follows_what_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_model: bool, kill_at: int
) -> None:
    """Also where --new_model replaces an earlier model."""
    monkeypatch.setitem(globals(), "Killed", KeyboardInterrupt)
    if new_model:
        train(tmp_path, 6)
    with pytest.raises(KeyboardInterrupt) as stop:
        train(tmp_path, 20, kill_at=kill_at, new_model=new_model)
    said = {
        (3, False): "nothing is saved yet; run the same command to start again",
        (3, True): "nothing is saved yet; run the same command, with --new_model, to start again",
        (8, False): "run the same command to resume",
        (8, True): "run the same command, without --new_model, to resume",
    }
    assert stop.value.__notes__ == [said[kill_at, new_model]]


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

def batches(epoch=0, first=0):
    rng = np.random.default_rng(epoch)
    for step in range(STEPS):
        if epoch == 0:
            counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        yield {batch}

STEPS = 32
networks.seed_everything(0)
trainer = {trainer}
trainer.compile(optimizer=Adam())
settings = TrainingSettings(data="", N=None, batch_size=1, seed=0, init_weights=None)
schedule = training.Schedule(STEPS, 1, None, STEPS)
training.fit(trainer, Path("network"), settings, schedule, True, batches, lambda: batches(1), 5)
# After the first steps, which allocate buffers. The least of 16: beside other work some steps allocate more.
print(np.diff(counts)[-16:].min())
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
    """Dataset.from_generator, whose kernel sets malloc's mmap threshold, causes 1,500 and more at every step."""
    program = FAULTS.format(**NETWORKS[stage])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, preexec_fn=without_huge_pages, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 500
