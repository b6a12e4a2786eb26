"""The files between the stages: names, shapes, validation, atomic writes, memory maps.

A *batch* is a set of arrays over some hundred episodes and a json record, written last: a batch exists when its record
does. `obs` batches hold what the car saw and did (stage 01), `rnn` batches the same as latent series (stage 03).
Nothing here unpickles: arrays are opened with allow_pickle=False, records are json.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

import config

# kind -> array -> (dtype, steps fewer than time_steps, shape of one step)
KINDS = {
    "obs": {
        "obs_data": (np.uint8, 0, config.FRAME_SHAPE),
        "action_data": (np.float32, 0, (config.ACTION_DIM,)),
        "reward_data": (np.float32, 0, ()),
        "done_data": (np.bool_, 0, ()),
    },
    "rnn": {
        "rnn_input": (np.float32, 1, (config.Z_DIM + config.ACTION_DIM + 1,)),
        "rnn_output": (np.float32, 1, (config.Z_DIM + 1,)),
        "rnn_log_var": (np.float32, 0, (config.Z_DIM,)),
    },
}
MAKER = {"obs": "01_generate_data.py", "rnn": "03_generate_rnn_data.py"}


class UserError(Exception):
    """A person's mistake, or a file's: one line that says what was wrong, where, and what to do. Exit status 2."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# --- writing ----------------------------------------------------------------------------------------------------------
@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a name beside `path` to write to; on success it is renamed to `path`, on failure `path` stays as it was."""
    path = Path(path)
    part = path.with_name(f".part-{path.name}")  # the suffix stays: NumPy and Keras look at it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else first_line(error)  # HDF5 tells whole stories
        raise UserError(f"cannot write {path}: {reason}; what was there is untouched") from error
    finally:
        with suppress(OSError):  # renamed already, or never made
            part.unlink()


def check_folder(folder: Path) -> None:
    """Find out now, not after hours of work, whether files can be written into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(prefix=".part-", dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write into {folder}/: {error.strerror}") from None


def write_json(path: Path | str, content: object) -> None:
    """Write json atomically; floats keep every digit."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: Path | str) -> object:
    """Read a json file; UserError when it is missing or broken."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not readable json: {first_line(error)}") from None


def file_hash(path: Path | str) -> str:
    """Return 16 hex digits of the SHA-256 of a file; a record says by it what was made from what."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


class ArrayWriter:
    """Writes a .npy row by row, so that memory stays flat.

    A memory map would do the same, but kills the process with a bus error when the disk is full.
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]):
        self.dtype, self.shape, self.rows = np.dtype(dtype), shape, 0
        self.file = open(path, "wb")
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(self.file, {"descr": descr, "fortran_order": False, "shape": shape})

    def append(self, row: np.ndarray) -> None:
        """Add one episode; a row of another shape is a bug, not a file."""
        assert row.shape == self.shape[1:], (row.shape, self.shape)
        self.file.write(np.ascontiguousarray(row, self.dtype).data)
        self.rows += 1

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, *failure: object) -> None:
        self.file.close()


