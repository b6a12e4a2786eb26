"""What the networks need around them: TensorFlow without its noise, its threads, its seeds, files of weights.

This is the one place that imports TensorFlow: the arch.py files and training.py get it from here.
"""

import os
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write, file_hash, read_json, write_json
from pipeline.weights import training_settings


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what native code writes to stderr: TensorFlow's first lines do not ask any log level."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
with _silent_stderr():
    import keras
    import tensorflow as tf


def set_threads(threads: int) -> None:
    """Give TensorFlow this many threads, before its first operation; RuntimeError when it is too late for that."""
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def seed_everything(seed: int) -> None:
    """Make initial weights a function of `seed` and every operation deterministic."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def versions() -> dict[str, str]:
    """Versions worth keeping beside results."""
    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}


ROOM = 2**20  # bytes; what HDF5 may need besides the numbers


def save_weights(model: keras.Model, path: Path, metadata: dict) -> None:
    """Write the weights alone to `path` (HDF5), and what is known about them to the .json beside it.

    Keras insists on names that end in .weights.h5 and drags the optimizer of a compiled model along; readers of the
    tutorial expect vae/weights.h5. So an uncompiled model saves under another name, and the file is renamed.
    Where the disk is full HDF5 crashes: whether there is room is tried before.
    """
    about_path = path.with_suffix(".json")
    with atomic_write(path) as part:
        alias = part.with_suffix(".weights.h5")
        try:
            alias.write_bytes(bytes(ROOM + sum(weight.nbytes for weight in model.get_weights())))
            model.save_weights(alias)
            os.replace(alias, part)
        finally:
            alias.unlink(missing_ok=True)
        about_path.unlink(missing_ok=True)  # of other weights: better none than one that lies
    write_json(about_path, metadata | {"weights_sha256": file_hash(path)})


def are_saved(path: Path, metadata: dict) -> bool:
    """Whether `save_weights(…, path, about)` ran to its end, and neither file was changed since."""
    try:
        return read_json(path.with_suffix(".json")) == metadata | {"weights_sha256": file_hash(path)}
    except UserError:
        return False


def load_weights(model: keras.Model, path: Path, maker: str) -> str:
    """Load weights into `model` and return their hash.

    Raises:
        UserError: there are none (`maker` is the script that makes them), or they are damaged or of another network.
    """
    if not path.exists():
        raise UserError(f"{path} is not there: run {maker} first")
    digest = file_hash(path)
    training_settings(path)
    with TemporaryDirectory() as folder:
        alias = Path(folder) / "network.weights.h5"
        alias.symlink_to(path.resolve())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # Keras only warns of layers that the file lacks
                model.load_weights(alias)
        except Exception as error:  # a damaged file makes its readers raise whatever they like
            what = f"{path} does not fit this {model.name}: another architecture, or broken"
            raise UserError(f"{what} ({first_line(error)})") from None
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise UserError(f"{path} holds numbers that are not finite")
    return digest
