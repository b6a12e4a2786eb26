"""Batch files that the stages exchange: names, shapes, validation, atomic writes, reading in parts.

A *batch* is a set of arrays over a few hundred episodes and a json record. The record is written last, so a batch
exists only when its record does. `obs` batches hold frames, actions and rewards (stage 01), `rnn` batches the same
episodes as latent series (stage 03). Nothing is unpickled: arrays are opened with allow_pickle=False, records are json.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

import config
from pipeline.array_file import ArrayFile, open_array
from pipeline.entries import are_variants
from pipeline.errors import UserError
from pipeline.files import atomic_write, claim, file_hash, read_json, write_json
from pipeline.seeds import rng
from pipeline.settings import Settings, read_settings
from pipeline.sizes import CAR

KINDS = {  # kind -> its arrays
    "obs": ("obs_data", "action_data", "reward_data", "done_data"),
    "rnn": ("rnn_input", "rnn_output", "rnn_log_var"),
}
# array -> (dtype, number of steps missing from time_steps, shape of one step)
Arrays = dict[str, tuple[type[np.generic], int, tuple[int, ...]]]
MAKER = {"obs": "01_generate_data.py", "rnn": "03_generate_rnn_data.py"}


@dataclass(frozen=True, kw_only=True)
class ObsSettings(Settings):
    """Settings of an obs batch, of stage 01: those of its command line, and hashes of the agent's files, if any."""

    RENAMED: ClassVar = {"vae": "vae_hash", "rnn": "rnn_hash"}

    env: str
    seed: int
    action_refresh_rate: int  # frames
    time_steps: int
    episodes: int
    controller: str | None = None  # hash; None: the exploration policy
    vae_hash: str | None = None
    rnn_hash: str | None = None
    exploration: float | None = None  # maximal share of exploration in an agent's episodes, 0..1
    actions: int = CAR.actions  # numbers of an action
    # The environments of the --run_all_envs command that recorded it, () of another one; None: of an earlier version.
    run_all_envs: tuple[str, ...] | None = None

    @property
    def arrays(self) -> Arrays:
        """The arrays of the batch."""
        return {
            "obs_data": (np.uint8, 0, config.FRAME_SHAPE),
            "action_data": (np.float32, 0, (self.actions,)),
            "reward_data": (np.float32, 0, ()),
            "done_data": (np.bool_, 0, ()),
        }


@dataclass(frozen=True, kw_only=True)
class RNNSettings(Settings):
    """Settings of an rnn batch, of stage 03."""

    RENAMED: ClassVar = {"vae": "vae_hash"}

    env: str
    vae_hash: str
    obs: str  # hash of the obs batch
    lengths: tuple[int, ...]  # steps of each episode, without padding
    z: int = CAR.z  # latent dimensions
    actions: int = CAR.actions  # numbers of an action
    reward: tuple[float, ...] | None = None  # this and below: see pipeline.sizes.Sizes
    done: bool = False  # rnn_output then ends with it
    run_all_envs: tuple[str, ...] | None = None  # of the obs batch

    @property
    def arrays(self) -> Arrays:
        """The arrays of the batch."""
        return {
            "rnn_input": (np.float32, 1, (self.z + self.actions + 1,)),
            "rnn_output": (np.float32, 1, (self.z + 1 + self.done,)),
            "rnn_log_var": (np.float32, 0, (self.z,)),
        }


BatchSettings = ObsSettings | RNNSettings
SETTINGS: dict[str, type[ObsSettings] | type[RNNSettings]] = {"obs": ObsSettings, "rnn": RNNSettings}


