"""The import of Keras and TensorFlow, their threads and seeds, and weight files.

All other modules import Keras and TensorFlow from here, so that their start-up messages are silenced in one place.
"""

import gc
import os
import platform
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write, file_hash, read_json, write_json
from pipeline.weights import read_metadata

__all__ = ("keras", "tf")  # exported from here besides what this module defines


# A gradient step runs as parallel parts of the batch, on one thread each: threads that share an operation wait for each
# other at its end. The number is fixed, so that results do not depend on the number of cores.
TOWERS = 4


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard what native code writes to stderr: TensorFlow's first messages ignore every log level."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


@contextmanager
def _quick_import() -> Iterator[None]:
    """Import Keras in two thirds of the time: without garbage collection and matplotlib, which its galleries use.

    None in sys.modules makes `import matplotlib` an ImportError, as on a machine without it; Keras expects that.
    """
    hidden = "matplotlib" not in sys.modules
    if hidden:
        sys.modules.update({"matplotlib": None})  # type: ignore[dict-item]  # what the import system accepts
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what was imported stays: later collections need not visit it
        if collecting:
            gc.enable()
        if hidden:
            del sys.modules["matplotlib"]


def _warn_of_memory_limit() -> None:
    """Say what a limit of the address space may lead to: TensorFlow ends a process that hits it by a signal."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found = f"`ulimit -v` allows this process {limit / 1e9:.1f} GB of addresses"
        print(f"{found}: where TensorFlow then aborts (std::bad_alloc), raise that limit", file=sys.stderr, flush=True)


@contextmanager
def _default_settings() -> Iterator[None]:
    """Import Keras without the keras.json of other work, and without writing one."""
    os.environ["KERAS_HOME"] = os.devnull  # not a folder, so nothing is found in it
    try:
        yield
    finally:
        del os.environ["KERAS_HOME"]


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
_warn_of_memory_limit()
try:
    with _silent_stderr(), _quick_import(), _default_settings():
        import keras
        import tensorflow as tf
except ImportError as error:  # also where a limit leaves no room for its libraries
    raise UserError(f"TensorFlow does not load ({first_line(error)})") from None
keras.config.set_dtype_policy("float32")  # in case that Keras was imported, and set up otherwise, before this module
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
keras.config.set_epsilon(1e-7)


def traced(function: Callable[..., Any], *signature: Any, **options: Any) -> Callable[..., Any]:
    """Trace a function of tensors once, for arguments of the given tf.TensorSpec.

    A tf.function compares its arguments with its traces at every call: 0.15 ms, of 0.5 in M's step.
    """
    graph = tf.function(function, input_signature=signature, autograph=False, **options)
    concrete: Callable[..., Any] = graph.get_concrete_function()
    return concrete


def use_one_cpu_thread() -> None:
    """Keep TensorFlow on one CPU thread and off every GPU, for a rank; RuntimeError after its first operation."""
    tf.config.set_visible_devices([], "GPU")
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def use_one_thread_per_operation() -> None:
    """Run each TensorFlow operation on one thread, independent ones side by side; before its first operation.

    For a network whose parallel parts are balanced: threads that share a small operation wait for each other.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)


def towers(array: tf.Tensor) -> list[tf.Tensor]:
    """Split the rows of an array into TOWERS parts; some have none where there are fewer rows than parts."""
    ends = tf.range(TOWERS + 1) * tf.shape(array)[0] // TOWERS
    parts: list[tf.Tensor] = tf.split(array, ends[1:] - ends[:-1], num=TOWERS)
    return parts


def seed_everything(seed: int) -> None:
    """Seed the initial weights and make every TensorFlow operation deterministic."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def versions() -> dict[str, str]:
    """The versions of Python and the libraries, as stored in metadata."""
    return {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}


HDF5_OVERHEAD = 2**20  # bytes that a weight file may need in addition to the weights


def save_weights(model: keras.Model, path: Path, metadata: dict[str, Any]) -> None:
    """Write the weights of an uncompiled model to `path` (HDF5) and their metadata to the .json beside it.

    Raises:
        UserError: a file cannot be written.
    """
    # Keras 3 only writes and reads names that end in .weights.h5, while the tutorial's file is vae/weights.h5: hence
    # the alias here and in load_weights (test_saved_weights_are_the_same_network in test_vae.py). A compiled model's
    # file would also contain the optimizer.
    metadata_path = path.with_suffix(".json")
    with atomic_write(path) as part:
        alias = part.with_suffix(".weights.h5")
        try:
            # HDF5 crashes the process on a full disk, so reserve the space first (test_a_full_disk in
            # test_bad_input.py).
            alias.write_bytes(bytes(HDF5_OVERHEAD + sum(weight.nbytes for weight in model.get_weights())))
            model.save_weights(alias)
            os.replace(alias, part)
        finally:
            alias.unlink(missing_ok=True)
        metadata_path.unlink(missing_ok=True)  # a kill before the next line must not leave metadata of other weights
    write_json(metadata_path, metadata | {"weights_sha256": file_hash(path)})


def are_saved(path: Path, metadata: dict[str, Any]) -> bool:
    """Whether `save_weights(…, path, metadata)` has finished and neither of its files has changed since."""
    try:
        return bool(read_json(path.with_suffix(".json")) == metadata | {"weights_sha256": file_hash(path)})
    except UserError:
        return False


def load_weights(model: keras.Model, path: Path, maker: str) -> str:
    """Load weights into `model` and return their hash.

    Args:
        maker: the command that produces the file, for the error message.

    Raises:
        UserError: the file is missing, damaged or of another network.
    """
    if not path.exists():
        raise UserError(f"{path} is not there: run {maker} first")
    digest = file_hash(path)
    read_metadata(path)
    with TemporaryDirectory() as folder:
        alias = Path(folder) / "network.weights.h5"  # see save_weights
        alias.symlink_to(path.resolve())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # Keras only warns about layers missing from the file
                model.load_weights(alias)
        except Exception as error:  # Keras and h5py raise many types of error on a damaged file
            if _is_of_keras_2(path):
                what = f"{path} holds weights of Keras 2, whose format Keras 3 does not read"
                raise UserError(f"{what}: train anew, with {maker} --new_model") from None
            what = f"{path} does not fit this {model.name}: another architecture, or a damaged file"
            raise UserError(f"{what} ({first_line(error)})") from None
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise UserError(f"{path} contains values that are not finite")
    return digest


def _is_of_keras_2(path: Path) -> bool:
    """Whether a file was written by `save_weights` or `save` of Keras 1, Keras 2 or tf.keras, as HDF5."""
    try:
        with h5py.File(path, "r") as file:
            return "layer_names" in file.attrs or "model_weights" in file
    except Exception:  # h5py raises many types of error on a damaged file
        return False
