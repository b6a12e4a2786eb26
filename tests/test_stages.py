"""Tests of the five stages at a tiny size, run as subprocesses: the files they write, and that they resume.

All tests share one run of the stages, the fixture `finished` of conftest.py.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from helpers.damage import edit
from helpers.scripts import LIMIT, SEARCH, STAGES, arrays_of, command, environment, log_of, run_script, snapshot

from pipeline.batches import real_steps
from pipeline.files import file_hash

GENERATE = "01_generate_data.py"
VAE, RNN, CONTROLLER = "02_train_vae.py", "04_train_rnn.py", "05_train_controller.py"
Copy = Callable[..., Path]


def search_of(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a saved search without its wall times."""
    with np.load(folder / "controller" / f"{SEARCH}.es.npz") as file:
        arrays = dict(file)
    arrays["coordinates/rows"] = np.delete(arrays["coordinates/rows"], 1, axis=1)
    return arrays


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- files ---------------------------------------------------------------------------------------------------------


def test_the_files_of_all_stages(finished: Path) -> None:
    """The files of data/README.md and docs/files.md, and no others."""
    arrays = ("obs_data", "action_data", "reward_data", "done_data", "rnn_input", "rnn_output", "rnn_log_var")
    expected = {f"data/{name}_{b}.npy" for name in arrays for b in (0, 1)}
    expected |= {f"data/{kind}_{b}.json" for kind in ("obs", "rnn") for b in (0, 1)} | {"data/initial_z.npz"}
    expected |= {f"{net}/{name}" for net in ("vae", "rnn") for name in ("weights.h5", "weights.json", "state.h5")}
    expected |= {"vae/log.csv", "rnn/log.csv"}
    expected |= {f"controller/{SEARCH}.{end}" for end in ("best.json", "current.json", "es.npz")}
    expected |= {f"log/{SEARCH}.{end}" for end in ("hist.json", "log.json", "json")}
    assert set(snapshot(finished)) == expected


def test_the_frames_actions_and_rewards(finished: Path) -> None:
    frames, actions, rewards, done = (
        np.load(finished / "data" / f"{name}_data_0.npy") for name in ("obs", "action", "reward", "done")
    )
    assert (frames.shape, frames.dtype) == ((3, 40, 64, 64, 3), np.uint8)
    assert (actions.shape, actions.dtype) == ((3, 40, 3), np.float32)
    assert (rewards.shape, rewards.dtype) == ((3, 40), np.float32)
    assert (done.shape, done.dtype) == ((3, 40), np.bool_)
    assert (actions.min(axis=(0, 1)) >= (-1, 0, 0)).all()
    assert (actions.max(axis=(0, 1)) <= (1, 1, 1)).all()
    assert (rewards[:, 0] == 0).all()
    assert (rewards > 1).any()
    episodes = np.concatenate([np.load(finished / "data" / f"obs_data_{b}.npy") for b in (0, 1)])
    assert len(np.unique(episodes[:, 0].reshape(6, -1), axis=0)) == 6  # six tracks


def test_the_latent_series(finished: Path) -> None:
    load = {name: np.load(finished / "data" / f"{name}_1.npy") for name in ("action_data", "reward_data", "done_data")}
    inputs, outputs, log_var = (np.load(finished / "data" / f"rnn_{n}_1.npy") for n in ("input", "output", "log_var"))
    assert (inputs.shape, inputs.dtype) == ((3, 39, 36), np.float32)
    assert (outputs.shape, outputs.dtype) == ((3, 39, 33), np.float32)
    assert (log_var.shape, log_var.dtype) == ((3, 40, 32), np.float32)
    np.testing.assert_array_equal(inputs[:, 1:, :32], outputs[:, :-1, :32])  # the same z, one step later
    np.testing.assert_array_equal(inputs[:, :, 32:35], load["action_data"][:, :-1])
    np.testing.assert_array_equal(inputs[:, :, 35], load["reward_data"][:, :-1] > 0)
    np.testing.assert_array_equal(outputs[:, :, 32], load["reward_data"][:, 1:] > 0)
    record = json.loads((finished / "data" / "rnn_1.json").read_text())
    assert record["settings"]["lengths"] == real_steps(load["done_data"]).sum(axis=1).tolist()
    assert record["settings"]["vae_hash"] == file_hash(finished / "vae" / "weights.h5")
    with np.load(finished / "data" / "initial_z.npz") as initial:
        assert initial["mu"].shape == initial["log_var"].shape == (6, 32)
        np.testing.assert_array_equal(initial["mu"][3:], inputs[:, 0, :32])
        np.testing.assert_array_equal(initial["log_var"][3:], log_var[:, 0])