class ArrayWriter:
    """A .npy file written row by row, so that memory stays flat.

    A memory map would stay flat too, but a full disk then kills the process with a bus error.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]):
        self.dtype, self.shape, self.rows = np.dtype(dtype), shape, 0
        self.file = open(path, "wb")
        descr = np.lib.format.dtype_to_descr(self.dtype)
        np.lib.format.write_array_header_1_0(self.file, {"descr": descr, "fortran_order": False, "shape": shape})

    def append(self, row: np.ndarray) -> None:
        """Append one episode, an array of shape `self.shape[1:]`."""
        if row.shape != self.shape[1:]:
            raise ValueError(f"an episode has shape {row.shape}, the file {self.shape}")
        self.file.write(np.ascontiguousarray(row, self.dtype).data)
        self.rows += 1

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, *failure: object) -> None:
        self.file.close()


def is_finite(array: np.ndarray) -> bool:
    """Whether no value is NaN or infinite; integers and booleans are finite by type and are not scanned."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def array_path(name: str, b: int) -> Path:
    return config.DATA_DIR / f"{name}_{b}.npy"


def record_path(kind: str, b: int) -> Path:
    return config.DATA_DIR / f"{kind}_{b}.json"


def array_shape(settings: BatchSettings, name: str, episodes: int, time_steps: int) -> tuple[int, ...]:
    """The shape of an array of a batch."""
    _, missing_steps, step_shape = settings.arrays[name]
    return (episodes, time_steps - missing_steps, *step_shape)


def batch_bytes(settings: BatchSettings, episodes: int, time_steps: int) -> int:
    """Size of a batch's arrays on disk, in bytes."""
    shapes = {name: array_shape(settings, name, episodes, time_steps) for name in settings.arrays}
    return sum(math.prod(shape) * np.dtype(settings.arrays[name][0]).itemsize for name, shape in shapes.items())


@dataclass(frozen=True)
class Record:
    """The json record of a batch; `sha256` holds the hash of each array's file."""

    settings: BatchSettings
    episodes: int
    time_steps: int
    sha256: dict[str, str]


def write_batch(
    kind: str, b: int, episodes: int, time_steps: int, rows: Iterable[dict[str, np.ndarray]], settings: BatchSettings
) -> None:
    """Write batch `b` from an iterator over its episodes, then its record.

    Args:
        kind: "obs" or "rnn".
        rows: one dict per episode, array name -> array of that episode.
        settings: the settings that produced the batch, stored in the record.

    Raises:
        UserError: a file cannot be written, or an episode contains NaN or infinity, which would only surface as a
            failed training in stage 04.
    """
    with ExitStack() as files:  # all files are renamed into place when this block ends
        parts = {name: files.enter_context(atomic_write(array_path(name, b))) for name in KINDS[kind]}
        writers = {
            name: ArrayWriter(parts[name], dtype, array_shape(settings, name, episodes, time_steps))
            for name, (dtype, _, _) in settings.arrays.items()
        }
        with ExitStack() as open_files:
            for writer in writers.values():
                open_files.enter_context(writer)
            for row in rows:
                for name, writer in writers.items():
                    if not is_finite(row[name]):
                        raise UserError(f"{name} of batch {b}, episode {writer.rows}: a value is not finite")
                    writer.append(row[name])
        hashes = {name: file_hash(part) for name, part in parts.items()}
        if any(writer.rows != episodes for writer in writers.values()):
            raise ValueError(f"{[writer.rows for writer in writers.values()]} episodes of {episodes} were written")
        # Without a record there is no batch, so a kill during the renames cannot mix old and new arrays
        # (test_a_batch_killed_between_two_renames_is_old_new_or_missing).
        record_path(kind, b).unlink(missing_ok=True)
    write_json(record_path(kind, b), asdict(Record(settings, episodes, time_steps, hashes)))


