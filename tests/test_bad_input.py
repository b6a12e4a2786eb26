"""Tests of wrong command lines, files and machines: each gives one error line and status 2, and changes no file."""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.damage import edit, flipped, forged, json_edit, with_one, zip_bomb
from helpers.scripts import SEARCH, STAGES, full_disk, limit, run_script, snapshot

from pipeline.files import file_hash, only_one

GENERATE, VAE, SERIES, RNN, CONTROLLER = STAGES
MODEL, REPORT = "model.py", "experiments/report.py"
NETWORKS = ("vae/weights.h5", "vae/weights.json", "rnn/weights.h5", "rnn/weights.json")
BEST = f"car_racing --filename controller/{SEARCH}.best.json"
ONE_RANK = STAGES[CONTROLLER].replace("-n 2 -t 2", "-n 1 -t 4")
RESUME = {name: STAGES[name].replace("--new_model", "") for name in (VAE, RNN)}
Copy = Callable[..., Path]


def assert_refused(folder: Path, name: str, arguments: str, message: str, **environment: str | None) -> None:
    """The script ends with status 2 and one error line that contains `message`, and leaves every file unchanged."""
    before = snapshot(folder)
    done = run_script(folder, name, arguments, ok=False, **environment)
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1, done.stderr
    assert message in errors[0]
    assert Path(name).name in errors[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == 2
    assert snapshot(folder) == before


# --- command lines -------------------------------------------------------------------------------------------------

COUNTS = {
    GENERATE: ("--total_episodes", "--time_steps", "--batch_size", "--action_refresh_rate", "--num_worker"),
    VAE: ("--N", "--epochs", "--steps", "--batch_size", "--checkpoint_steps"),
    RNN: ("--N", "--epochs", "--steps", "--batch_size", "--checkpoint_steps"),
    CONTROLLER: (
        *("--num_worker", "--num_worker_trial", "--num_episode", "--max_length", "--eval_steps", "--eval_episode"),
        *("--generations", "--sigma_init", "--sigma_decay"),
    ),
    MODEL: ("--num_episode", "--max_length"),
    REPORT: ("--num_episode",),
}
OTHER_FLAGS = {
    GENERATE: ("--start_batch", "--run_all_envs", "--render", "--seed", "--controller", "--exploration"),
    VAE: ("--start_batch", "--max_batch", "--new_model", "--seed", "--init_weights"),
    SERIES: ("--start_batch", "--max_batch"),
    RNN: ("--start_batch", "--max_batch", "--new_model", "--seed", "--init_weights"),
    CONTROLLER: (
        *(
            "--max_steps_without_progress",
            "--subspace",
            "--cap_time",
            "--retrain",
            "--init_opt",
            "--seed_start",
            "--new_model",
        ),
        *("--dream_mode", "--temperature", "--dream_length", "--z_only", "--sample_z", "--previous_action"),
    ),
    MODEL: ("--filename", "--final_mode", "--render_mode", "--record_video", "--generate_data_mode", "--seed"),
    REPORT: ("--filename", "--seed", "--init_opt"),
}


@pytest.mark.parametrize("name", OTHER_FLAGS)
def test_help_lists_the_flags_without_loading_a_network(name: str, tmp_path: Path) -> None:
    done = run_script(tmp_path, name, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert "argparse" in done.stderr  # the list of imported modules
    for heavy in ("tensorflow", "keras", "mpi4py", "matplotlib", "cma"):
        assert f" {heavy}\n" not in done.stderr
    for flag in (*COUNTS.get(name, ()), *OTHER_FLAGS[name]):
        shown = (f"  {flag} ", f"  {flag}, ", f", {flag} ", f"  {flag}\n")
        assert any(text in done.stdout for text in shown), flag
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COUNTS)
def test_counts_must_be_positive(name: str, tmp_path: Path) -> None:
    first = {VAE: "", RNN: "", MODEL: BEST, REPORT: f"all {BEST}"}.get(name, "car_racing")
    for flag in COUNTS[name]:
        assert_refused(tmp_path, name, f"{first} {flag} 0", "must be")
    assert_refused(tmp_path, name, f"{first} {COUNTS[name][0]} -1", "must be")
    assert_refused(tmp_path, name, f"{first} {COUNTS[name][0]} many", "'many' is not a")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (GENERATE, "pong", "unknown environment 'pong': config.py lists car_racing"),
        (CONTROLLER, "pong", "unknown environment 'pong'"),
        (MODEL, "pong --generate_data_mode", "unknown environment 'pong'"),
        (REPORT, "all pong --filename a.json", "unknown environment 'pong'"),
        (GENERATE, "car_racing --time_steps 1", "must be at least 2"),
        (GENERATE, "car_racing --start_batch -1", "must be at least 0"),
        (GENERATE, "car_racing --seed 1048576", "must be below 1048576"),
        (GENERATE, "car_racing --batch_size 65537", "must be at most 65536"),
        (GENERATE, "car_racing --render 2", "invalid choice: 2"),
        (GENERATE, "car_racing --exploration 1.5", "must be from 0 to 1"),
        (GENERATE, "car_racing --controller a.json --render 1", "--render 1 shows the exploration policy only"),
        (GENERATE, "car_racing --controller a.json", "cannot read a.json"),
        (VAE, "--no_such_flag", "unrecognized arguments"),
        (VAE, "--new_model --init_weights vae/../vae/weights.h5", "weights.h5 would be overwritten: copy it"),
        (RNN, "--new_model --init_weights rnn/weights.h5", "rnn/weights.h5 would be overwritten: copy it"),
        (CONTROLLER, "car_racing -n 1 -t 1", "must be at least 2"),
        (CONTROLLER, "car_racing --subspace 288", "has 288 components"),
        (MODEL, "car_racing --generate_data_mode --dream_mode", "is not available with --dream_mode"),
        (MODEL, "--play --record_video", "--play excludes --record_video"),
        (MODEL, f"{BEST} --final_mode --dream_mode", "scores real tracks without display"),
        (CONTROLLER, "car_racing --dream_length 100", "give --dream_mode 1 as well"),
        (CONTROLLER, "car_racing --z_only --subspace 0", "--subspace must be above 0"),
        (REPORT, "controller", "no car_racing.*.best.json in controller/: run 05_train_controller.py first"),
        (REPORT, "scores", "invalid choice: 'scores'"),
        (MODEL, f"{BEST} --generate_data_mode", "give either --filename"),
        (MODEL, f"{BEST} --final_mode --record_video", "scores real tracks without display"),
        (MODEL, BEST, f"controller/{SEARCH}.best.json is not there"),
        (VAE, "--new_model", "no complete batch obs_*.json in data/: run 01_generate_data.py first"),
        (VAE, "--new_model --max_batch 9", "batch 0: data/obs_0.json is not there: run 01_generate_data.py"),
        (SERIES, "", "no complete batch obs_*.json in data/"),
        (RNN, "--new_model", "no complete batch rnn_*.json in data/: run 03_generate_rnn_data.py first"),
    ],
)
def test_wrong_command_lines(tmp_path: Path, name: str, arguments: str, message: str) -> None:
    assert_refused(tmp_path, name, arguments, message)


