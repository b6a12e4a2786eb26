"""Saved searches: settings, coordinates and fitness history in one .npz file without pickles."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write

ZIP = b"PK"  # the first bytes of an archive
COORDINATE = "coordinates/"  # prefix, in the file, of the arrays that only the caller interprets


@dataclass(frozen=True)
class Search:
    """The content of a saved search: settings, the caller's arrays, and the fitness (generations, popsize)."""

    settings: dict[str, Any]
    coordinates: dict[str, np.ndarray]
    fitness: np.ndarray


def save_search(
    path: Path | str, settings: dict[str, Any], coordinates: dict[str, np.ndarray], fitness: np.ndarray
) -> None:
    """Write a search as .npz; json must be able to hold `settings`, and `fitness` is (generations, popsize)."""
    fitness = np.asarray(fitness, np.float64)
    _check_history(path, coordinates, fitness)
    arrays: dict[str, Any] = {COORDINATE + name: array for name, array in coordinates.items()}
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez(file, settings=json.dumps(settings, allow_nan=False), fitness=fitness, **arrays)


def load_search(path: Path | str) -> Search:
    """Read a file of `save_search`; UserError if it is missing, damaged or something else."""
    try:
        arrays = _read_arrays(Path(path))
        settings, fitness = json.loads(str(arrays["settings"])), arrays["fitness"]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except KeyError as error:
        raise UserError(f"{path} is not a saved search: it has no {error}") from None
    except Exception as error:  # zipfile and NumPy raise many types of error on a damaged archive
        raise UserError(f"{path} is not a saved search, or is damaged: {first_line(error)}") from None
    coordinates = {key.removeprefix(COORDINATE): array for key, array in arrays.items() if key.startswith(COORDINATE)}
    if not isinstance(settings, dict):
        raise UserError(f"{path} is not a saved search: its settings are not a dict")
    _check_history(path, coordinates, fitness)
    return Search(settings, coordinates, fitness)


def describe(path: Path) -> str:
    """What a saved search holds, in words; it was written whole."""
    rows = load_search(path).coordinates["rows"]
    return f"{len(rows)} generation{'s are' if len(rows) > 1 else ' is'} saved in {path}"


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, in memory; refuses pickles, which are not executed, and compressed (bomb) files."""
    with open(path, "rb") as file:
        if file.read(len(ZIP)) != ZIP:
            raise ValueError("it is no .npz archive")
    archive = np.load(path, allow_pickle=False)
    assert isinstance(archive, np.lib.npyio.NpzFile)  # as its first bytes say
    with archive:
        assert archive.zip is not None  # as long as it is open
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.zip.infolist()):
            raise ValueError("it is compressed, but saved searches are not")
        return dict(archive)


def _check_history(path: Path | str, coordinates: dict[str, np.ndarray], fitness: np.ndarray) -> None:
    if fitness.dtype != np.float64 or fitness.ndim != 2:
        raise UserError(f"{path}: fitness must be float64 (generations, popsize), not {fitness.dtype} {fitness.shape}")
    for name, array in {"fitness": fitness, **coordinates}.items():
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise UserError(f"{path}: {name} contains a value that is not a finite number")