@dataclass(frozen=True)
class Batch:
    """A batch on disk: number, record, and arrays that are read in parts."""

    number: int
    record: Record
    arrays: dict[str, ArrayFile]

    def __getitem__(self, name: str) -> ArrayFile:
        return self.arrays[name]

    @property
    def episodes(self) -> int:
        return self.record.episodes

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps of each episode of an rnn batch, without padding."""
        assert isinstance(self.record.settings, RNNSettings)
        return self.record.settings.lengths

    def transitions(self, episodes: int | slice | np.ndarray) -> np.ndarray:
        """Mask of the recorded steps, bool (..., T - 1), of some episodes of an rnn batch; the others are padding."""
        return np.arange(1, self.record.time_steps) < np.array(self.lengths)[episodes][..., None]

    @property
    def hash(self) -> str:
        """One hash of all arrays, 16 hex digits."""
        return hashlib.sha256("".join(sorted(self.record.sha256.values())).encode()).hexdigest()[:16]


def read_record(kind: str, b: int) -> Record | None:
    """Return the record of a batch, or None if the batch does not exist; UserError for a malformed record."""
    path, remedy = record_path(kind, b), f"delete {record_path(kind, b)} and run {MAKER[kind]} again"
    if not path.exists():
        return None
    record = read_json(path)
    types = {"settings": dict, "episodes": int, "time_steps": int, "sha256": dict}
    valid = isinstance(record, dict) and all(type(record.get(key)) is expected for key, expected in types.items())
    valid = valid and record["episodes"] >= 1 and record["time_steps"] >= 2
    if not valid or dict.fromkeys(KINDS[kind], str) != {key: type(value) for key, value in record["sha256"].items()}:
        raise UserError(f"{path} is not a batch record: {remedy}")
    settings = read_settings(SETTINGS[kind], record["settings"], str(path), remedy)
    return Record(settings, record["episodes"], record["time_steps"], record["sha256"])


def existing_record(kind: str, b: int) -> Record:
    """The record of a batch; UserError if it is malformed or the batch does not exist."""
    record = read_record(kind, b)
    if record is None:
        raise UserError(f"batch {b}: {record_path(kind, b)} is not there: run {MAKER[kind]} first")
    return record


def open_batch(kind: str, b: int) -> Batch:
    """Open batch `b` after checking shapes, dtypes and hashes (about one second per gigabyte).

    Raises:
        UserError: the batch is missing, or its arrays do not match its record.
    """
    record = existing_record(kind, b)
    arrays = {}
    for name, (dtype, _, _) in record.settings.arrays.items():
        path = array_path(name, b)
        arrays[name] = open_array(path, dtype, array_shape(record.settings, name, record.episodes, record.time_steps))
        if file_hash(path) != record.sha256[name]:
            remedy = f"delete {record_path(kind, b)} and run {MAKER[kind]} again"
            raise UserError(f"{path} was changed after it was written: {remedy}")
        floats = arrays[name].dtype.kind == "f"
        if floats and not all(is_finite(arrays[name][episode]) for episode in range(record.episodes)):
            remedy = f"delete {record_path(kind, b)}, fix the cause and run {MAKER[kind]} again"
            raise UserError(f"{path} contains values that are not finite: {remedy}")
    return Batch(b, record, arrays)


def find_batches(kind: str, start_batch: int = 0, max_batch: int | None = None) -> list[int]:
    """Return the numbers of the batches start_batch..max_batch, inclusive; None means all from start_batch on.

    Raises:
        UserError: there is no batch, or a batch of the range is missing.
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
    """Open a range of batches; with `episodes`, only the first ones that together hold that many episodes."""
    batches, total = [], 0
    for b in find_batches(kind, start_batch, max_batch):
        batches.append(open_batch(kind, b))
        total += batches[-1].episodes
        if batches[-1].record.time_steps != batches[0].record.time_steps:
            first, last = (batch.record.time_steps for batch in (batches[0], batches[-1]))
            raise UserError(f"batches {batches[0].number} and {b} have {first} and {last} time steps per episode")
        if episodes is not None and total >= episodes:
            break
    return batches


def select_batches(start_batch: int, max_batch: int | None, episodes: int | None, time_steps: int | None) -> list[int]:
    """The numbers of the obs batches of a range; with `episodes`, only the first ones that together hold that many.

    Raises:
        UserError: a batch is missing, an episode has another number of steps than `time_steps`, or environments are
            mixed.
    """
    numbers, total, settings = [], 0, []
    for b in find_batches("obs", start_batch, max_batch):
        record = existing_record("obs", b)
        check_time_steps(time_steps, record)
        numbers.append(b)
        settings.append(record.settings)
        total += record.episodes
        if episodes is not None and total >= episodes:
            break
    environments_of(settings)
    return numbers