@pytest.mark.parametrize(("network", "parts"), [("vae", ("reconstruction", "kl")), ("rnn", ("z_loss", "reward_loss"))])
def test_the_losses_fall_and_are_in_the_metadata_of_the_weights(
    finished: Path, network: str, parts: tuple[str, str]
) -> None:
    first, second = log_of(finished, network)
    assert second["loss"] < first["loss"]
    assert second["val_loss"] < first["val_loss"]
    for split in ("", "val_"):
        assert second[f"{split}loss"] == pytest.approx(sum(second[split + part] for part in parts), rel=1e-5)
    metadata = json.loads((finished / network / "weights.json").read_text())
    assert metadata["losses"] == second
    assert metadata["weights_sha256"] == file_hash(finished / network / "weights.h5")


def test_the_controllers(finished: Path) -> None:
    for which in ("best", "current"):
        weights, score, metadata = json.loads((finished / "controller" / f"{SEARCH}.{which}.json").read_text())
        assert len(weights) == 867
        assert np.isfinite([*weights, score]).all()
        for network in ("vae", "rnn"):
            assert metadata[network] == file_hash(finished / network / "weights.h5")
    rows = json.loads((finished / "log" / f"{SEARCH}.hist.json").read_text())
    assert [row["generation"] for row in rows] == [1, 2, 3]
    assert all(row["min"] <= row["mean"] <= row["max"] and row["max steps"] <= 30 for row in rows)
    evaluations = json.loads((finished / "log" / f"{SEARCH}.log.json").read_text())
    best = json.loads((finished / "controller" / f"{SEARCH}.best.json").read_text())[1]
    assert best == max(row["mean"] for row in evaluations)


# --- model.py ------------------------------------------------------------------------------------------------------


def test_model_scores_and_records(copy_of: Copy) -> None:
    folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller")
    best = f"car_racing --filename controller/{SEARCH}.best.json"
    out = run_script(folder, "model.py", best, "--final_mode --num_episode 2 --max_length 60").stdout.splitlines()
    scores = [float(line.split()[2]) for line in out[:2]]
    assert out[2].startswith(f"{np.mean(scores):.1f} ± ")
    out = run_script(folder, "model.py", best, "--record_video --max_length 60", DISPLAY=None).stdout.splitlines()
    assert out[0].startswith(f"score {scores[0]:.1f} in 60 steps")  # the same first track
    reader = imageio_ffmpeg.read_frames(str(folder / out[1].removeprefix("video in ")))
    metadata = next(reader)
    assert metadata["codec"] == "h264"
    assert metadata["size"][0] >= 600
    assert metadata["size"][1] >= 400
    frames = [np.frombuffer(frame, np.uint8) for frame in reader]
    assert len(frames) == 61  # with the frame after the last step
    assert not np.array_equal(frames[0], frames[-1])


def test_the_exploration_policy_plays_without_a_controller(copy_of: Copy) -> None:
    folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")
    out = run_script(folder, "model.py", "car_racing --generate_data_mode --max_length 20").stdout
    assert "in 20 steps" in out


# --- resuming ------------------------------------------------------------------------------------------------------


