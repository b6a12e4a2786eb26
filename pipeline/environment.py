"""Settings of a person's other work, in variables, that must not change this project's numbers or stop its scripts.

A library reads its variables when it loads, so `pipeline` calls this when it is imported, which scripts do first.
docs/determinism.md lists the variables.
"""

import os
import sys
import warnings

# Dropped, by prefix: they choose kernels, precision, thread counts, backends and limits.
DROPPED = ("KERAS_", "TF_", "TF2_", "XLA_", "ONEDNN_", "DNNL_", "NPY_", "OPENBLAS_CORETYPE", "OPENCV_", "MPLBACKEND")
# Kept: log levels, and how a GPU shares its memory.
KEPT = ("TF_CPP_", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_", "OPENCV_LOG_LEVEL")


def drop_settings() -> None:
    """Remove the variables of other work from this process and from those that it starts; no warning is an error."""
    for name in list(os.environ):
        if name.startswith(DROPPED) and not name.startswith(KEPT):
            del os.environ[name]
    # HDF5 locks each file that it opens. On NFS without a lock daemon the lock fails, and with it the opening. That two
    # processes write the same file is prevented by pipeline.files.only_one.
    os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
    # OpenCV wakes its threads for images as small as a frame, and they spin until the next one: a third of the
    # processor time of recording, for nothing.
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
    # Gymnasium's own games draw with SDL, for which the stages open no window; without a display it complains.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if any(option.startswith("e") for option in sys.warnoptions):  # PYTHONWARNINGS=error or python -W error
        warnings.resetwarnings()  # TensorFlow and Box2D warn as they load
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)  # as Python does by default
