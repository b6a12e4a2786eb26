"""Tests that damaged files are refused in one line that names the file, without writing or executing anything.

These tests call the functions with which the stages open their files; test_bad_input.py runs whole scripts.
"""

import hashlib
import io
import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.damage import (
    ANY_FILE,
    BOMB_BYTES,
    FLIPS,
    Damage,
    forged,
    hdf5_bomb,
    json_edit,
    search_with,
    with_key,
    with_one,
    without,
    zip_bomb,
)
from helpers.scripts import SEARCH

import controller.arch as controller
from controller import files as controller_files
from controller.evaluations import EVALUATION
from controller.search import ROW, ControllerSearch
from experiments.plots.controller import read_rows, read_search_settings
from pipeline import training, training_state
from pipeline.batches import KINDS, check_vae, open_batches
from pipeline.errors import UserError
from pipeline.networks import keras
from pipeline.progress import load_state
from pipeline.weights import find_vae_hash
from rnn.arch import RNN, RNNTrainer
from simulation.agent import Agent
from vae.arch import VAE, VAETrainer

pytestmark = pytest.mark.usefixtures("one_thread")


# --- opening files -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run, whose files are damaged one at a time and restored."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("damaged") / "work")


@pytest.fixture(autouse=True)
def here(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


@pytest.fixture(scope="module")
def agent(one_thread: None) -> Agent:
    return Agent()


@pytest.fixture(scope="module")
def trainers(one_thread: None) -> dict[str, training.Trainer]:
    trainers = {"vae": VAETrainer(VAE(), 0), "rnn": RNNTrainer(RNN(), 0)}
    for trainer in trainers.values():
        trainer.compile(optimizer=keras.optimizers.Adam(1e-3))
    return trainers


CONTROLLER, STATE, SETTINGS = f"controller/{SEARCH}.best.json", f"controller/{SEARCH}.es.npz", f"log/{SEARCH}.json"
HISTORY = {f"log/{SEARCH}.hist.json": ROW, f"log/{SEARCH}.log.json": EVALUATION}
FILES = [f"data/{name}_0.npy" for names in KINDS.values() for name in names] + ["data/obs_0.json", "data/rnn_0.json"]
FILES += [f"{network}/{name}" for network in ("vae", "rnn") for name in ("weights.h5", "weights.json", "state.h5")]
FILES += [CONTROLLER, STATE, SETTINGS, *HISTORY]
OpenFile = Callable[[str], None]


@pytest.fixture
def open_file(agent: Agent, trainers: dict[str, training.Trainer]) -> OpenFile:
    """Opens a file of the finished run like the stage that reads it."""

    def open_named(name: str) -> None:
        path, kind = Path(name), "rnn" if "/rnn_" in name else "obs"
        if path.parent.name == "data":
            batches = open_batches(kind, 0, 1)
            if kind == "rnn":
                check_vae(batches, find_vae_hash())
        elif path.name == "state.h5":
            load_state(path, trainers[path.parent.name], "add --new_model to start")
        elif name in HISTORY:
            read_rows(path, HISTORY[name])
        elif name == SETTINGS:
            read_search_settings(path)
        elif name == CONTROLLER:
            controller_files.load(path)
        elif name == STATE:
            ControllerSearch.load(path)
        else:
            agent.load()

    return open_named


def file_stats() -> dict[str, tuple[int, int, int]]:
    """Inode, modification time and size of every file, which show whether one was written or replaced."""
    found = [path for path in Path(".").rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_size) for path in found}


@contextmanager
def damaged(damage: Damage, path: Path, *others: Path) -> Iterator[None]:
    """Damage a file within the context, then restore it and the other files that the damage changes."""
    originals = {each: each.read_bytes() for each in (path, *others)}
    try:
        damage(path)
        yield
    finally:
        for each, content in originals.items():
            each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink(missing_ok=True)
            each.write_bytes(content)


def assert_refused(
    open_file: OpenFile, name: str, damage: Damage, *others: str, names: str = "", message: str = ""
) -> None:
    """Opening the damaged file raises one line that names it (or `names`), and neither writes nor executes anything."""
    with damaged(damage, Path(name), *map(Path, others)):
        before = file_stats()
        with pytest.raises(UserError) as error:
            open_file(name)
        assert file_stats() == before
    assert (names or name) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path("sprung").exists()


