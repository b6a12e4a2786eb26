"""Atomic files, json, hashes and locks: what every stage reads and writes by."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from pipeline.errors import UserError, first_line


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


def check_disk(folder: Path, needed: int) -> None:
    """Print how much disk work in `folder` needs, in bytes, and how much is free; UserError when that is less."""
    folder = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(folder).free
    found = f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free"
    if needed > free:
        raise UserError(f"not enough disk in {folder.absolute()}: {found}")
    print(f"disk: {found}")


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


@contextmanager
def only_one(path: Path, doing: str) -> Iterator[None]:
    """Keep a second process from `doing` the same: two of them would overwrite each other's files."""
    with claim(path) as ours:
        if not ours:
            raise UserError(f"another process is {doing}: wait for it, or stop it")
        yield


def check_same(what: str, kept: dict, asked: dict, remedy: str) -> None:
    """Refuse to go on under other settings than those a file was made with, naming the first that differs.

    Raises:
        UserError: a setting differs.
    """
    for key, value in asked.items():
        if kept.get(key) != value:
            raise UserError(f"{what} was made with {key} = {kept.get(key)}, now it is {value}: {remedy}")
