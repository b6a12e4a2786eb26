"""The error type for mistakes that a user can correct, and the wording of caught errors."""

import errno
import os


class UserError(Exception):
    """A wrong input, file or setting: one line that says what is wrong, where, and what to do. Exit status 2."""


# What to do about an error of the system, where its name does not say it.
REMEDIES = {
    errno.EMFILE: "this process may open no more files, see `ulimit -n`",
    errno.ENFILE: "the machine may open no more files",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is full, see `quota`",
    errno.EFBIG: "the file system or `ulimit -f` allows no larger file",
    errno.EROFS: "the disk is mounted for reading only",
}


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its type if the message is empty.

    An error of the system is its name, without the path, and what to do about it.
    """
    if isinstance(error, OSError) and error.errno:
        name = os.strerror(error.errno)
        return f"{name} ({REMEDIES[error.errno]})" if error.errno in REMEDIES else name
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or TensorFlow, which this module does not import, says that memory is short."""
    no_primitive = "could not create a primitive" in str(error)  # oneDNN's words for it
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError" or no_primitive