# --- damage of any file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_or_foreign_file(open_file: OpenFile, name: str) -> None:
    open_file(name)  # without damage
    for damage in ANY_FILE.values():
        assert_refused(open_file, name, damage)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith((".json", ".npz"))])
def test_a_flipped_bit(open_file: OpenFile, name: str) -> None:
    for damage in FLIPS.values():
        assert_refused(open_file, name, damage)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".json", ".npz"))])
def test_a_flipped_bit_in_a_file_without_a_hash_is_refused_or_harmless(open_file: OpenFile, name: str) -> None:
    """A flip may change a digit into another one, which leaves a valid file."""
    for damage in FLIPS.values():
        with damaged(damage, Path(name)):
            before = file_stats()
            try:
                open_file(name)
            except UserError as error:
                assert "\n" not in str(error)
            assert file_stats() == before


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind(open_file: OpenFile, name: str) -> None:
    """Every other file of the run under this name."""
    for other in FILES:
        if Path(other).name != Path(name).name and Path(other).stat().st_size < 10**6:
            assert_refused(open_file, name, lambda path, other=other: shutil.copy(other, path))


# --- arrays with a matching record and invalid content ---------------------------------------------------------------


ARRAYS = {
    **{f"of {dtype}": lambda a, dtype=dtype: a.astype(dtype) for dtype in (">f4", "f2", "f8", "i4", "c8", "O", "U5")},
    "of fields": lambda a: np.zeros(a.shape, [("a", "f4"), ("b", "f4")]),
    "one episode fewer": lambda a: a[1:],
    "one step fewer": lambda a: a[:, 1:],
    "steps before episodes": lambda a: a.swapaxes(0, 1),
    "flat": lambda a: a.ravel(),
    "a scalar": lambda a: a.ravel()[0],
    "empty": lambda a: a[:0],
}


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".npy")])
def test_an_array_of_another_type_or_shape(open_file: OpenFile, name: str) -> None:
    record = f"data/{'rnn' if 'rnn' in name else 'obs'}_0.json"
    for change in ARRAYS.values():
        assert_refused(open_file, name, forged(change), record)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("array", ["action_data", "reward_data", "rnn_input", "rnn_output", "rnn_log_var"])
def test_an_array_with_a_value_that_is_not_finite(open_file: OpenFile, array: str, number: float) -> None:
    record = f"data/{'rnn' if 'rnn' in array else 'obs'}_0.json"
    assert_refused(open_file, f"data/{array}_0.npy", forged(with_one(number)), record, message="not finite")


# --- json that is not a valid record ---------------------------------------------------------------------------------

RECORDS: list[Damage] = [json_edit(lambda _, other=other: other) for other in (None, [], {}, "obs", 3, [[]], [{}])]
for key in ("settings", "episodes", "time_steps", "sha256"):
    RECORDS += [without(key), *(with_key(key, value) for value in (None, [], "three", True, 3.0))]
for key in ("episodes", "time_steps"):
    RECORDS += [with_key(key, value) for value in (-1, 0, 1, 2, 41, 10**12, 10**30, {})]
RECORDS += [with_key("sha256", value) for value in ({}, {"obs_data": 3}, dict.fromkeys(KINDS["obs"]))]
RECORDS += [json_edit(lambda record: record | {"sha256": record["sha256"] | {"more": 3}})]


@pytest.mark.parametrize("kind", KINDS)
def test_an_invalid_record(open_file: OpenFile, kind: str) -> None:
    for damage in RECORDS:
        assert_refused(open_file, f"data/{kind}_0.json", damage, names="data/")


SERIES: dict[str, object] = {"vae_hash": (None, "another", 3, [])}
SERIES["lengths"] = (None, [], "all", [40, 40], [40, 40, 41], [40, 40, 0], [40, 40, -1], [40, 40, 39.0], [40, 40, True])


