"""What the tests share: scripts run as a person runs them, and one small run of all five stages to look at."""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from simulation import launch as mpi

# A shell starts what runs in the background with Ctrl-C ignored, and so would everything that tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
LIMIT = 120  # seconds after which a script is taken to hang

# The README's order at a size that takes seconds. Two epochs, three generations: enough to be stopped in between.
STAGES = {
    "01_generate_data.py": "car_racing --total_episodes 6 --batch_size 3 --time_steps 40 --num_worker 2",
    "02_train_vae.py": "--new_model --epochs 2 --batch_size 20",
    "03_generate_rnn_data.py": "",
    "04_train_rnn.py": "--new_model --steps 4 --batch_size 2",
    "05_train_controller.py": "car_racing -n 2 -t 2 -e 1 --max_length 30 --eval_steps 1 --eval_episode 2"
    " --subspace 4 --joint_steps 2 --turn_steps 2 --generations 3",
}
SEARCH = "car_racing.cma.1.4"  # the name of that search


def command(name: str, *arguments: object, root: Path = ROOT) -> list[str]:
    """The command line of a script; an argument of several words counts as several."""
    return [sys.executable, str(root / name), *(word for argument in arguments for word in str(argument).split())]


def environment(**changes: str | None) -> dict[str, str]:
    """The environment for a script: nothing from an MPI launcher, no settled threads; None removes a variable."""
    inherited = {k: v for k, v in os.environ.items() if k not in (*mpi.ONE_THREAD, *mpi.LAUNCHER_VARIABLES)}
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


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder and its hash; a lock is no content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
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


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all five stages have run. Look, do not touch: `copy_of` gives one to work in."""
    folder = tmp_path_factory.mktemp("finished")
    for name, arguments in STAGES.items():
        run_script(folder, name, arguments)
    return folder


@pytest.fixture
def copy_of(finished: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies parts of the finished run, "data" or "vae/weights.h5", into this test's own folder."""

    def copy(*parts: str) -> Path:
        for part in parts:
            source, target = finished / part, tmp_path / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        return tmp_path

    return copy


@pytest.fixture(scope="session")
def one_thread() -> None:
    """TensorFlow on one thread, as agents use it: that has to be said before anything else is asked of it."""
    from pipeline import networks as nets

    nets.set_threads(1)
    nets.seed_everything(0)