@pytest.mark.parametrize(
    ("name", "lock"),
    [
        (VAE, "vae/.training.lock"),
        (RNN, "rnn/.training.lock"),
        (CONTROLLER, f"controller/.{SEARCH}.lock"),
        (SERIES, "data/.rnn_0.lock"),
    ],
)
def test_a_second_process_is_refused(copy_of: Copy, name: str, lock: str) -> None:
    """While the first one holds the lock, and not after it has ended."""
    folder = copy_of("data", *NETWORKS)
    with only_one(folder / lock, "doing this"):
        assert_refused(folder, name, ONE_RANK if name == CONTROLLER else STAGES[name], "another process")
    run_script(folder, name, ONE_RANK if name == CONTROLLER else STAGES[name])


# --- files ---------------------------------------------------------------------------------------------------------


def set_vae_of_controller(folder: Path) -> None:
    path = folder / "controller" / f"{SEARCH}.best.json"
    weights, score, metadata = json.loads(path.read_text())
    path.write_text(json.dumps([weights, score, metadata | {"vae": "another"}]))


OBS, ACTION, INPUT = "data/obs_data_1.npy", "data/action_data_0.npy", "data/rnn_input_0.npy"
FILES = {
    "a missing array": (VAE, "--new_model", ("data",), lambda f: (f / OBS).unlink(), f"{OBS} is not there"),
    "a truncated array": (VAE, "--new_model", ("data",), lambda f: os.truncate(f / OBS, 99_999), f"{OBS} is not a"),
    "another dtype": (
        *(VAE, "--new_model", ("data",)),
        lambda f: np.save(f / ACTION, np.zeros((3, 40, 3))),
        f"{ACTION} holds float64 (3, 40, 3), its record has float32 (3, 40, 3)",
    ),
    "another shape": (
        *(RNN, "--new_model", ("data", "vae/weights.h5")),
        lambda f: np.save(f / INPUT, np.zeros((3, 39, 35), np.float32)),
        f"{INPUT} holds float32 (3, 39, 35), its record has float32 (3, 39, 36)",
    ),
    "a changed array": (
        *(SERIES, "", ("data", "vae/weights.h5")),
        lambda f: np.save(f / ACTION, np.zeros((3, 40, 3), np.float32)),
        f"{ACTION} was changed after it was written",
    ),
    "missing batches": (VAE, "--new_model --max_batch 9", ("data",), None, "batch 2: data/obs_2.json is"),
    "a batch_size above the number of frames": (
        *(VAE, "--new_model --batch_size 201", ("data",)),
        None,
        "more than the 200 training frames",
    ),
    "one episode": (
        VAE,
        "--new_model --N 1",
        ("data",),
        None,
        "argument --N: must be at least 2, one episode to train on",
    ),
    "no VAE": (SERIES, "", ("data",), None, "vae/weights.h5 is not there: run 02_train_vae.py"),
    "weights of another network": (
        *(SERIES, "", ("data", "rnn/weights.h5")),
        lambda f: ((f / "vae").mkdir(), (f / "rnn/weights.h5").rename(f / "vae/weights.h5")),
        "vae/weights.h5 does not fit this vae: another architecture",
    ),
    "04 with series of another VAE": (
        *(RNN, "--new_model", ("data", "vae/weights.h5")),
        lambda f: edit(f / "data/rnn_1.json", vae_hash="another"),
        "batch 1 was encoded by VAE another, vae/ holds",
    ),
    "05 with series of another VAE": (
        *(CONTROLLER, ONE_RANK, ("data", *NETWORKS)),
        lambda f: edit(f / "data/rnn_1.json", vae_hash="another"),
        "batch 1 was encoded by VAE another, vae/ holds",
    ),
    "an RNN of another VAE": (
        *(CONTROLLER, STAGES[CONTROLLER], ("data", *NETWORKS)),
        lambda f: edit(f / "rnn/weights.json", vae_hash="another"),
        "rnn/ was trained on VAE another, vae/ holds",
    ),
    "a controller of another VAE": (
        *(MODEL, BEST, (*NETWORKS, "controller")),
        set_vae_of_controller,
        f"controller/{SEARCH}.best.json was trained with vae another, vae/weights.h5 is",
    ),
    "a damaged controller": (
        *(MODEL, BEST, ("controller",)),
        lambda f: os.truncate(f / f"controller/{SEARCH}.best.json", 999),
        f"controller/{SEARCH}.best.json is not readable json",
    ),
    "a report without the search's history": (
        *(REPORT, f"controller {BEST}", ("data", *NETWORKS, "controller")),
        None,
        f"log/{SEARCH}.hist.json is not there",
    ),
    "a report without the frames": (
        *(REPORT, f"vae {BEST}", ("log", *NETWORKS, "controller")),
        None,
        "no complete batch obs_*.json in data/",
    ),
    "a damaged search": (
        *(CONTROLLER, ONE_RANK, (*NETWORKS, "controller")),
        lambda f: os.truncate(f / f"controller/{SEARCH}.es.npz", 9999),
        f"controller/{SEARCH}.es.npz is not a saved search, or is damaged",
    ),
    "a damaged training state": (
        *(RNN, RESUME[RNN], ("data", "vae/weights.h5", "rnn")),
        lambda f: os.truncate(f / "rnn/state.h5", 99_999),
        "rnn/state.h5 is not a training state",
    ),
    "03 with a reward of NaN": (
        *(SERIES, "", ("data", "vae/weights.h5")),
        lambda f: forged(with_one(np.nan))(f / "data/reward_data_0.npy"),
        "data/reward_data_0.npy contains values that are not finite",
    ),
    "04 with a variance that overflows": (
        *(RNN, STAGES[RNN], ("data", "vae/weights.h5")),
        lambda f: forged(lambda array: array + 200)(f / "data/rnn_log_var_0.npy"),
        "the loss is ",
    ),
    "a search that is a zip bomb": (
        *(CONTROLLER, ONE_RANK, (*NETWORKS, "controller")),
        lambda f: (f / f"controller/{SEARCH}.es.npz").write_bytes(zip_bomb()),
        f"controller/{SEARCH}.es.npz is not a saved search, or is damaged: it is compressed",
    ),
    "a controller that overflows": (
        *(MODEL, BEST, (*NETWORKS, "controller")),
        lambda f: json_edit(lambda content: [[1e308] * 867, *content[1:]])(f / f"controller/{SEARCH}.best.json"),
        "the agent's actions are not finite",
    ),
    "weights that do not match their metadata": (
        *(SERIES, "", ("data", "vae")),
        lambda f: flipped(10**6)(f / "vae/weights.h5"),
        "vae/weights.json does not belong to vae/weights.h5",
    ),
    "missing --init_weights": (
        *(RNN, f"{STAGES[RNN]} --init_weights none.h5", ("data", "vae/weights.h5")),
        None,
        "none.h5 is not there",
    ),
    "--init_weights of another network": (
        *(VAE, f"{STAGES[VAE]} --init_weights rnn/weights.h5", ("data", *NETWORKS)),
        None,
        "rnn/weights.h5 does not fit this vae",
    ),
    "a missing --init_opt": (
        *(CONTROLLER, f"{ONE_RANK} --init_opt none.es.npz", ("data", *NETWORKS)),
        None,
        "cannot read none.es.npz",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_missing_damaged_and_mismatched_files(copy_of: Copy, what: str) -> None:
    name, arguments, parts, damage, message = FILES[what]
    folder = copy_of(*parts)
    if damage:
        damage(folder)
    assert_refused(folder, name, arguments, message)


# --- resuming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parts"), [(VAE, ("data",)), (RNN, ("data", "vae/weights.h5"))])
def test_without_new_model_and_state_training_starts_and_says_so(
    finished: Path, copy_of: Copy, name: str, parts: tuple[str, ...]
) -> None:
    """The same weights as with --new_model."""
    folder, network = copy_of(*parts), {VAE: "vae", RNN: "rnn"}[name]
    printed = run_script(folder, name, RESUME[name]).stdout
    assert f"{network}/ holds no training to resume: starting from scratch\n" in printed
    assert file_hash(folder / network / "weights.h5") == file_hash(finished / network / "weights.h5")


@pytest.mark.parametrize(("name", "network"), [(VAE, "vae"), (RNN, "rnn")])
def test_weights_without_a_state_are_not_overwritten(copy_of: Copy, name: str, network: str) -> None:
    folder = copy_of("data", "vae/weights.h5", f"{network}/weights.h5")
    assert_refused(folder, name, RESUME[name], f"{network}/weights.h5 exists without {network}/state.h5")


@pytest.mark.parametrize(
    ("name", "arguments", "parts", "message"),
    [
        (GENERATE, f"{STAGES[GENERATE]} --seed 1", ("data",), "batch 0 was made with seed = 0, now it is 1"),
        (GENERATE, f"{STAGES[GENERATE]} --time_steps 50", ("data",), "made with time_steps = 40, now it is 50"),
        (GENERATE, f"{STAGES[GENERATE]} --batch_size 2", ("data",), "made with episodes = 3, now it is 2"),
        (VAE, f"{RESUME[VAE]} --epochs 3 --seed 1", ("data", "vae"), "made with seed = 0, now it is 1"),
        (VAE, f"{RESUME[VAE]} --epochs 3 --max_batch 0", ("data", "vae"), "made with data = "),
        (RNN, f"{RESUME[RNN]} --batch_size 3", ("data", "vae", "rnn"), "made with batch_size = 2, now it is 3"),
        (
            CONTROLLER,
            f"{ONE_RANK} --max_steps_without_progress 7",
            (*NETWORKS, "controller"),
            "made with max_steps_without_progress = 100, now it is 7",
        ),
        (CONTROLLER, f"{ONE_RANK} -s 112", (*NETWORKS, "controller"), "made with seed = 111, now it is 112"),
    ],
)
def test_changed_settings_name_both_values(
    copy_of: Copy, name: str, arguments: str, parts: tuple[str, ...], message: str
) -> None:
    assert_refused(copy_of(*parts), name, arguments, message)


# --- the machine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "parts", "size"),
    [
        (GENERATE, "car_racing --total_episodes 4 --batch_size 2 --time_steps 40 --start_batch 5", ("data",), 500_000),
        (VAE, STAGES[VAE], ("data", "vae"), 1_000_000),
        (SERIES, "", ("data/obs_0.json", "vae/weights.h5"), 5_000),
        (MODEL, f"{BEST} --record_video --max_length 60", (*NETWORKS, "controller"), 10_000),
    ],
)
def test_a_full_disk(copy_of: Copy, name: str, arguments: str, parts: tuple[str, ...], size: int) -> None:
    if name == SERIES:
        parts = (*parts, *(f"data/{kind}_data_0.npy" for kind in ("obs", "action", "reward", "done")))
    folder = copy_of(*parts)
    with full_disk(size):
        assert_refused(folder, name, arguments, "cannot write ")


@pytest.mark.parametrize(
    ("name", "arguments", "parts", "folder"),
    [
        (GENERATE, STAGES[GENERATE], (), "data"),
        (RNN, STAGES[RNN], ("data", "vae/weights.h5"), "rnn"),
        (CONTROLLER, ONE_RANK, ("data", *NETWORKS), "log"),
    ],
)
def test_a_file_where_a_folder_should_be(
    copy_of: Copy, name: str, arguments: str, parts: tuple[str, ...], folder: str
) -> None:
    """The check comes before any work. A read-only folder would be the same case, but root can write into one."""
    here = copy_of(*parts)
    (here / folder).write_text("a file")
    assert_refused(here, name, arguments, f"cannot write into {folder}/")


def test_not_enough_memory_for_an_episode(tmp_path: Path) -> None:
    """An episode of 6 GB fits on the disk, but not into 4 GB of memory."""
    arguments = "car_racing --total_episodes 1 --time_steps 500000"
    with limit(resource.RLIMIT_AS, 2**32):
        assert_refused(tmp_path, GENERATE, arguments, "not enough memory: lower --time_steps")


@pytest.mark.parametrize(
    ("name", "arguments", "parts"),
    [
        (GENERATE, "car_racing --total_episodes 2 --batch_size 2 --time_steps 40 --render 1", ()),
        (MODEL, f"{BEST} --render_mode --max_length 5", (*NETWORKS, "controller")),
    ],
)
def test_a_window_without_a_display(copy_of: Copy, name: str, arguments: str, parts: tuple[str, ...]) -> None:
    assert_refused(copy_of(*parts), name, arguments, "xvfb-run", DISPLAY=None, WAYLAND_DISPLAY=None)
