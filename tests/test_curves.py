"""Tests of the curves and images for TensorBoard: they hold what the logs hold, and resuming leaves no gap."""

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.events import read_events
from helpers.scripts import ROOT, SEARCH, STAGES, run_script
from helpers.settings import training_settings

from pipeline import training
from pipeline.curves import EVENTS, Curves, Point
from pipeline.errors import UserError
from pipeline.networks import keras, seed_everything, tf
from pipeline.optimizer import Adam
from pipeline.progress import Progress
from pipeline.schedule import Schedule
from rnn.arch import RNN, RNNTrainer
from vae.arch import VAE, VAETrainer

pytestmark = pytest.mark.usefixtures("one_thread")
CONTROLLER = "05_train_controller.py"


# --- what the stages write --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "tag", "size"), [("vae", "vae/frames", (1, 128, 448)), ("rnn", "rnn/latents", (1, 260, 39))]
)
def test_curves_of_02_and_04_hold_the_rows_of_the_log(
    finished: Path, stage: str, tag: str, size: tuple[int, ...]
) -> None:
    """Each row once over steps and, as every row here starts an epoch, once over epochs; and an image for each."""
    with open(finished / stage / "log.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    expected = {("images", tag): [(row["step"], size) for row in rows]}
    for name in rows[0].keys() - {"step", "epoch"}:
        run = "validation" if name.startswith("val_") else "training"
        for group, x in ((stage, "step"), (f"{stage}_epoch", "epoch")):
            curve = [(row[x], pytest.approx(row[name], rel=1e-6)) for row in rows]
            expected[run, f"{group}/{name.removeprefix('val_')}"] = curve
    assert read_events(finished / "log" / stage) == expected


def expected_curves(folder: Path) -> dict[tuple[str, str], list]:
    """The curves of 05 from its logs."""
    rows, scores = (json.loads((folder / "log" / f"{SEARCH}.{log}.json").read_text()) for log in ("hist", "log"))
    curves = {
        f"population/{name}": [(row["generation"], row[name]) for row in rows]
        for name in ("mean", "max", "std", "sigma")
    }
    curves["population/evaluations"] = [(i + 1, 4 * (i + 1)) for i in range(len(rows))]
    curves |= {
        f"real_score/{name}": [(row["generation"], row[name]) for row in scores] for name in ("mean", "std", "min")
    }
    return {
        (".", f"controller_{tag}"): [(step, pytest.approx(value, rel=1e-6)) for step, value in curve]
        for tag, curve in curves.items()
    }


def test_curves_of_05_hold_its_logs_and_one_rank_writes_them(finished: Path) -> None:
    folder = finished / "log" / "controller" / SEARCH
    assert read_events(folder) == expected_curves(finished)
    assert len(list(folder.glob(EVENTS))) == 1


def test_05_writes_its_curves_anew_after_a_kill(copy_of: Callable[..., Path]) -> None:
    """The kill came while they were written; and the curves of --new_model are its own alone."""
    folder = copy_of("data", "vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller", "log")
    [events] = (folder / "log" / "controller" / SEARCH).glob(EVENTS)
    events.write_bytes(events.read_bytes()[:-5])
    one_rank = STAGES[CONTROLLER].replace("-n 2 -t 2", "-n 1 -t 4")
    for arguments in ("", "--generations 4", "--generations 1 --new_model"):
        run_script(folder, CONTROLLER, one_rank, arguments)
        assert read_events(events.parent) == expected_curves(folder)


# --- resuming ---------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Ends a training at once, as a kill does."""


class LineTrainer(training.Trainer):
    """A network with one weight, and one pixel as its image."""

    parts = ("loss",)

    def losses_of(self, data: object, step: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"loss": tf.reduce_mean((self.network(data) - 3) ** 2)}

    def images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"line/pixel": np.zeros((1, 1, 1, 1), np.uint8)}


def train(folder: Path, steps: int, new_model: bool = False) -> None:
    """Checkpoints every two steps; an epoch has four."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="line")
    trainer = LineTrainer(network, seed=0)
    trainer.compile(optimizer=Adam(0.1))
    network.set_weights([np.ones((1, 1)), np.zeros(1)])
    batch, schedule = np.ones((2, 1), np.float32), Schedule(4, None, steps, 2)
    batches = (lambda epoch, first: iter([batch] * (4 - first)), lambda: iter([batch]))
    training.fit(trainer, folder / "line", training_settings(), schedule, new_model, *batches, 99)


def killed_at(when: str, step: int, saved: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a training be killed just before or just after the state of `step` is saved."""

    def save_state(path: Path, model: keras.Model, progress: Progress) -> None:
        if when == "after" or progress.saved_step != step:
            saved(path, model, progress)
        if progress.saved_step == step:
            raise Killed

    monkeypatch.setattr(training, "save_state", save_state)


