"""Deterministic ways to damage a file: truncation, bit flips, wrong content, malicious content."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from pipeline.files import file_hash, read_json, write_json

Damage = Callable[[Path], None]
BOMB_BYTES = 2**28


class Trap:
    """An object that creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("sprung",)


def object_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([Trap()], object), allow_pickle=True)
    return content.getvalue()


@cache
def zip_bomb() -> bytes:
    """An .npz of a quarter of a megabyte that unpacks to BOMB_BYTES."""
    content, header = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (BOMB_BYTES,)})
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("settings.npy", header.getvalue() + bytes(BOMB_BYTES))
    return content.getvalue()


@cache
def hdf5_bomb() -> bytes:
    """An HDF5 file of some hundred bytes whose datasets have a declared size of four terabytes."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("layers/mu/vars/0", (2**40,), "f4", chunks=True)
        file.create_dataset("model/000", (2**40,), "f4", chunks=True)
    return content.getvalue()


def replaced_by(content: bytes) -> Damage:
    return lambda path: (path.unlink(), path.write_bytes(content))


def flipped(bit: int) -> Damage:
    """Flip one bit of the file, at an index modulo its length in bits."""

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        index, power = divmod(bit % (8 * len(content)), 8)
        content[index] ^= 1 << power
        path.write_bytes(content)

    return flip


def cut(keep: Callable[[int], int]) -> Damage:
    return lambda path: os.truncate(path, keep(path.stat().st_size))


def symlink_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


BITS = np.random.default_rng(0).integers(2**40, size=4).tolist()
ANY_FILE: dict[str, Damage] = {
    "empty": cut(lambda size: 0),
    "its first byte": cut(lambda size: 1),
    "its first half": cut(lambda size: size // 2),
    "all but its last two bytes": cut(lambda size: size - 2),
    "noise": replaced_by(np.random.default_rng(0).bytes(999)),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "an error page": replaced_by(b"<html>\n<h1>404</h1>\n</html>\n"),
    "a pickle": replaced_by(pickle.dumps(Trap())),
    "an object array": replaced_by(object_array()),
    "a zip bomb": lambda path: replaced_by(zip_bomb())(path),
    "an HDF5 bomb": lambda path: replaced_by(hdf5_bomb())(path),
    "deeply nested json": replaced_by(b"[" * 200_000),
    "a symlink loop": symlink_loop,
    "a folder": folder_instead,
}
FLIPS: dict[str, Damage] = {f"bit {bit} flipped": flipped(bit) for bit in BITS}


def json_edit(change: Callable[[object], object]) -> Damage:
    """Replace the json content by `change(content)`."""
    return lambda path: path.write_text(json.dumps(change(json.loads(path.read_text()))))


def edit(path: Path, **settings: object) -> None:
    """Change settings of a record in place."""
    json_edit(lambda record: record | {"settings": record["settings"] | settings})(path)


def without(key: str) -> Damage:
    return json_edit(lambda content: {k: v for k, v in content.items() if k != key})


def with_key(key: str, value: object) -> Damage:
    return json_edit(lambda content: content | {key: value})


def forged(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Change an array, and its hash in the record, so that only a check of the values can find it."""

    def forge(path: Path) -> None:
        record_path = path.with_name(f"{'rnn' if 'rnn' in path.name else 'obs'}_0.json")
        np.save(path, change(np.load(path)), allow_pickle=True)
        record = read_json(record_path)
        record["sha256"][path.stem.removesuffix("_0")] = file_hash(path)
        write_json(record_path, record)

    return forge


def with_one(number: float) -> Callable[[np.ndarray], np.ndarray]:
    def put(array: np.ndarray) -> np.ndarray:
        array.flat[array.size // 2] = number
        return array

    return put


def search_with(**changes: object) -> Damage:
    """Change settings (a value of ... deletes one) or arrays of a saved search."""

    def damage(path: Path) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        settings = json.loads(str(arrays["settings"]))
        for key, value in changes.items():
            place = arrays if isinstance(value, np.ndarray) else settings
            name = f"coordinates/{key}" if isinstance(value, np.ndarray) and key != "fitness" else key
            place[name] = value
        arrays["settings"] = json.dumps({key: value for key, value in settings.items() if value is not ...})
        np.savez(path, **arrays)

    return damage
