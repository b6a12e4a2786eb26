"""Saved searches: settings, coordinates and fitness history in one .npz, without pickles."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write

COORDINATE = "coordinates/"  # prefix of the arrays in the file that are not ours to understand


@dataclass(frozen=True)
class Search:
    """What a search is: its settings, the coordinates it searches in, and the fitness told (generations, popsize)."""

    settings: dict
    coordinates: dict[str, np.ndarray]
    fitness: np.ndarray


def save_search(path: Path | str, settings: dict, coordinates: dict[str, np.ndarray], fitness: np.ndarray) -> None:
    """Write a search as .npz; `settings` must be what json can hold, `fitness` is (generations, popsize)."""
    fitness = np.asarray(fitness, np.float64)
    _check_history(path, coordinates, fitness)
    arrays = {COORDINATE + name: array for name, array in coordinates.items()}
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez(file, settings=json.dumps(settings, allow_nan=False), fitness=fitness, **arrays)


def load_search(path: Path | str) -> Search:
    """Read what `save_search` wrote; UserError when the file is missing, broken or something else."""
    try:
        arrays = _read_arrays(Path(path))
        settings, fitness = json.loads(str(arrays["settings"])), arrays["fitness"]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except KeyError as error:
        raise UserError(f"{path} is not a saved search: it holds no {error}") from None
    except Exception as error:  # a damaged archive makes its readers raise whatever they like
        raise UserError(f"{path} is not a saved search, or is damaged: {first_line(error)}") from None
    coordinates = {key.removeprefix(COORDINATE): array for key, array in arrays.items() if key.startswith(COORDINATE)}
    if not isinstance(settings, dict):
        raise UserError(f"{path} is not a saved search: its settings are no table")
    _check_history(path, coordinates, fitness)
    return Search(settings, coordinates, fitness)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz, in memory; a pickle inside is refused, not run, and so is what may be a zip bomb."""
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("it is a single array")
    with archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.zip.infolist()):
            raise ValueError("it is compressed, as no search is")
        return dict(archive)


def _check_history(path: Path | str, coordinates: dict[str, np.ndarray], fitness: np.ndarray) -> None:
    if fitness.dtype != np.float64 or fitness.ndim != 2:
        raise UserError(f"{path}: fitness must be float64 (generations, popsize), not {fitness.dtype} {fitness.shape}")
    for name, array in {"fitness": fitness, **coordinates}.items():
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise UserError(f"{path}: {name} holds something that is not a finite number")