@pytest.mark.parametrize("setting", SERIES)
def test_series_of_another_vae_or_without_lengths(open_file: OpenFile, setting: str) -> None:
    for value in SERIES[setting]:
        damage = json_edit(lambda record, value=value: record | {"settings": record["settings"] | {setting: value}})
        message = "run 03_generate_rnn_data.py again"
        assert_refused(open_file, "data/rnn_0.json", damage, names="0", message=message)


# --- weights, states, controllers and histories ----------------------------------------------------------------------


def in_hdf5(change: Callable[[h5py.File, str], None], has_digest: bool = False) -> Damage:
    """Apply `change(file, name)` to one of the datasets; a training state gets a new digest."""

    def damage(path: Path) -> None:
        content = io.BytesIO(path.read_bytes()[: -training_state.DIGEST] if has_digest else path.read_bytes())
        with h5py.File(content, "r+") as file:
            names = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            change(file, names[0])
        digest = hashlib.sha256(content.getvalue()).digest() if has_digest else b""
        path.write_bytes(content.getvalue() + digest)
        path.with_name("weights.json").unlink()  # its hash would not match

    return damage


def dataset(*shape: int, content: object = None, dtype: object = "f4") -> Callable[[h5py.File, str], None]:
    """Replace the dataset; one without content takes no space, whatever its shape."""

    def put(file: h5py.File, name: str) -> None:
        del file[name]
        file.create_dataset(name, shape or None, dtype, content, chunks=True if content is None else None)

    return put


def number(value: float) -> Callable[[h5py.File, str], None]:
    return lambda file, name: file[name].write_direct(np.full(file[name].shape, value, "f4"))


def link(to: object) -> Callable[[h5py.File, str], None]:
    def put(file: h5py.File, name: str) -> None:
        del file[name]
        file[name] = to

    return put


HDF5 = {
    "NaN": number(np.nan),
    "infinity": number(-np.inf),
    "a missing dataset": lambda file, name: file.__delitem__(name),
    "a missing group": lambda file, name: file.__delitem__(next(iter(file))),
    "another shape": dataset(3, 3),
    "strings": dataset(content=["one", "two"], dtype=h5py.string_dtype()),
    "four terabytes": dataset(2**40),
    "a link to itself": link(h5py.SoftLink("/loop")),
    "a link out of the file": link(h5py.ExternalLink("/etc/passwd", "/")),
}
NETWORK_FILES = [f"{network}/{name}" for network in ("vae", "rnn") for name in ("weights.h5", "state.h5")]


@pytest.mark.parametrize("name", NETWORK_FILES)
def test_hdf5_with_other_content(open_file: OpenFile, name: str) -> None:
    for change in HDF5.values():
        damage = in_hdf5(change, has_digest=name.endswith("state.h5"))
        assert_refused(open_file, name, damage, str(Path(name).with_name("weights.json")))


def with_metadata(**changes: object) -> Callable[[h5py.File, str], None]:
    def change(file: h5py.File, name: str) -> None:
        file.attrs["about"] = json.dumps(json.loads(file.attrs["about"]) | changes)

    return change


METADATA = {"settings": (None, [], 3), "best": (None, "low", float("nan"), [])}
METADATA["history"] = (None, 3, {}, [3], [{}], [{"val_loss": "low"}], [{"val_loss": float("inf")}])


@pytest.mark.parametrize("key", METADATA)
def test_a_training_state_with_invalid_metadata(open_file: OpenFile, key: str) -> None:
    changes = [with_metadata(**{key: value}) for value in METADATA[key]]
    changes.append(lambda file, name: file.attrs.__delitem__("about"))
    for change in changes:
        assert_refused(open_file, "rnn/state.h5", in_hdf5(change, has_digest=True), "rnn/weights.json")


W = [0.1] * (controller.NUM_WEIGHTS - 1)
FULL = [*W, 0.1]
NOT_CONTROLLERS = (None, 3, "W", {}, [], [{}, 1], [FULL], [W, 1], [[FULL], 1], [["a"] * 867, 1], [[[]] * 867, 1])
NOT_CONTROLLERS += tuple([[*W, number], 1] for number in (None, "one", [], float("nan"), float("inf"), 10**400))
NOT_CONTROLLERS += tuple([FULL, score] for score in (None, "high", {}, 10**400))
NOT_CONTROLLERS += tuple([FULL, 1, metadata] for metadata in (2, "seed", [[1, 2, 3]], [3]))


