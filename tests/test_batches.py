"""Tests of batch files: atomicity, round trips, refusal of damaged files, and the meaning of their arrays."""

import json
import math
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import ROOT, environment, full_disk, limit, snapshot
from helpers.settings import batch_settings, obs_settings, rnn_settings

import config
from pipeline import batches
from pipeline.array_file import OPEN_FILES
from pipeline.batches import claim_batch, find_batches, open_batch, open_batches, write_batch
from pipeline.errors import UserError
from pipeline.files import atomic_write, check_same
from pipeline.seeds import ENV_SEED_RANGES, MAX_SEED, env_seed_range


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def episodes(kind: str, count: int, time_steps: int = 5, seed: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Random episodes with the dtypes and shapes of a kind."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {
            name: rng.integers(0, 2 if dtype is np.bool_ else 256, (time_steps - missing, *shape)).astype(dtype)
            for name, (dtype, missing, shape) in batch_settings(kind).arrays.items()
        }


def write(b: int, count: int = 3, time_steps: int = 5, kind: str = "obs", seed: int = 0, env: str = "") -> None:
    settings = batch_settings(kind, env=env or f"env{seed}")
    write_batch(kind, b, count, time_steps, episodes(kind, count, time_steps, seed), settings)


# --- atomicity -----------------------------------------------------------------------------------------------------


def test_a_file_appears_when_it_is_complete(here: Path) -> None:
    with atomic_write("new/file.txt") as part:
        part.write_text("all")
        assert not Path("new/file.txt").exists()
    assert Path("new/file.txt").read_text() == "all"
    assert len(snapshot(here)) == 1


