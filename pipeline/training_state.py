"""Saved states of trainings: named groups of arrays in one HDF5 file with a checksum."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write

DIGEST = hashlib.sha256().digest_size


def write_state(path: Path, metadata: dict, groups: Mapping[str, Sequence]) -> None:
    """Write what resuming needs: `about`, which json can hold, and named lists of arrays or variables."""
    content = io.BytesIO()  # not the disk: where that is full, HDF5 crashes
    with h5py.File(content, "w") as file:
        file.attrs["about"] = json.dumps(metadata)
        for group, arrays in groups.items():
            file.create_group(group)
            for i, array in enumerate(arrays):
                file.create_dataset(f"{group}/{i:03d}", data=np.asarray(array))
    with atomic_write(path) as part, open(part, "wb") as file:
        file.write(content.getbuffer())
        file.write(hashlib.sha256(content.getbuffer()).digest())  # after the end, where HDF5 does not look


def read_state(path: Path, start: str) -> tuple[dict, dict[str, list[np.ndarray]]]:
    """Read what `write_state` wrote: about, and the groups of arrays.

    Raises:
        UserError: it is missing or damaged; `start` says how to start over.
    """
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise ValueError("damaged, or of another version")
        with h5py.File(io.BytesIO(content[:-DIGEST]), "r") as file:
            metadata = json.loads(file.attrs["about"])
            return metadata, {name: [np.asarray(group[key]) for key in sorted(group)] for name, group in file.items()}
    except Exception as error:  # a damaged file makes its readers raise whatever they like
        raise UserError(f"{path} is not a training state ({first_line(error)}): {start}") from None


def check_arrays(path: Path, expected: Sequence, found: Sequence[np.ndarray], start: str) -> None:
    """Refuse arrays of other shapes than `expected`, a list of arrays or variables, and numbers that are not finite.

    Raises:
        UserError: `path`, where they were found, is of another architecture, or spoilt; `start` says how to start.
    """
    if [tuple(e.shape) for e in expected] != [f.shape for f in found]:
        raise UserError(f"{path} is the state of another architecture: {start}")
    if not all(np.isfinite(array).all() for array in found):
        raise UserError(f"{path} holds numbers that are not finite: {start}")


def restore(path: Path, variables: dict[str, list], groups: dict[str, list], start: str) -> None:
    """Give variables the arrays that a state holds for them, all or none; UserError when these are not theirs."""
    for name in variables:
        check_arrays(path, variables[name], groups.get(name, []), start)
    for name in variables:
        for variable, array in zip(variables[name], groups[name], strict=True):
            variable.assign(array)
