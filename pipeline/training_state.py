"""Saved training states: named groups of arrays in one HDF5 file with a checksum."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write

DIGEST = hashlib.sha256().digest_size


def write_state(path: Path, metadata: dict[str, Any], groups: Mapping[str, Sequence[Any]]) -> None:
    """Write `metadata`, which json must be able to hold, and named lists of arrays or variables."""
    content = io.BytesIO()  # in memory: HDF5 crashes on a full disk
    with h5py.File(content, "w") as file:
        file.attrs["about"] = json.dumps(metadata)  # the name of version 0.1.0, kept so that its files load
        for group, arrays in groups.items():
            file.create_group(group)
            for i, array in enumerate(arrays):
                file.create_dataset(f"{group}/{i:03d}", data=np.asarray(array))
    with atomic_write(path) as part, open(part, "wb") as file:
        file.write(content.getbuffer())
        file.write(hashlib.sha256(content.getbuffer()).digest())  # after the end, which HDF5 ignores


def read_state(path: Path, remedy: str) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Read a file of `write_state`; returns its metadata and its groups of arrays.

    Args:
        remedy: how to start over, for the error message.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise ValueError("damaged, or of another version")
        with h5py.File(io.BytesIO(content[:-DIGEST]), "r") as file:
            metadata = json.loads(file.attrs["about"])
            return metadata, {name: [np.asarray(group[key]) for key in sorted(group)] for name, group in file.items()}
    except Exception as error:  # h5py raises many types of error on a damaged file
        raise UserError(f"{path} is not a training state ({first_line(error)}): {remedy}") from None


def check_arrays(path: Path, expected: Sequence[Any], found: Sequence[np.ndarray], remedy: str) -> None:
    """Check that the arrays found in `path` have the shapes of `expected` (arrays or variables) and finite values.

    Raises:
        UserError: the shapes are those of another architecture, or a value is not finite.
    """
    if [tuple(e.shape) for e in expected] != [f.shape for f in found]:
        raise UserError(f"{path} is the state of another architecture: {remedy}")
    if not all(np.isfinite(array).all() for array in found):
        raise UserError(f"{path} contains values that are not finite: {remedy}")


def restore(path: Path, variables: dict[str, list[Any]], groups: dict[str, list[np.ndarray]], remedy: str) -> None:
    """Assign the arrays of a saved state to `variables`, all or none; UserError if the shapes do not match."""
    for name in variables:
        check_arrays(path, variables[name], groups.get(name, []), remedy)
    for name in variables:
        for variable, array in zip(variables[name], groups[name], strict=True):
            variable.assign(array)