NOT_ROWS = [None, 3, {}, [3], [[]], [{}], [None]]
NOT_SETTINGS = (*NOT_ROWS, {"env_name": 3}, {"env_name": None})


@pytest.mark.parametrize(("name", "contents"), [(CONTROLLER, NOT_CONTROLLERS), (SETTINGS, NOT_SETTINGS)])
def test_an_invalid_controller_or_settings(open_file: OpenFile, name: str, contents: tuple) -> None:
    for content in contents:
        assert_refused(open_file, name, json_edit(lambda _, content=content: content))


@pytest.mark.parametrize("name", HISTORY)
def test_an_invalid_history(open_file: OpenFile, name: str) -> None:
    damages = [json_edit(lambda _, content=content: content) for content in NOT_ROWS]
    for value in (None, "high", [], {}, True):
        damages.append(json_edit(lambda rows, value=value: [*rows[:-1], rows[-1] | {"mean": value}]))
    for damage in damages:
        assert_refused(open_file, name, damage)


SEARCHES: dict[str, tuple] = {
    "population": (..., None, "four", 0, 1, 5, 4.5, -4, 10**12, 10**30),
    "joint_steps": (30,),  # of version 0.1.0
    "retrain": (..., None, "four", [3]),
    "optimizer": (..., None, "sgd", [], 3, "ga", "openes"),
    "seed": (..., None, "one", -1, 1.5, [], 112),
    "sigma_init": (..., None, "wide", 0, -1, []),
    "sigma_decay": (..., "slow", []),
    "w0": (np.zeros(3), np.zeros((867, 2)), np.full(867, np.nan), np.zeros(867, complex)),
    "T": (np.zeros((867, 3)), np.zeros((3, 15)), np.zeros(867), np.full((867, 15), np.inf)),
    "rows": (np.zeros((2, 10)), np.zeros((3, 9)), np.zeros(10), np.full((3, 10), np.nan)),
    "evaluations": (np.zeros((3, 5)), np.zeros(4), np.array(["x"])),
    "dream_evaluations": (np.zeros((3, 5)), np.zeros(4), np.array(["x"])),
    "dream_best": (np.array(-1), np.array(3), np.array([0, 1]), np.array("one")),
    "dream_best_u": (np.zeros(3), np.full(15, np.inf)),
    "best": (np.array(-1), np.array(3), np.array([0, 1]), np.array("one")),
    "start_u": (np.zeros(3), np.zeros((15, 1)), np.full(15, np.nan), np.ones(15)),
    "start_sigma": (np.array(-1.0), np.array(0.0), np.array("wide"), np.array([0.1, 0.1]), np.array(0.2)),
    "start_generation": (np.array(-1), np.array(1), np.array(3), np.array([0, 1])),
    "mean_u": (np.zeros(3), np.zeros(15), np.full(15, np.inf)),
    "best_u": (np.zeros(3), np.full(15, np.inf)),
    "fitness": (np.zeros((3, 5)), np.zeros(4), np.zeros((3, 4), int), np.full((3, 4), np.nan), np.zeros((4, 4))),
}


@pytest.mark.filterwarnings("ignore")  # of pycma, about the invalid values
@pytest.mark.parametrize("key", SEARCHES)
def test_an_invalid_search(open_file: OpenFile, key: str) -> None:
    for value in SEARCHES[key]:
        assert_refused(open_file, STATE, search_with(**{key: value}))


def test_bombs_are_not_unpacked(open_file: OpenFile) -> None:
    """Their unpacked content never occupies memory."""
    for name, content in ((STATE, zip_bomb()), ("rnn/state.h5", hdf5_bomb()), ("vae/weights.h5", hdf5_bomb())):
        with damaged(lambda path, content=content: path.write_bytes(content), Path(name)):
            tracemalloc.start()
            with pytest.raises(UserError):
                open_file(name)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < BOMB_BYTES / 10
