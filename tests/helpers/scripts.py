"""Scripts run as subprocesses, as a user runs them, and the tiny sizes that the tests run them at."""

import csv
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import h5py
import numpy as np

from pipeline.curves import EVENTS
from simulation.launch import LAUNCHER_VARIABLES, ONE_THREAD

ROOT = Path(__file__).parents[2]
LIMIT = 120  # seconds after which a script is taken to hang

# The README's order at a size that takes seconds. Two checkpoints, three generations: enough to be stopped in between.
STAGES = {
    "01_generate_data.py": "car_racing --total_episodes 6 --batch_size 3 --time_steps 40 --num_worker 2",
    "02_train_vae.py": "--new_model --epochs 2 --batch_size 20 --checkpoint_steps 10",
    "03_generate_rnn_data.py": "",
    "04_train_rnn.py": "--new_model --steps 4 --batch_size 2 --checkpoint_steps 2",
    "05_train_controller.py": "car_racing -n 2 -t 2 -e 1 --max_length 30 --eval_steps 1 --eval_episode 2"
    " --subspace 4 --generations 3",
}
SEARCH = "car_racing.cma.1.4"  # the name of that search


def command(name: str, *arguments: object, root: Path = ROOT) -> list[str]:
    """The command line of a script; an argument of several words counts as several."""
    return [sys.executable, str(root / name), *(word for argument in arguments for word in str(argument).split())]


def environment(**changes: str | None) -> dict[str, str]:
    """The environment for a script: nothing from an MPI launcher, no settled threads; None removes a variable."""
    inherited = {k: v for k, v in os.environ.items() if k not in (*ONE_THREAD, *LAUNCHER_VARIABLES)}
    return {k: v for k, v in {**inherited, **changes}.items() if v is not None}


def run_script(
    folder: Path, name: str, *arguments: object, ok: bool = True, root: Path = ROOT, **changes: str | None
) -> subprocess.CompletedProcess:
    """Run a script in a folder, where it leaves all its files; with `ok` it must succeed."""
    done = subprocess.run(
        command(name, *arguments, root=root),
        cwd=folder,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


def log_of(folder: Path, network: str) -> list[dict[str, float]]:
    """The rows of the log of a training of 02 or 04 in a folder; the network is "vae" or "rnn"."""
    with open(folder / network / "log.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All datasets of an HDF5 file."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def is_content(path: Path) -> bool:
    """Whether two runs of the same command leave this file alike: not a lock, nor an event file of TensorBoard.

    An event file holds wall times, and its name a time and a process; test_curves.py compares what else is in it.
    """
    return path.suffix != ".lock" and not path.match(EVENTS)


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder and its hash, without locks and curves."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and is_content(path))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def limit(what: int, size: int) -> Iterator[None]:
    """This process and its children have less of a resource, one of resource.RLIMIT_*, for a while."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def full_disk(size: int) -> AbstractContextManager[None]:
    """No file can grow beyond `size` bytes: a write past it fails as on a full disk."""
    return limit(resource.RLIMIT_FSIZE, size)