def test_a_second_run_keeps_complete_results_and_says_so(copy_of: Copy) -> None:
    folder = copy_of("data", "vae")
    before = snapshot(folder)
    for name in (GENERATE, "03_generate_rnn_data.py"):
        assert "2 of 2 batches are complete and kept" in run_script(folder, name, STAGES[name]).stdout
    assert "is trained, 20 steps" in run_script(folder, VAE, STAGES[VAE].replace("--new_model", "")).stdout
    assert snapshot(folder) == before


WORK = "car_racing --total_episodes 160 --batch_size 20 --time_steps 100"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Eight batches of one uninterrupted process."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    run_script(folder, GENERATE, WORK, "--num_worker 1")
    return snapshot(folder)


def records(folder: Path) -> int:
    return len(list((folder / "data").glob("obs_*.json")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_01_resumes(uninterrupted: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        command(GENERATE, WORK, "--num_worker 2"), cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_for(lambda: records(tmp_path) > 0)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # to the whole process group, as a terminal does
    else:
        process.kill()
    _, err = process.communicate(timeout=LIMIT)  # returns after the workers, which share stderr, have ended
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    assert b"Traceback" not in err
    assert 0 < records(tmp_path) < 8
    if number == signal.SIGINT:
        assert not [name for name in snapshot(tmp_path) if ".part-" in name]
    run_script(tmp_path, GENERATE, WORK)
    assert {name: digest for name, digest in snapshot(tmp_path).items() if ".part-" not in name} == uninterrupted


def test_two_processes_share_the_work(uninterrupted: dict[str, str], tmp_path: Path) -> None:
    """Each skips the batches of the other, and together they write the files of a single process."""
    both = [
        subprocess.Popen(
            command(GENERATE, WORK, "--num_worker 1"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    output = [b"".join(process.communicate(timeout=LIMIT)) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert snapshot(tmp_path) == uninterrupted
    skipped = [text.count(b"another process") for text in output]
    assert sum(skipped) == 8 or any(b"complete and kept" in text for text in output)


def test_another_seed_gives_other_episodes(finished: Path, tmp_path: Path) -> None:
    run_script(tmp_path, GENERATE, STAGES[GENERATE], "--seed 1")
    for name in ("obs_data_0.npy", "action_data_0.npy"):
        assert file_hash(tmp_path / "data" / name) != file_hash(finished / "data" / name)


@pytest.mark.parametrize(
    ("name", "network", "parts"), [(VAE, "vae", ("data",)), (RNN, "rnn", ("data", "vae/weights.h5"))]
)
def test_a_resumed_training_equals_the_uninterrupted_one(
    finished: Path, copy_of: Copy, name: str, network: str, parts: tuple[str, ...]
) -> None:
    """Bit for bit in weights, optimizer and losses. Another seed gives another training."""
    folder = copy_of(*parts)
    run_script(folder, name, STAGES[name], "--epochs 1")
    run_script(folder, name, STAGES[name].replace("--new_model", ""), "--epochs 2")
    assert file_hash(folder / network / "weights.h5") == file_hash(finished / network / "weights.h5")
    assert log_of(folder, network) == log_of(finished, network)
    once, twice = arrays_of(finished / network / "state.h5"), arrays_of(folder / network / "state.h5")
    assert once.keys() == twice.keys()
    for key in once:
        np.testing.assert_array_equal(once[key], twice[key])
    run_script(folder, name, STAGES[name], "--epochs 1 --seed 1")
    assert log_of(folder, network)[0]["loss"] != log_of(finished, network)[0]["loss"]


@pytest.mark.parametrize(
    ("name", "parts", "made"),
    [
        (VAE, ("data",), "vae/weights.h5"),
        ("03_generate_rnn_data.py", ("data", "vae"), "data/rnn_output_1.npy"),
        (RNN, ("data", "vae"), "rnn/weights.h5"),
    ],
)
def test_one_core_gives_the_same_files_as_all(
    finished: Path, copy_of: Copy, name: str, parts: tuple[str, ...], made: str
) -> None:
    """A process on one core computes on one thread, where the tests' other processes have one thread per core."""
    folder, cores = copy_of(*parts), os.sched_getaffinity(0)
    for path in (folder / "data").glob("rnn_*") if name.startswith("03") else []:
        path.unlink()
    os.sched_setaffinity(0, {min(cores)})
    try:
        run_script(folder, name, STAGES[name])
    finally:
        os.sched_setaffinity(0, cores)
    assert file_hash(folder / made) == file_hash(finished / made)


def test_02_starts_from_init_weights(finished: Path, copy_of: Copy) -> None:
    folder = copy_of("data")
    shutil.copytree(finished / "vae", folder / "earlier")
    run_script(folder, VAE, STAGES[VAE], "--epochs 1 --init_weights earlier/weights.h5")
    [warm], scratch = log_of(folder, "vae"), log_of(finished, "vae")
    assert warm["val_loss"] < scratch[-1]["val_loss"]
    assert warm["loss"] < scratch[0]["loss"]


@pytest.mark.parametrize("trained_on", ["the same VAE", "another VAE"])
def test_04_starts_from_init_weights(finished: Path, copy_of: Copy, trained_on: str) -> None:
    """Also if the weights were trained on another VAE, as after a training of 02 with --init_weights."""
    folder = copy_of("data", "vae/weights.h5")
    shutil.copytree(finished / "rnn", folder / "earlier")
    if trained_on != "the same VAE":
        edit(folder / "earlier" / "weights.json", vae_hash=trained_on)
    run_script(folder, RNN, STAGES[RNN], "--epochs 1 --init_weights earlier/weights.h5")
    [warm], scratch = log_of(folder, "rnn"), log_of(finished, "rnn")
    assert warm["val_z_loss"] < scratch[-1]["val_z_loss"]
    assert warm["loss"] < scratch[0]["loss"]


def test_05_resumes_on_any_number_of_ranks(finished: Path, copy_of: Copy) -> None:
    """Killed on one rank and resumed by mpirun on three, a search equals the uninterrupted one on two ranks."""
    folder = copy_of("data", "vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")
    arguments = STAGES[CONTROLLER].removesuffix("--generations 3").replace("-n 2 -t 2", "-n 1 -t 4")
    process = subprocess.Popen(command(CONTROLLER, arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE)
    wait_for((folder / "controller" / f"{SEARCH}.es.npz").exists)
    process.kill()
    process.communicate()
    killed_at = len(search_of(folder)["coordinates/rows"])
    mpirun = [str(Path(sys.executable).with_name("mpirun")), "-np", "3"]
    goal = max(3, killed_at + 1)
    again = [*mpirun, *command(CONTROLLER, STAGES[CONTROLLER], "--generations", goal)]
    done = subprocess.run(again, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert f"resuming controller/{SEARCH}.es.npz after generation {killed_at}\n" in done.stdout
    assert "rank 2 = pid" in done.stdout
    ours, theirs = search_of(folder), search_of(finished)
    for key in ("fitness", "coordinates/rows", "coordinates/evaluations"):
        np.testing.assert_array_equal(ours[key][:3], theirs[key])
    np.testing.assert_array_equal(ours["coordinates/T"], theirs["coordinates/T"])
    if goal == 3:  # the kill came early enough: then the files are equal too
        assert ours.keys() == theirs.keys()
        for which in ("best", "current"):
            name = f"controller/{SEARCH}.{which}.json"
            assert (folder / name).read_text() == (finished / name).read_text()


def test_another_seed_gives_another_search(finished: Path, copy_of: Copy) -> None:
    folder = copy_of("data", "vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")
    run_script(folder, CONTROLLER, STAGES[CONTROLLER].replace("-n 2 -t 2", "-n 1 -t 4"), "--generations 1 -s 112")
    assert not np.array_equal(search_of(folder)["fitness"][0], search_of(finished)["fitness"][0])
