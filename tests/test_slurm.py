"""recipes/cluster/slurm.sh under a Slurm of two nodes: jobs that end early in every way, and are resumed."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.clusters import RECIPES, SAYS_WHAT_IS_SAVED, SEARCH_FLAGS, ranks_of, results, rows_of, wait_for_rows
from helpers.hosts import wait_for
from helpers.programs import all_gone
from helpers.slurm import Slurm, needs_slurm, running_slurm

pytestmark = needs_slurm


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with running_slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


@pytest.fixture
def folder(copy_of: Callable[..., Path]) -> Path:
    """A folder with the files of a search."""
    return copy_of("data", "vae", "rnn")


def submit(slurm: Slurm, folder: Path, *options: str, flags: str = SEARCH_FLAGS) -> str:
    """Submit the recipe, for three ranks on two nodes; returns the job's number."""
    options = ("--nodes=2", "--ntasks=3", "--time=5", "--output=output", *options)
    return slurm.submit(*options, RECIPES / "slurm.sh", folder=folder, ARGS=flags)


def messages(output: Path) -> list[str]:
    """The lines by which the project says why a run has ended."""
    return [line for line in output.read_text().splitlines() if "05_train_controller.py: " in line]


def cancel(slurm: Slurm, job: str, ranks: list[int]) -> None:
    slurm.call("scancel", job)


def kill_a_rank(slurm: Slurm, job: str, ranks: list[int]) -> None:
    os.kill(ranks[2], signal.SIGKILL)


@pytest.mark.parametrize(
    ("stop", "state", "said"),
    [(cancel, "CANCELLED", SAYS_WHAT_IS_SAVED.pattern), (kill_a_rank, "FAILED", r"error: rank 2 = pid \d+ died")],
    ids=["scancel", "a killed rank"],
)
def test_a_stopped_job_ends_and_is_resumed(
    slurm: Slurm,
    folder: Path,
    unbroken: Path,
    stop: Callable[[Slurm, str, list[int]], None],
    state: str,
    said: str,
) -> None:
    job, output = submit(slurm, folder), folder / "output"
    wait_for_rows(output, 2)
    stop(slurm, job, ranks_of(output))
    assert slurm.wait_until_ended(job) == state
    assert all_gone(ranks_of(output))
    [line] = messages(output)
    assert re.search(said, line)
    assert results(folder) != results(unbroken)

    again = submit(slurm, folder)
    assert slurm.wait_until_ended(again) == "COMPLETED", output.read_text()
    assert "resuming controller/" in output.read_text()
    assert results(folder) == results(unbroken)


def test_before_the_time_limit_the_ranks_say_what_is_saved(slurm: Slurm, folder: Path) -> None:
    """Slurm counts in minutes, and may send the signal half a minute too early."""
    endless = f"{SEARCH_FLAGS} --generations 10000"
    job, output = submit(slurm, folder, "--time=1", "--signal=TERM@15", flags=endless), folder / "output"
    assert slurm.wait_until_ended(job) == "FAILED"
    [line] = messages(output)
    assert re.search(r": stopped; .*run the same command", line)
    assert all_gone(ranks_of(output))


def test_a_requeued_job_resumes(slurm: Slurm, folder: Path, unbroken: Path) -> None:
    """By `scontrol requeue`, and because a job of a higher priority needs the nodes; under the same number."""
    job, output = submit(slurm, folder), folder / "output"
    wait_for_rows(output, 2)
    slurm.call("scontrol", "requeue", job)
    wait_for(lambda: len(messages(output)) == 1)
    wait_for_rows(output, len(rows_of(output)) + 2)
    urgent = slurm.submit("--partition=urgent", "--nodes=2", "--exclusive", "--wrap=true", folder=folder)
    assert slurm.wait_until_ended(urgent) == "COMPLETED"
    assert slurm.wait_until_ended(job) == "COMPLETED", output.read_text()
    assert len(ranks_of(output)) == 9
    assert len(messages(output)) == 2
    assert results(folder) == results(unbroken)
