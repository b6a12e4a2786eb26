"""Fixtures that the tests share: one tiny run of all five stages, copies of its parts, TensorFlow on one thread."""

import pipeline  # noqa: F401  # before NumPy loads, as in the scripts: it drops variables that choose NumPy's kernels

# isort: split

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.clusters import SEARCH_FLAGS
from helpers.scripts import STAGES, run_script

# A shell starts background jobs with Ctrl-C ignored, and everything that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """A folder that is filled once for all test processes."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, complete = root / name, root / f"{name}.complete"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            folder.mkdir()
            fill(folder)
            complete.touch()
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only folder in which all five stages have run; `copy_of` copies from it."""

    def fill(folder: Path) -> None:
        for name, arguments in STAGES.items():
            run_script(folder, name, arguments)

    return once(tmp_path_factory, "finished", fill)


@pytest.fixture(scope="session")
def unbroken(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only folder with the search of helpers/clusters.py, run in one piece by a plain command."""

    def fill(folder: Path) -> None:
        for name in ("data", "vae", "rnn"):
            (folder / name).symlink_to(finished / name)
        run_script(folder, "05_train_controller.py", SEARCH_FLAGS)

    return once(tmp_path_factory, "unbroken", fill)


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
    """TensorFlow on one thread, as agents use it; the number must be set before its first operation."""
    from pipeline import networks as nets

    nets.use_one_cpu_thread()
    nets.seed_everything(0)


# The slowest files first, so that no worker is left alone with one of them at the end.
FIRST = ("studies", "own_environment", "bad_input", "memory", "report", "commands", "stages", "faults", "ranks")
FIRST += (
    "hosts",
    "shared_memory",
    "rank_jobs",
    "field",
    "collect",
    "baselines_scripts",
    "scores",
    "finite",
    "mpi",
    "slurm",
    "hostfile",
    "openmpi",
    "recipes",
    "machine",
    "play",
    "results",
    "browser",
)
# Files whose tests run stages, train networks or drive whole episodes; `make check` leaves them out.
SLOW = (*FIRST, "library", "tour", "hub", "pretrained", "original", "window", "old_files", "experiments_help", "viewer")
# The longest tests, with all of test_studies.py; `make test` leaves them out.
LONG = (
    "test_twenty_batches_need_no_more_memory_than_two",
    "test_run_all_envs_runs_all_five_stages",
    "test_the_curve_of_a_search_includes_the_search_that_it_started_from",
    "test_dream_of_an_agent_is_recorded",
    "test_a_thousand_resets_leak_nothing",
    "test_a_lack_of_memory_is_one_line",
    "test_the_score_command_records_what_the_agent_scored",
    "test_exploration_policy_scores_the_same_in_the_original",
    "test_killed_stage_resumes_to_the_uninterrupted_result",  # make faults does the same a hundred times
)


# Files whose tests must not be skipped: .ci/run names those for which it has installed what they need.
MUST_RUN = os.environ.get("MUST_RUN", "").split()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Count a skipped test of a file that must run as failed."""
    report = yield
    if report.skipped and item.path.stem in MUST_RUN:
        report.outcome, report.longrepr = "failed", f"skipped, but {item.path.stem} must run here: {report.longrepr}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the slow files to the front, and mark the tests that `make check` and `make test` leave out."""
    for item in items:
        if item.originalname in LONG or item.path.stem == "test_studies":
            item.add_marker(pytest.mark.long)
        trains = "finished" in item.fixturenames or "learns" in item.name
        if trains or item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker(pytest.mark.slow)
    order = {name: rank for rank, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem.removeprefix("test_"), len(FIRST)))
