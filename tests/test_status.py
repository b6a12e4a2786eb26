"""Tests of model.py --status: every state of the stages, damaged files, sub-folders, what comes next; it only reads."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.damage import ANY_FILE, edit
from helpers.scripts import ROOT, SEARCH, STAGES, run_script

from display.next_step import RESULTS, WORK, cost_of, estimate, recipe_of, report
from pipeline.files import claim, file_hash, is_locked, only_one
from pipeline.new_model import previous

Copy = Callable[..., Path]
NETWORKS = ("vae", "rnn")
RUN = ("data", *NETWORKS, "controller")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stage_lines(text: str) -> dict[str, str]:
    """Stage -> its line, of the first folder of a report."""
    return dict(re.findall(r"^  (0\d) \w+ +(.*)$", text.split("\n\n")[0], re.MULTILINE))


def next_of(text: str) -> str:
    return re.search(r"^  next.*", text, re.MULTILINE)[0]


def test_the_command_prints_it_without_tensorflow_and_changes_nothing(copy_of: Copy) -> None:
    folder = copy_of(*RUN)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = run_script(folder, "model.py", "--status", PYTHONPROFILEIMPORTTIME="1")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert not re.search(r" (tensorflow|keras|mpi4py|matplotlib|cma)$", done.stderr, re.MULTILINE)
    assert stage_lines(done.stdout).keys() == {"01", "02", "03", "04", "05"}


# --- what is there ----------------------------------------------------------------------------------------------------


def test_an_empty_folder() -> None:
    assert f"{Path().absolute()}: no stage has been run here" in report()
    assert re.search(r"next: python \S*01_generate_data.py car_racing$", report(), re.MULTILINE)
    assert re.search(r"about \d+ s on two cores: 60,000 frames", report())


def test_a_finished_folder(copy_of: Copy) -> None:
    copy_of(*RUN)
    lines = stage_lines(report())
    assert lines["01"].startswith("ready; 2 batches, 6 episodes of 40 steps in car_racing, saved 20")
    assert lines["02"].startswith("ready; step 20, epoch 2, saved 20")
    assert lines["03"].startswith("ready; 2 of 2 batches are encoded by this V, saved 20")
    assert lines["04"].startswith("ready; step 4, epoch 2, saved 20")
    assert re.match(rf"ready; {SEARCH}: generation 3, \d+\.\d s each, saved 20", lines["05"])
    assert re.search(r"best val_loss \d+\.\d at step 20\n", report())
    assert re.search(r"best mean, of generation \d: \d+\.\d ± \d+\.\d, min \d+\.\d, over 2 unseen tracks", report())
    assert next_of(report()).endswith(f"model.py --filename controller/{SEARCH}.best.json --final_mode")


@pytest.mark.parametrize(
    ("parts", "stage", "script"),
    [
        (RUN[:1], "02", "02_train_vae.py"),
        (("data", "vae"), "04", "04_train_rnn.py"),
        (("data", *NETWORKS), "05", "05_train_controller.py car_racing"),
    ],
)
def test_a_half_finished_folder(copy_of: Copy, parts: tuple[str, ...], stage: str, script: str) -> None:
    copy_of(*parts)
    assert stage_lines(report())[stage] == "nothing yet"
    assert next_of(report()).endswith(script)
    assert re.search(r"\n {8}about [\d.]+ (s|min|h) on two cores: [\d,]+ \S", report())


def test_batches_that_03_has_not_encoded(copy_of: Copy) -> None:
    folder = copy_of("data", "vae")
    (folder / "data" / "rnn_1.json").unlink()
    assert stage_lines(report())["03"].startswith("not complete; 1 of 2 batches are encoded by this V")
    assert next_of(report()).endswith("03_generate_rnn_data.py")


def test_what_belongs_to_another_v(copy_of: Copy) -> None:
    """V was trained anew: 03 comes next, then 04 and 05 with --new_model."""
    folder = copy_of(*RUN)
    with open(folder / "vae" / "weights.h5", "ab") as file:
        file.write(b"\0")
    (folder / "vae" / "weights.json").unlink()
    lines = stage_lines(report())
    assert lines["03"].startswith("not complete; 0 of 2")
    assert next_of(report()).endswith("03_generate_rnn_data.py")
    assert "trained on another V\n" in report()
    assert "searched with another V or M\n" in report()
    for record in (folder / "data").glob("rnn_*.json"):
        edit(record, vae_hash=file_hash(folder / "vae" / "weights.h5"))
    assert next_of(report()).endswith("04_train_rnn.py --new_model")


def test_an_earlier_model_that_is_set_aside(copy_of: Copy) -> None:
    folder = copy_of("data", "vae")
    state = folder / "vae" / "state.h5"
    state.rename(previous(state))
    assert "not complete; --new_model was stopped before it saved a state" in stage_lines(report())["02"]
    assert next_of(report()).endswith("02_train_vae.py --new_model")


def test_a_controller_without_its_search(copy_of: Copy) -> None:
    folder = copy_of(*NETWORKS, "controller")
    (folder / "controller" / f"{SEARCH}.es.npz").unlink()
    assert re.match(rf"ready; {SEARCH}.best.json: score -?\d+\.\d", stage_lines(report())["05"])


def test_a_search_that_is_not_evaluated_yet(copy_of: Copy) -> None:
    """Its flags are stored nowhere: the same command goes on."""
    folder = copy_of("data", *NETWORKS)
    arguments = STAGES["05_train_controller.py"].replace("-n 2 -t 2", "-n 1 -t 4").replace("--eval_steps 1", "")
    run_script(folder, "05_train_controller.py", arguments, "--generations 1")
    assert "not evaluated yet; the last population has a mean of " in report()
    assert next_of(report()).endswith("the same command of 05 as before, which goes on until the first evaluation")


# --- what runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lock", "stage", "what", "then"),
    [
        ("data/.obs_12.lock", "01", "batch 12", "02_train_vae.py"),
        ("vae/.training.lock", "02", "training", "03_generate_rnn_data.py"),
        ("data/.rnn_0.lock", "03", "batch 0", "04_train_rnn.py"),
        ("rnn/.training.lock", "04", "training", "05_train_controller.py car_racing"),
        (f"controller/.{SEARCH}.lock", "05", SEARCH, "--final_mode"),
    ],
)
def test_what_runs_is_told_by_the_locks(copy_of: Copy, lock: str, stage: str, what: str, then: str) -> None:
    folder = copy_of(*RUN)
    with only_one(folder / lock, ""):
        assert stage_lines(report())[stage].startswith(f"running: {what}")
        assert next_of(report()).startswith(f"  next, when {stage} has ended: ")
        assert next_of(report()).endswith(then)
    assert "running" not in report()


def test_a_stage_that_runs_and_has_saved_nothing_yet(here: Path) -> None:
    with only_one(here / "vae" / ".training.lock", ""):
        assert stage_lines(report())["02"] == "running: training"


def test_looking_at_a_lock_neither_makes_nor_takes_it(here: Path) -> None:
    lock = here / "a.lock"
    assert not is_locked(lock)
    assert not lock.exists()
    with claim(lock) as first:
        assert first and is_locked(lock)
        with claim(lock) as second:
            assert not second
    assert not is_locked(lock)
    with claim(lock) as third:
        assert third


# --- damage -----------------------------------------------------------------------------------------------------------

FILES = {
    "data/obs_0.json": "01",
    "data/rnn_1.json": "03",
    "data/rnn_input_0.npy": "03",
    "vae/state.h5": "02",
    "vae/weights.json": "02",
    "rnn/weights.h5": "04",
    f"controller/{SEARCH}.es.npz": "05",
}


KINDS = ("empty", "its first half", "noise", "an object array", "deeply nested json", "a symlink loop", "a folder")


@pytest.mark.parametrize("file", FILES)
def test_damaged_files_are_named(copy_of: Copy, file: str) -> None:
    """Whatever the damage; the other stages are listed all the same."""
    path = copy_of(*RUN) / file
    content = path.read_bytes()
    for name in KINDS:
        ANY_FILE[name](path)
        text = report()
        assert stage_lines(text)[FILES[file]].startswith("damaged; "), name
        assert path.name.split(".")[0] in stage_lines(text)[FILES[file]], name
        assert len(stage_lines(text)) == 5
        assert next_of(text).startswith("  next: repair what is damaged in ")
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(content)


# --- folders below ----------------------------------------------------------------------------------------------------


def test_folders_below_are_listed_and_links_are_not_followed(finished: Path, here: Path) -> None:
    for name in ("demo/seed0/round1", "demo/seed0"):
        for part in RUN:
            shutil.copytree(finished / part, here / name / part)
    (here / "link").symlink_to(here / "demo")
    (here / "nothing").mkdir()
    folders = re.findall(r"^/.*$", report(), re.MULTILINE)
    assert folders == [str(here / "demo/seed0"), str(here / "demo/seed0/round1")]


def test_the_project_folder_is_listed_without_its_own_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert not re.search(rf"^{ROOT}/(pretrained|tests|docs)", report(), re.MULTILINE)


@pytest.mark.parametrize(
    ("folder", "recipe"),
    [
        ("demo/seed7", ("demo", "SEED=7")),
        ("demo/seed7/round1", None),
        ("train/seed12/round3", ("train", "SEED=12")),
        ("train/seed12/round4", ("more", "SEED=12 ROUND=4")),
        ("train/seed0/dream2", ("dream", "SEED=0")),
        ("demo", None),
        ("my_run", None),
    ],
)
def test_the_recipe_that_works_in_a_folder(folder: str, recipe: tuple[str, str] | None) -> None:
    assert recipe_of(ROOT / folder) == recipe
    assert recipe_of(Path("/elsewhere") / folder) is None
    if recipe:
        [cost] = cost_of(recipe[0])
        assert re.search(r"the whole of it costs about \d+ minutes on two cores", cost)


# --- how long it takes ------------------------------------------------------------------------------------------------


def test_the_estimates_are_of_the_defaults_and_of_measured_speeds(
    copy_of: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of("data")
    defaults = {
        "01_generate_data.py": {"total_episodes": 200, "time_steps": 300},
        "02_train_vae.py": {"epochs": 10, "batch_size": 100},
        "04_train_rnn.py": {"steps": 4000},
        "05_train_controller.py": {"num_worker": 16, "num_worker_trial": 4, "num_episode": 2, "eval_steps": 10},
    }
    for script, flags in defaults.items():
        text = " ".join(run_script(folder, script, "--help").stdout.split())
        for flag, value in flags.items():
            assert re.search(rf"--{flag} [A-Z_]+ [^(]*\(default: {value}\)", text), flag
    for stage in WORK:
        assert re.match(r"about [\d.]+ (s|min|h) on two cores: [\d,]+ ", estimate(stage)), estimate(stage)
    monkeypatch.setattr("display.next_step.RESULTS", RESULTS / "nowhere")
    assert estimate("04").startswith("how long it takes is unknown (")