@pytest.mark.parametrize("failure", [ValueError("a bug"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failed_write_leaves_the_old_file(here: Path, failure: BaseException) -> None:
    Path("file.txt").write_text("old")
    expected = UserError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected), atomic_write("file.txt") as part:
        part.write_text("new, but ha")
        raise failure
    assert Path("file.txt").read_text() == "old"
    assert len(snapshot(here)) == 1


@pytest.mark.parametrize("kind", ["obs", "rnn"])
def test_a_full_disk_is_one_line_and_leaves_the_old_batch(here: Path, kind: str) -> None:
    write(0, kind=kind)
    before = snapshot(here)
    with full_disk(1000), pytest.raises(UserError, match=r"cannot write data/\S+_0.npy: File too large") as error:
        write(0, 100, kind=kind, seed=1)
    assert "\n" not in str(error.value)
    assert snapshot(here) == before
    open_batch(kind, 0)


def test_a_folder_that_cannot_be_created_is_one_line(here: Path) -> None:
    Path("data").write_text("a file, where a folder should be")
    with pytest.raises(UserError, match="cannot write"):
        write(0)
    with pytest.raises(UserError, match="cannot write"), claim_batch("obs", 0):
        pass


def test_an_exception_between_episodes_leaves_no_batch(here: Path) -> None:
    def broken() -> Iterator[dict[str, np.ndarray]]:
        yield from episodes("obs", 2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_batch("obs", 0, 3, 5, broken(), obs_settings())
    assert snapshot(here) == {}


KILLED_AT = """
import os, sys
from test_batches import write
count = 0
def die(event, arguments):
    global count
    count += event == "os.rename"
    if count > {renames}:
        os._exit(9)
sys.addaudithook(die)
write(0, seed=1)
"""


@pytest.mark.parametrize("renames", range(6))
def test_a_batch_killed_between_two_renames_is_old_new_or_missing(here: Path, renames: int) -> None:
    """The record is deleted before the first array is replaced and written after the last: no mixture is readable."""
    write(0, seed=0)
    program = KILLED_AT.format(renames=renames)
    status = subprocess.run(
        [sys.executable, "-c", program], cwd=here, env=environment(PYTHONPATH=str(ROOT / "tests"))
    ).returncode
    assert status == (9 if renames < 5 else 0)
    if renames < 5:
        assert batches.read_record("obs", 0) is None
        write(0, seed=1)  # the files left by the killed process do not interfere
    assert open_batch("obs", 0).record.settings == obs_settings(env="env1")
    assert len(snapshot(here)) == 5


def test_a_batch_round_trip() -> None:
    for kind in batches.KINDS:
        write(7, kind=kind)
        batch = open_batch(kind, 7)
        assert (batch.number, batch.episodes, batch.record.time_steps) == (7, 3, 5)
        for i, episode in enumerate(episodes(kind, 3)):
            for name, array in episode.items():
                np.testing.assert_array_equal(batch[name][i], array)
                assert batch[name].dtype == array.dtype


def test_plain_numpy_reads_the_arrays() -> None:
    write(0)
    assert np.load("data/obs_data_0.npy").shape == (3, 5, 64, 64, 3)
    assert np.load("data/done_data_0.npy").dtype == bool


def test_memory_stays_flat_while_a_batch_is_written_and_read() -> None:
    size = math.prod((60, 50, *config.FRAME_SHAPE))
    frame = np.zeros((50, *config.FRAME_SHAPE), np.uint8)
    row = {name: np.zeros((50, *shape), dtype) for name, (dtype, _, shape) in obs_settings().arrays.items()}
    tracemalloc.start()
    write_batch("obs", 0, 60, 50, (row | {"obs_data": frame} for _ in range(60)), obs_settings())
    assert open_batch("obs", 0)["obs_data"].shape == (60, 50, *config.FRAME_SHAPE)
    assert tracemalloc.get_traced_memory()[1] < size / 10
    tracemalloc.stop()


@pytest.mark.parametrize(
    "index",
    [
        0,
        np.int32(2),
        (1, 3),
        (np.int64(2), np.int32(0)),
        slice(None),
        slice(1, 3),
        [0, 2],
        (1, slice(2, 4)),
        (slice(1), 0),
    ],
)
def test_a_part_of_an_array_is_what_numpy_reads(index: object) -> None:
    for kind in batches.KINDS:
        write(0, kind=kind)
        for file in open_batch(kind, 0).arrays.values():
            part, expected = file[index], np.load(file.path)[index]
            assert part.dtype == expected.dtype
            np.testing.assert_array_equal(part, expected)
    with pytest.raises((IndexError, ValueError)):
        file[3, 0]


def test_open_batches_hold_few_files() -> None:
    """However many batches there are. A limit that is hit is called by its name."""
    for b in range(OPEN_FILES + 5):
        write(b, 1)
    before = len(os.listdir("/proc/self/fd"))
    opened = open_batches("obs")
    rows = [batch[name][0] for batch in opened for name in batch.arrays] + [batch["done_data"][:] for batch in opened]
    assert len(os.listdir("/proc/self/fd")) <= before + OPEN_FILES
    assert len(rows) == 5 * len(opened)
    with limit(resource.RLIMIT_NOFILE, 3):
        for read in (lambda: open_batch("obs", 0), lambda: opened[0]["obs_data"][0, 0]):
            with pytest.raises(UserError, match=r"data/\S+( is not readable json)?: Too many open files .*ulimit -n"):
                read()


def test_an_array_that_is_replaced_while_it_is_in_use_is_refused() -> None:
    write(0)
    batch = open_batch("obs", 0)
    time.sleep(0.01)  # a file system counts time in steps
    write(0, seed=1)
    for index in ((0, 0), slice(None)):
        with pytest.raises(UserError, match=r"data/obs_data_0.npy was changed while it was in use"):
            batch["obs_data"][index]


def test_hashes_distinguish_batches() -> None:
    write(0)
    write(1)
    write(2, seed=1)
    same, other = open_batch("obs", 0).hash == open_batch("obs", 1).hash, open_batch("obs", 2).hash
    assert same
    assert other != open_batch("obs", 0).hash
    pairs = [batches.combined_hash(open_batches("obs", *span)) for span in ((0, 1), (1, 2))]
    assert pairs[0] != pairs[1]


# --- refusal -------------------------------------------------------------------------------------------------------


class Trap:
    """An object that creates a file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("touched"),)


def save(array: np.ndarray) -> None:
    np.save("data/action_data_0.npy", array)


ARRAY_DAMAGES = {
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "empty": lambda path: path.write_bytes(b""),
    "a truncated header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "truncated data": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "another dtype": lambda path: save(np.zeros((3, 5, 3), np.float64)),
    "another byte order": lambda path: save(np.zeros((3, 5, 3), ">f4")),
    "another shape": lambda path: save(np.zeros((3, 4, 3), np.float32)),
    "Fortran order": lambda path: save(np.asfortranarray(np.random.rand(3, 5, 3).astype(np.float32))),
    "a pickle": lambda path: save(np.array([Trap()], dtype=object)),
    "a bare pickle": lambda path: path.write_bytes(__import__("pickle").dumps(Trap())),
    "text": lambda path: path.write_text("not an array"),
    "an archive": lambda path: np.savez(path.open("wb"), np.zeros((3, 5, 3), np.float32)),
    "another value": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"),
}


@pytest.mark.parametrize("damage", ARRAY_DAMAGES)
def test_a_damaged_array_is_refused_in_one_line(damage: str) -> None:
    write(0)
    path = Path("data/action_data_0.npy")
    ARRAY_DAMAGES[damage](path)
    with pytest.raises(UserError, match=str(path)) as error:
        open_batch("obs", 0)
    assert "\n" not in str(error.value)
    assert not Path("touched").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "{}", "[" * 100_000, '{"settings": {}, "episodes": true, "time_steps": 5, "sha256": {}}']
)
def test_a_damaged_record_is_refused_in_one_line(text: str) -> None:
    write(0)
    Path("data/obs_0.json").write_text(text)
    with pytest.raises(UserError, match=r"data/obs_0.json") as error:
        open_batch("obs", 0)
    assert "\n" not in str(error.value)


def test_a_record_with_more_episodes_than_its_arrays_is_refused() -> None:
    write(0)
    record = json.loads(Path("data/obs_0.json").read_text())
    Path("data/obs_0.json").write_text(json.dumps(record | {"episodes": 4}))
    with pytest.raises(UserError, match=r"holds \S+ \(3, 5, .*\), its record has \S+ \(4, 5, "):
        open_batch("obs", 0)


# --- selection of batches ------------------------------------------------------------------------------------------


def test_find_batches() -> None:
    for b in (0, 1, 3, 10):
        write(b, 1)
    Path("data/obs_2.npy").touch()  # without a record it is no batch
    Path("data/obs_two.json").touch()
    assert find_batches("obs") == [0, 1, 3, 10]
    assert find_batches("obs", 1) == [1, 3, 10]
    assert find_batches("obs", 0, 1) == [0, 1]
    for arguments, match in (((0, 3), "batch 2: data/obs_2.json"), ((11,), "no complete batch"), ((3, 1), "is below")):
        with pytest.raises(UserError, match=match):
            find_batches("obs", *arguments)
    with pytest.raises(UserError, match="run 03_generate_rnn_data"):
        find_batches("rnn")


def test_open_batches_opens_no_more_batches_than_the_episodes_need() -> None:
    for b in range(3):
        write(b, 3)
    write(3, 3, time_steps=6)
    assert [batch.number for batch in open_batches("obs", episodes=4)] == [0, 1]
    assert [batch.number for batch in open_batches("obs", 1, 2)] == [1, 2]
    with pytest.raises(UserError, match="batches 0 and 3 have 5 and 6 time steps"):
        open_batches("obs")


def test_the_first_batches_that_hold_so_many_episodes() -> None:
    """03 --N; and the tutorial's --time_steps, which must be the recorded number."""
    for b in range(3):
        write(b, 3)
    assert [batches.select_batches(0, None, count, 5) for count in (1, 3, 4, 99)] == [[0], [0], [0, 1], [0, 1, 2]]
    assert batches.select_batches(1, 2, None, None) == [1, 2]
    with pytest.raises(UserError, match="--time_steps 6: the recorded episodes have 5 steps, set by 01 --time_steps"):
        batches.select_batches(0, None, None, 6)


def test_series_of_another_vae_are_refused() -> None:
    write_batch("rnn", 0, 1, 5, episodes("rnn", 1), rnn_settings(vae_hash="here", lengths=[5]))
    batches.check_vae(open_batches("rnn"), "here")
    with pytest.raises(UserError, match=r"by VAE here, vae/ holds there: run 03"):
        batches.check_vae(open_batches("rnn"), "there")
    write_batch("rnn", 0, 1, 5, episodes("rnn", 1), rnn_settings(vae_hash="here", lengths=[5, 5]))
    with pytest.raises(UserError, match=r"rnn_0.json lacks the episodes' lengths: run 03"):
        batches.check_vae(open_batches("rnn"), "here")


def test_a_lock_excludes_others_and_ends_with_its_process(here: Path) -> None:
    with claim_batch("obs", 0) as first, claim_batch("obs", 0) as second, claim_batch("obs", 1) as other:
        assert (first, second, other) == (True, False, True)
    program = "import os\nfrom pipeline.batches import claim_batch\n"
    program += "with claim_batch('obs', 0) as locked: print(locked); os.kill(os.getpid(), 9)"
    done = subprocess.run(
        [sys.executable, "-uc", program],
        cwd=here,
        capture_output=True,
    )
    assert (done.stdout, done.returncode) == (b"True\n", -9)
    with claim_batch("obs", 0) as again:
        assert again


# --- meaning of the arrays -----------------------------------------------------------------------------------------


def test_real_steps_end_with_the_first_done() -> None:
    done = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]], bool)
    assert batches.real_steps(done).sum(axis=1).tolist() == [4, 3, 4, 1]
    np.testing.assert_array_equal(batches.real_steps(done)[1], [True, True, True, False])