def is_finite(array: np.ndarray) -> bool:
    """Whether no number is NaN or infinite; bytes and truth values cannot be, and cost nothing."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def array_path(name: str, b: int) -> Path:
    return config.DATA_DIR / f"{name}_{b}.npy"


def record_path(kind: str, b: int) -> Path:
    return config.DATA_DIR / f"{kind}_{b}.json"


def array_shape(kind: str, name: str, episodes: int, time_steps: int) -> tuple[int, ...]:
    _, fewer, tail = KINDS[kind][name]
    return (episodes, time_steps - fewer, *tail)


def write_batch(
    kind: str, b: int, episodes: int, time_steps: int, rows: Iterable[dict[str, np.ndarray]], settings: dict
) -> None:
    """Write batch `b` from an iterator over its episodes, then its record.

    Args:
        kind: "obs" or "rnn".
        rows: one dict an episode, array name -> array of that episode.
        settings: what the batch was made with; kept in the record.

    Raises:
        UserError: it cannot be written, or an episode holds NaN or infinity: those would be noticed in stage 04.
    """
    with ExitStack() as files:  # every file is renamed into its place when this block ends
        parts = {name: files.enter_context(atomic_write(array_path(name, b))) for name in KINDS[kind]}
        writers = {
            name: ArrayWriter(parts[name], KINDS[kind][name][0], array_shape(kind, name, episodes, time_steps))
            for name in parts
        }
        with ExitStack() as open_files:
            for writer in writers.values():
                open_files.enter_context(writer)
            for row in rows:
                for name, writer in writers.items():
                    if not is_finite(row[name]):
                        raise UserError(f"{name} of batch {b}, episode {writer.rows}: a number is not finite")
                    writer.append(row[name])
        hashes = {name: file_hash(part) for name, part in parts.items()}
        assert all(writer.rows == episodes for writer in writers.values())
        record_path(kind, b).unlink(missing_ok=True)  # from here until the new record, there is no batch
    record = {"settings": settings, "episodes": episodes, "time_steps": time_steps, "sha256": hashes}
    write_json(record_path(kind, b), record)


# --- reading ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Batch:
    """A batch on disk: its number, its record, and memory maps of its arrays."""

    number: int
    record: dict
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @property
    def episodes(self) -> int:
        return self.record["episodes"]

    @property
    def hash(self) -> str:
        """One hash for all of its arrays."""
        return hashlib.sha256("".join(sorted(self.record["sha256"].values())).encode()).hexdigest()[:16]


def read_record(kind: str, b: int) -> dict | None:
    """Return the record of a batch, None where there is no such batch."""
    path = record_path(kind, b)
    if not path.exists():
        return None
    record = read_json(path)
    types = {"settings": dict, "episodes": int, "time_steps": int, "sha256": dict}
    right = isinstance(record, dict) and all(type(record.get(key)) is expected for key, expected in types.items())
    right = right and record["episodes"] >= 1 and record["time_steps"] >= 2
    if not right or dict.fromkeys(KINDS[kind], str) != {key: type(value) for key, value in record["sha256"].items()}:
        raise UserError(f"{path} is not the record of a batch: delete it and run {MAKER[kind]} again")
    return record


def open_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Memory-map a .npy after checking what its header promises."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except Exception as error:  # a damaged header makes the parser raise whatever it likes
        raise UserError(f"{path} is not a readable .npy: {first_line(error)}") from None
    if not isinstance(array, np.memmap) or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.memmap) else "another kind of file"
        raise UserError(f"{path} holds {found}, its record says {np.dtype(dtype)} {shape}")
    return array


def open_batch(kind: str, b: int) -> Batch:
    """Open batch `b`, checking shapes, types and hashes (about a second a gigabyte).

    Raises:
        UserError: it is not there, or not what its record says.
    """
    record = read_record(kind, b)
    if record is None:
        raise UserError(f"batch {b}: {record_path(kind, b)} is not there: run {MAKER[kind]} first")
    arrays = {}
    for name, (dtype, _, _) in KINDS[kind].items():
        path = array_path(name, b)
        arrays[name] = open_array(path, dtype, array_shape(kind, name, record["episodes"], record["time_steps"]))
        if file_hash(path) != record["sha256"].get(name):
            raise UserError(f"{path} was changed after it was written: delete {record_path(kind, b)} and make it again")
        if not is_finite(arrays[name]):
            raise UserError(f"{path} holds numbers that are not finite: find out why, and make it again")
    return Batch(b, record, arrays)


def find_batches(kind: str, start_batch: int = 0, max_batch: int | None = None) -> list[int]:
    """Return the numbers of the batches start_batch..max_batch (inclusive; None: all there are from start_batch on).

    Raises:
        UserError: none is there, or one of the range is missing.
    """
    if max_batch is None:
        names = (path.stem.removeprefix(f"{kind}_") for path in config.DATA_DIR.glob(f"{kind}_*.json"))
        numbers = sorted(int(name) for name in names if name.isdecimal() and int(name) >= start_batch)
        if not numbers:
            raise UserError(f"no complete batch {kind}_*.json in {config.DATA_DIR}/: run {MAKER[kind]} first")
        return numbers
    if max_batch < start_batch:
        raise UserError(f"--max_batch {max_batch} is below --start_batch {start_batch}")
    for b in range(start_batch, max_batch + 1):
        if not record_path(kind, b).exists():
            raise UserError(f"batch {b}: {record_path(kind, b)} is not there: run {MAKER[kind]} first")
    return list(range(start_batch, max_batch + 1))


def open_batches(
    kind: str, start_batch: int = 0, max_batch: int | None = None, episodes: int | None = None
) -> list[Batch]:
    """Open a range of batches; with `episodes`, only as many as hold that many episodes."""
    batches, total = [], 0
    for b in find_batches(kind, start_batch, max_batch):
        batches.append(open_batch(kind, b))
        total += batches[-1].episodes
        if batches[-1].record["time_steps"] != batches[0].record["time_steps"]:
            steps = [batch.record["time_steps"] for batch in (batches[0], batches[-1])]
            raise UserError(f"batches {batches[0].number} and {b} have {steps[0]} and {steps[1]} time steps an episode")
        if episodes is not None and total >= episodes:
            break
    return batches


def find_batches_of(env_name: str, kind: str) -> list[int]:
    """Return the numbers of the batches that were made in one environment; UserError when there is none."""
    numbers = [b for b in find_batches(kind) if read_record(kind, b)["settings"].get("env") == env_name]
    if not numbers:
        raise UserError(f"no {kind} batch of environment '{env_name}' in {config.DATA_DIR}/: run {MAKER[kind]} first")
    return numbers


def open_batches_of(env_name: str, kind: str) -> Iterator[Batch]:
    """Open these batches, one after the other."""
    return map(partial(open_batch, kind), find_batches_of(env_name, kind))


def combined_hash(batches: list[Batch]) -> str:
    """One hash for several batches."""
    return hashlib.sha256("".join(batch.hash for batch in batches).encode()).hexdigest()[:16]


def vae_hash() -> str:
    """The hash of the VAE that stage 02 left."""
    path = config.VAE_DIR / "weights.h5"
    if not path.exists():
        raise UserError(f"{path} is not there: run 02_train_vae.py --new_model first")
    return file_hash(path)


def training_settings(path: Path) -> dict:
    """The settings that weights were trained under, by the .json beside them; {} where there is none.

    Raises:
        UserError: what is beside them is about other weights: one of the two is damaged, or was put there.
    """
    beside = path.with_suffix(".json")
    if not os.path.lexists(beside):  # a link that leads nowhere is damage
        return {}
    about = read_json(beside)
    if not isinstance(about, dict) or about.get("weights_sha256") != file_hash(path):
        raise UserError(f"{path} is not what {beside} was written for: put its own beside it, or train again")
    return about["settings"] if isinstance(about.get("settings"), dict) else {}


def check_vae(batches: list[Batch], vae: str) -> None:
    """Refuse rnn batches that another VAE than the one of hash `vae` encoded: their z mean nothing to this one."""
    for batch in batches:
        made, lengths = (batch.record["settings"].get(key) for key in ("vae", "lengths"))
        if made != vae:
            what = f"batch {batch.number} was encoded by VAE {made}, {config.VAE_DIR}/ holds {vae}"
            raise UserError(f"{what}: run {MAKER['rnn']} again")
        right = isinstance(lengths, list) and [type(length) for length in lengths] == [int] * batch.episodes
        if not right or not 1 <= min(lengths) <= max(lengths) <= batch.record["time_steps"]:
            raise UserError(f"{record_path('rnn', batch.number)} lacks the episodes' lengths: run {MAKER['rnn']} again")


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Yield whether what the lock file `path` stands for is ours; a claim ends with its process, however that ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")
    except OSError as error:
        raise UserError(f"cannot write into {path.parent}/: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system without locks: nobody can be kept apart there
            pass
        yield True


def claim_batch(kind: str, b: int) -> AbstractContextManager[bool]:
    """Claim the making of batch `b`."""
    return claim(config.DATA_DIR / f".{kind}_{b}.lock")


@contextmanager
def only_one(path: Path, doing: str) -> Iterator[None]:
    """Keep a second process from `doing` the same: two of them would overwrite each other's files."""
    with claim(path) as ours:
        if not ours:
            raise UserError(f"another process is {doing}: wait for it, or stop it")
        yield


# --- what the arrays mean ---------------------------------------------------------------------------------------------
def real_steps(done: np.ndarray) -> np.ndarray:
    """Which frames were really seen: bool (episodes, time_steps); frames after the first `done` are zeros."""
    real = np.ones(done.shape, bool)
    real[:, 1:] = ~done[:, :-1]
    return real


def split_episodes(episodes: int, seed: int, fraction: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Split 0..episodes-1 at random into training and validation episodes (at least one each)."""
    if episodes < 2:
        raise UserError(f"{episodes} episode is too few to train and validate on: generate at least 2")
    order = np.random.default_rng([seed, 0x5B117]).permutation(episodes)
    held_out = max(1, round(fraction * episodes))
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def check_same(what: str, kept: dict, asked: dict, remedy: str) -> None:
    """Refuse to go on under other settings than those a file was made with, naming the first that differs.

    Raises:
        UserError: a setting differs.
    """
    for key, value in asked.items():
        if kept.get(key) != value:
            raise UserError(f"{what} was made with {key} = {kept.get(key)}, now it is {value}: {remedy}")
