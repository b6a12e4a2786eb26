"""A .npy file of a batch, read in parts."""

import os
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError, first_line

OPEN_FILES = 32  # at once: a process may usually open 1,024, and a training may read thousands
INTEGERS = (int, np.integer)


@dataclass(frozen=True)
class ArrayFile:
    """An array in a .npy file, of which an index reads a part: `file[episode, step]`, `file[:, 0]`, `file[mask]`.

    A memory map would hold a file descriptor as long as it lives; here at most OPEN_FILES are open, however many arrays
    there are.

    Attributes:
        offset: bytes before the data.
        stamp: size in bytes and time of the last change (ns), by which a read notices that the file was replaced.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    stamp: tuple[int, int]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read a part into an array of its own. An index means what it means to NumPy; integers alone count from 0.

        Raises:
            UserError: the file cannot be read, or was changed since `open_array`.
        """
        integers = index if isinstance(index, tuple) else (index,)
        try:
            file = _open(self.path, self.stamp)
            if all(isinstance(i, INTEGERS) for i in integers):
                return self._read_block(file, integers)
            return np.array(np.memmap(file, self.dtype, "r", self.offset, self.shape)[index])
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {first_line(error)}") from None

    def _read_block(self, file: FileIO, integers: tuple[int, ...]) -> np.ndarray:
        block, number = np.empty(self.shape[len(integers) :], self.dtype), 0
        for i, size in zip(integers, self.shape, strict=False):
            if not 0 <= i < size:
                raise IndexError(f"{self.path} of shape {self.shape} has no {integers}")
            number = number * size + int(i)
        position, rest = self.offset + number * block.nbytes, block.reshape(-1).view(np.uint8).data
        while len(rest):  # more than once only beyond 2 GB, the most that one call reads
            count = os.preadv(file.fileno(), [rest], position)
            if not count:
                raise UserError(f"{self.path} was cut off while it was in use")
            position, rest = position + count, rest[count:]
        return block[()]  # a scalar where nothing is left of the shape, as in NumPy


@lru_cache(OPEN_FILES)  # a file that drops out is closed, since nothing else refers to it
def _open(path: Path, stamp: tuple[int, int]) -> FileIO:
    file = open(path, "rb", buffering=0)
    if _stamp_of(os.fstat(file.fileno())) != stamp:
        raise UserError(f"{path} was changed while it was in use: run the command again")
    return file


def _stamp_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def open_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> ArrayFile:
    """Open a .npy file for reading; UserError unless its dtype and shape are the expected ones."""
    try:
        stamp = _stamp_of(os.stat(path))
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from None
    except Exception as error:  # the parser raises many types of error on a damaged header
        raise UserError(f"{path} is not a readable .npy: {first_line(error)}") from None
    if not isinstance(array, np.memmap) or array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.memmap) else "another kind of file"
        raise UserError(f"{path} holds {found}, its record has {np.dtype(dtype)} {shape}")
    return ArrayFile(path, array.dtype, shape, array.offset, stamp)