def test_the_split_is_a_function_of_the_seed() -> None:
    for count in (2, 5, 6, 100, 1001):
        train, held_out = batches.split_episodes(count, seed=3)
        np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), np.arange(count))
        assert len(held_out) == max(1, round(count / 10))
    np.testing.assert_array_equal(batches.split_episodes(100, 3)[1], batches.split_episodes(100, 3)[1])
    assert not np.array_equal(batches.split_episodes(100, 3)[1], batches.split_episodes(100, 4)[1])
    with pytest.raises(UserError, match="1 episode is too few"):
        batches.split_episodes(1, 0)


def test_environment_seeds_are_disjoint() -> None:
    """Between purposes, run seeds and indices, including the corners of the ranges."""
    corners = [(seed, start) for seed in (0, 1, MAX_SEED - 1) for start in (0, 2**32 - 50)]
    env_seeds = [
        env_seed
        for purpose in ENV_SEED_RANGES
        for seed, start in corners
        for env_seed in env_seed_range(purpose, seed, start, 50)
    ]
    assert len(set(env_seeds)) == len(ENV_SEED_RANGES) * len(corners) * 50
    assert min(env_seeds) >= 0
    for seed, start in ((-1, 0), (MAX_SEED, 0), (0, 2**32)):
        with pytest.raises(ValueError, match=f"there are no environment seeds {start}..{start} of seed {seed}"):
            env_seed_range("search", seed, start, 1)


def test_changed_settings_name_both_values() -> None:
    check_same("it", {"seed": 1, "more": 2}, {"seed": 1}, "change nothing")
    with pytest.raises(UserError, match="it was made with seed = 1, now it is 2: change it back"):
        check_same("it", {"seed": 1}, {"seed": 2}, "change it back")
    with pytest.raises(UserError, match="new = None, now it is 2"):
        check_same("it", {"seed": 1}, {"new": 2}, "")