@pytest.mark.parametrize("step", [2, 4, 6, 10])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resumed_training_has_the_curves_and_images_of_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, step: int
) -> None:
    train(tmp_path / "whole", 10)
    whole = read_events(tmp_path / "whole" / "log")
    assert [step for step, _ in whole["line/training", "line/loss"]] == [2, 4, 6, 8, 10]
    assert [step for step, _ in whole["line/validation", "line_epoch/loss"]] == [0, 1, 2]
    assert [step for step, _ in whole["line/images", "line/pixel"]] == [2, 4, 8, 10]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(when, step, training.save_state, patch)
        train(tmp_path / "broken", 10)
    train(tmp_path / "broken", 10)
    assert read_events(tmp_path / "broken" / "log") == whole


def test_new_model_starts_the_curves_anew_once_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, 10)
    events = tmp_path / "log"
    earlier = read_events(events)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at("before", 2, training.save_state, patch)
        train(tmp_path, 4, new_model=True)
    curves = {key: points for key, points in read_events(events).items() if key[0] != "line/images"}
    assert curves == {key: points for key, points in earlier.items() if key[0] != "line/images"}
    train(tmp_path, 4, new_model=True)
    assert [step for step, _ in read_events(events)["line/training", "line/loss"]] == [2, 4]
    assert [step for step, _ in read_events(events)["line/images", "line/pixel"]] == [2, 4]


def test_event_files_of_any_content_are_replaced(tmp_path: Path) -> None:
    train(tmp_path, 4)
    [path] = (tmp_path / "log" / "line" / "training").glob(EVENTS)
    path.write_bytes(b"noise")
    train(tmp_path, 8)
    assert [step for step, _ in read_events(tmp_path / "log")["line/training", "line/loss"]] == [2, 4, 6, 8]


# --- what they must not do --------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "vae").write_text("a file")
    for write in (
        lambda curves: curves.write([Point("training", "vae/loss", 1, 1.0)]),
        lambda curves: curves.write_images({"vae/frames": np.zeros((1, 2, 2, 3), np.uint8)}, 1, 0),
    ):
        with pytest.raises(UserError, match=r"^cannot write into .*/vae/: [^{\n]+$"):
            write(Curves(tmp_path / "vae"))


def numbers_drawn(before: Callable[[], object]) -> list[float]:
    """Numbers from every global random stream after `before`."""
    seed_everything(0)
    before()
    keras_own, tensorflow = keras.random.normal((1,)), tf.random.normal((1,))
    return [random.random(), np.random.random(), float(keras_own[0]), float(tensorflow[0])]


@pytest.mark.parametrize("network", ["vae", "rnn"])
def test_curves_and_images_draw_no_random_numbers(tmp_path: Path, network: str) -> None:
    curves = Curves(tmp_path)
    if network == "vae":
        trainer, batch = VAETrainer(VAE(), 0), np.zeros((20, 64, 64, 3), np.uint8)
    else:
        zeros = np.zeros((6, 9, 32), np.float32)
        batch = {"mu": zeros, "log_var": zeros, "action": zeros[:, 1:, :3], "reward": zeros[..., 0]}
        trainer = RNNTrainer(RNN(), 0)

    def write() -> None:
        curves.write_images(trainer.images(batch), 1, 0)
        curves.write([Point("training", f"{network}/loss", 1, 1.0)])

    assert numbers_drawn(write) == numbers_drawn(lambda: None)
    assert len(read_events(tmp_path)) == 2


def test_the_image_of_m_shows_z_above_its_prediction() -> None:
    """An M whose output is zero predicts zeros: gray."""
    rnn = RNN()
    rnn.model.get_layer("mixture").set_weights([np.zeros((256, 481)), np.zeros(481)])
    z = np.zeros((5, 4, 32), np.float32)
    z[:, 2, 7] = 3
    batch = {"mu": z, "log_var": z, "action": z[:, 1:, :3], "reward": z[..., 0]}
    [image] = RNNTrainer(rnn, 0).images(batch).values()
    assert (image.shape, image.dtype) == ((4, 260, 3, 1), np.uint8)
    assert (image[:, :128] == 255).sum() == 4 * 4  # one latent, four pixels high, in four episodes
    assert (image[:, 28:32, 1] == 255).all()
    assert (image[:, 128:132] == 255).all()
    assert (image[:, 132:] == 127).all()


def test_the_image_of_v_shows_frames_above_reconstructions() -> None:
    frames = np.random.default_rng(0).integers(256, size=(20, 64, 64, 3), dtype=np.uint8)
    [image] = VAETrainer(VAE(), 0).images(frames).values()
    np.testing.assert_array_equal(image[0, :64, 64:128], frames[3])
    assert image.shape == (1, 128, 7 * 64, 3)


def test_the_modules_of_curves_load_no_tensorflow() -> None:
    program = "import sys, pipeline.curves, controller.curves; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
