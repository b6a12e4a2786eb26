"""Atomic writes, json, hashes and locks."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from pipeline.errors import UserError, first_line


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless they exist.

    Raises:
        OSError: it cannot be made. Its message names the target of a link that leads nowhere, as after an unmount.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        links = [path for path in (folder, *folder.parents) if path.is_symlink() and not path.exists()]
        if links:
            raise OSError(f"{links[0]} is a link to {os.readlink(links[0])}, which is not there") from None
        raise


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` on success; on failure `path` is unchanged.

    Raises:
        UserError: the file cannot be written, for instance because the disk is full.
    """
    path = Path(path)
    part = path.with_name(f".part-{path.name}")  # keeps the suffix, which NumPy and Keras check
    try:
        make_folder(path.parent)
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BrokenPipeError:  # of the terminal or of a pipe, to which progress is written: not of the file
        raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {first_line(error)}; the existing file is unchanged") from error
    finally:
        with suppress(OSError):  # already renamed, or never created
            part.unlink()


def check_folder(folder: Path) -> None:
    """Check before hours of work that files can be written into a folder; UserError if not."""
    try:
        make_folder(folder)
        with NamedTemporaryFile(prefix=".part-", dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write into {folder}/: {first_line(error)}") from None


def check_new_folder(folder: Path) -> None:
    """As `check_folder`, of a folder that is to be written anew; UserError also where it holds something."""
    check_folder(folder)
    if any(folder.iterdir()):
        raise UserError(f"{folder}/ is not empty: name a new folder")


def copy_file(source: Path, path: Path) -> None:
    """Copy a file to `path` as `atomic_write` does."""
    with atomic_write(path) as part:
        shutil.copyfile(source, part)


def check_disk(folder: Path, needed: int) -> None:
    """Print the disk space that is needed in `folder` (bytes) and the free space; UserError if it does not suffice."""
    folder = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    found = f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free"
    if needed > free:
        raise UserError(f"not enough disk in {folder.absolute()}: {found}")
    print(f"disk: {found}")


def write_text(path: Path | str, text: str) -> None:
    """Write text atomically, as UTF-8 in every locale."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: object) -> None:
    """Write json atomically; floats are written with full precision."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a json file, whose content the caller checks; UserError if it is missing or malformed."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not readable json: {first_line(error)}") from None


def file_hash(path: Path | str) -> str:
    """Return the first 16 hex digits of a file's SHA-256, by which records name the files they were made from."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from None


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Take the lock file `path` and yield whether this process got it.

    The lock is released when the process ends, even if it is killed.
    """
    try:
        make_folder(path.parent)
        file = open(path, "wb")
    except OSError as error:
        raise UserError(f"cannot write into {path.parent}/: {first_line(error)}") from None
    with file:
        locked = _lock(file)
        if not locked:  # a second time, since `is_locked` may hold it for an instant
            time.sleep(0.05)
            locked = _lock(file)
        yield locked


def _lock(file: IO[bytes], how: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file, if no process holds it; True on a file system without locks, which cannot tell."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file `path`; changes nothing. False where the file system has no locks."""
    try:
        with open(path, "rb") as file:
            return not _lock(file, fcntl.LOCK_SH)
    except OSError:  # no such file, or none that may be read
        return False


@contextmanager
def only_one(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock file `path`; UserError if another process holds it, because both would write the same files."""
    with claim(path) as locked:
        if not locked:
            raise UserError(f"another process is {doing}: wait for it, or stop it")
        yield


def check_same(what: str, saved: dict[str, Any], current: dict[str, Any], remedy: str) -> None:
    """Check that a run resumes under the settings that `what` was made with.

    Raises:
        UserError: a setting differs; the message names the first one and both values.
    """
    for key, value in current.items():
        if saved.get(key) != value:
            raise UserError(f"{what} was made with {key} = {saved.get(key)}, now it is {value}: {remedy}")