def check_time_steps(time_steps: int | None, record: Record) -> None:
    """Check the tutorial's flag --time_steps of 02 and 03, which repeats what stage 01 has recorded."""
    if time_steps not in (None, record.time_steps):
        found = f"the recorded episodes have {record.time_steps} steps, set by 01 --time_steps"
        raise UserError(f"--time_steps {time_steps}: {found}: leave the flag out, or record others")


def environments_of(settings: Iterable[BatchSettings]) -> tuple[str, ...]:
    """The environments of some batches, sorted.

    Raises:
        UserError: there are several, none is a variant of the other, and not one --run_all_envs command recorded all.
    """
    first, *others = settings
    for other in others:
        together = first.run_all_envs == other.run_all_envs and first.run_all_envs != ()
        if not together and not are_variants(first.env, other.env):
            found = f"the batches are of environments {first.env} and {other.env}, not of one --run_all_envs command"
            raise UserError(f"{found}: choose batches by --start_batch and --max_batch, or use another folder")
    return tuple(sorted({first.env, *(other.env for other in others)}))


def find_batches_of(env_name: str, kind: str) -> list[int]:
    """Return the numbers of the batches recorded in one environment; UserError if there is none."""
    records = {b: read_record(kind, b) for b in find_batches(kind)}
    numbers = [b for b, record in records.items() if record is not None and record.settings.env == env_name]
    if not numbers:
        raise UserError(f"no {kind} batch of environment '{env_name}' in {config.DATA_DIR}/: run {MAKER[kind]} first")
    return numbers


def recorded_in() -> str | None:
    """The environment of all obs batches of the working directory; None where there is none, or are several."""
    with suppress(UserError):
        records = [existing_record("obs", b) for b in find_batches("obs")]
        names = {record.settings.env for record in records}
        return names.pop() if len(names) == 1 else None
    return None


def open_batches_of(env_name: str, kind: str) -> Iterator[Batch]:
    """Open the batches recorded in one environment lazily, in order."""
    return map(partial(open_batch, kind), find_batches_of(env_name, kind))


def combined_hash(batches: list[Batch]) -> str:
    """One hash of several batches, 16 hex digits."""
    return hashlib.sha256("".join(batch.hash for batch in batches).encode()).hexdigest()[:16]


def check_vae(batches: list[Batch], vae_hash: str) -> None:
    """Check that the VAE with this hash encoded these rnn batches: the latents of two VAEs are not interchangeable.

    Raises:
        UserError: another VAE encoded a batch, or its record lacks valid episode lengths.
    """
    for batch in batches:
        encoder, lengths = batch.record.settings.vae_hash, batch.lengths
        if encoder != vae_hash:
            what = f"batch {batch.number} was encoded by VAE {encoder}, {config.VAE_DIR}/ holds {vae_hash}"
            raise UserError(f"{what}: run {MAKER['rnn']} again")
        if len(lengths) != batch.episodes or not 1 <= min(lengths) <= max(lengths) <= batch.record.time_steps:
            raise UserError(f"{record_path('rnn', batch.number)} lacks the episodes' lengths: run {MAKER['rnn']} again")


def claim_batch(kind: str, b: int) -> AbstractContextManager[bool]:
    """Lock batch `b` for writing: a context that yields whether this process got the lock."""
    return claim(config.DATA_DIR / f".{kind}_{b}.lock")


def real_steps(done: np.ndarray) -> np.ndarray:
    """Mask of the recorded frames, bool (episodes, time_steps); frames after the first `done` are zero padding."""
    real = np.ones(done.shape, bool)
    real[:, 1:] = ~done[:, :-1]
    return real


HELD_OUT = 0.1  # share of the episodes that are for validation


def split_episodes(episodes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split 0..episodes-1 at random into sorted training and validation episodes, at least one each."""
    if episodes < 2:
        raise UserError(f"{episodes} episode is too few for training and validation: generate at least 2")
    order = rng("held_out", seed).permutation(episodes)
    held_out = max(1, round(HELD_OUT * episodes))
    return np.sort(order[held_out:]), np.sort(order[:held_out])
