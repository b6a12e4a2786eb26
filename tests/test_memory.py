"""Tests that memory stays flat over batches and tracks, and that a lack of memory is one line that names a flag."""

import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import ROOT, STAGES, command, environment, snapshot
from helpers.settings import obs_settings, rnn_settings

import config
from pipeline.batches import BatchSettings, array_shape, write_batch
from pipeline.errors import UserError
from pipeline.files import file_hash

BATCHES = 20
# kind -> (episodes per batch, steps per episode): 18 more batches are 130 MB more, a third of TensorFlow's memory
SIZES = {"obs": (10, 60), "rnn": (60, 300)}
Copy = Callable[..., Path]


def anonymous_megabytes(pid: int | str) -> float:
    """Anonymous memory of a process: without mapped files, whose pages the system can drop at any time."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1000


def peak_of(folder: Path, name: str, *arguments: object) -> float:
    """Peak of a script's anonymous memory in megabytes."""
    peak = 0.0
    process = subprocess.Popen(
        command(name, *arguments), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None:
        peak = max(peak, anonymous_megabytes(process.pid))
        time.sleep(0.01)
    assert process.returncode == 0, process.communicate()[1]
    return peak


def make_batches(kind: str, settings: BatchSettings) -> None:
    """Write BATCHES batches of random data into the working directory."""
    rng = np.random.default_rng(0)
    episodes, time_steps = SIZES[kind]
    row = {
        name: rng.random(array_shape(settings, name, episodes, time_steps)[1:], np.float32).astype(dtype)
        for name, (dtype, *_) in settings.arrays.items()
    }
    if kind == "obs":
        row["done_data"][:] = False
        row["obs_data"] = rng.integers(256, size=(time_steps, *config.FRAME_SHAPE), dtype=np.uint8)
    for b in range(BATCHES):
        write_batch(kind, b, episodes, time_steps, (row for _ in range(episodes)), settings)


@pytest.mark.parametrize(
    ("name", "kind", "arguments"),
    [
        ("02_train_vae.py", "obs", "--new_model --steps 4 --batch_size 20"),
        ("03_generate_rnn_data.py", "obs", ""),
        ("04_train_rnn.py", "rnn", "--new_model --steps 4 --batch_size 4"),
    ],
)
def test_twenty_batches_need_no_more_memory_than_two(
    copy_of: Copy, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, arguments: str
) -> None:
    monkeypatch.chdir(copy_of("vae/weights.h5"))
    lengths = [SIZES[kind][1]] * SIZES[kind][0]
    rnn = rnn_settings(vae_hash=file_hash("vae/weights.h5"), lengths=lengths)
    make_batches(kind, rnn if kind == "rnn" else obs_settings())
    two, twenty = (peak_of(Path.cwd(), name, arguments, f"--max_batch {last}") for last in (1, BATCHES - 1))
    print(f"{name}: {two:.0f} MB with 2 batches, {twenty:.0f} MB with {BATCHES}")
    assert twenty < 1.1 * two


def test_03_needs_no_more_memory_for_longer_episodes(copy_of: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy_of("vae/weights.h5"))
    for b, time_steps in enumerate((1000, 3000)):
        settings = obs_settings(episodes=1, time_steps=time_steps)
        shapes = {name: array_shape(settings, name, 1, time_steps)[1:] for name in settings.arrays}
        row = {name: np.zeros(shape, settings.arrays[name][0]) for name, shape in shapes.items()}
        write_batch("obs", b, 1, time_steps, [row], settings)
    short, long = (peak_of(Path.cwd(), "03_generate_rnn_data.py", f"--start_batch {b} --max_batch {b}") for b in (0, 1))
    print(f"{short:.0f} MB for 1,000 steps, {long:.0f} MB for 3,000")
    assert long < 1.1 * short


RESETS = """
from simulation.environments import make_env
from test_memory import anonymous_megabytes
env = make_env("car_racing")
for track in range(1100):
    env.reset(seed=track)
    if track == 99:
        before = anonymous_megabytes("self")
print(anonymous_megabytes("self") - before)
"""


def test_a_thousand_resets_leak_nothing() -> None:
    """CarRacing and Box2D leaked in every version of Gym. The first hundred resets fill caches and do not count."""
    tests = environment(PYTHONPATH=str(ROOT / "tests"))
    done = subprocess.run([sys.executable, "-c", RESETS], env=tests, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    leaked = float(done.stdout.splitlines()[-1])
    print(f"1,000 resets: {leaked:.1f} MB")
    assert leaked < 20


# --- not enough memory -----------------------------------------------------------------------------------------------


def allocate_too_much(*arguments: object, **names: object) -> None:
    np.empty((2**25, 2**25))


def losses_out_of_memory(trainer: object, *arguments: object) -> dict:
    """Losses for which TensorFlow would need more memory than there is."""
    from pipeline.networks import tf

    size = trainer.optimizer.iterations * 0 + 2**24
    weights = tf.add_n([tf.reduce_sum(weight) for weight in trainer.network.trainable_variables])
    return dict.fromkeys(trainer.parts, weights * tf.reduce_sum(tf.random.normal([size, size])))


OUT_OF = {
    "02 reading frames": ("02_train_vae", "02_train_vae.read_frames", allocate_too_much, "--batch_size"),
    "03": ("03_generate_rnn_data", "vae.arch.VAE.encode", allocate_too_much, "--time_steps of 01"),
    "04 reading series": ("04_train_rnn", "04_train_rnn.read_series", allocate_too_much, "--batch_size"),
    "04 in a step": ("04_train_rnn", "rnn.arch.RNNTrainer.losses_of", losses_out_of_memory, "--batch_size"),
    "05": ("05_train_controller", "05_train_controller.start_or_resume", allocate_too_much, "--num_worker_trial"),
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("what", OUT_OF)
def test_a_lack_of_memory_is_one_line(copy_of: Copy, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The line names the flag to lower, and no file changes."""
    stage, place, replacement, flag = OUT_OF[what]
    folder = copy_of("data", "vae", "rnn", "controller")
    if stage.startswith("03"):
        (folder / "data" / "rnn_0.json").unlink()
    before = snapshot(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(importlib.import_module("05_train_controller"), "launch", lambda ranks: None)
    monkeypatch.setattr(sys, "argv", command(f"{stage}.py", STAGES[f"{stage}.py"])[1:])
    owner, name = place.rsplit(".", 1)
    module, *inside = owner.rsplit(".", 1) if owner[0].islower() else (owner,)
    target = importlib.import_module(module)
    monkeypatch.setattr(getattr(target, inside[0]) if inside else target, name, replacement)
    with pytest.raises(UserError, match="not enough memory: .*" + flag) as error:
        importlib.import_module(stage).main()
    assert "\n" not in str(error.value)
    assert snapshot(folder) == before
