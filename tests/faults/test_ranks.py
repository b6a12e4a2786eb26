"""Tests of a real search on several ranks that is killed, interrupted and resumed."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tagged
from helpers.scripts import LIMIT, SEARCH, command, environment
from helpers.scripts import STAGES as ARGUMENTS
from stages import STAGES, committed

from pipeline import cli

CONTROLLER = STAGES["05"]
STOP_LIMIT = 10  # seconds within which a broken or stopped run must end
ENDLESS = ARGUMENTS[CONTROLLER.script].replace("--generations 3", "")
SAVED = f" saved in controller/{SEARCH}.es.npz; run the same command to resume\n"  # what a stopped search says
MPIRUN = str(Path(sys.executable).with_name("mpirun"))


@pytest.fixture
def folder(finished: Path, copy_of: Callable[..., Path]) -> Path:
    """A folder with the files that a search reads."""
    return copy_of("data", "vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")


@pytest.fixture
def uninterrupted(finished: Path) -> dict[str, object]:
    """Generations and evaluations of an uninterrupted search on two ranks."""
    return committed(finished, CONTROLLER)


@contextmanager
def started(folder: Path, arguments: str, before: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen, str]]:
    """Start a search; yields its process and the tag of all its processes, and kills what is left of them."""
    tag = uuid.uuid4().hex
    process = subprocess.Popen(
        [*before, *command(CONTROLLER.script, arguments)],
        cwd=folder,
        env=environment(**{tagged.VARIABLE: tag}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, tag
    finally:
        tagged.kill_all(tag)
        process.communicate()


def lines_until(process: subprocess.Popen, start: str) -> list[str]:
    """The lines that a search prints up to the first one that starts so, which is included."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return lines
    raise AssertionError(f"no '{start}' in {lines}; {process.stderr.read()}")


def kill_rank(rank: int) -> Callable[[subprocess.Popen, list[int]], tuple[set[int], str]]:
    """A function that kills a rank; it returns the exit statuses allowed then, and a part of the error message."""

    def kill(process: subprocess.Popen, pids: list[int]) -> tuple[set[int], str]:
        os.kill(pids[rank], signal.SIGKILL)
        return set(range(1, 256)), f"error: rank {rank} = pid {pids[rank]} died"

    return kill


def ctrl_c(process: subprocess.Popen, pids: list[int]) -> tuple[set[int], str]:
    """As a terminal does, to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)
    return {130}, SAVED


def terminate(process: subprocess.Popen, pids: list[int]) -> tuple[set[int], str]:
    process.terminate()
    return {143}, SAVED


def test_interrupted_search_equals_the_uninterrupted_one(folder: Path, uninterrupted: dict[str, object]) -> None:
    """Each start resumes the one before, and completes at least one generation."""
    generations = 0
    mpirun = (MPIRUN, "-np", "2")
    for stop, launcher in ((kill_rank(1), ()), (ctrl_c, ()), (terminate, ()), (terminate, mpirun), (kill_rank(0), ())):
        with started(folder, ENDLESS, launcher) as (process, tag):
            lines = lines_until(process, "evaluation: ")
            resuming = f"resuming controller/{SEARCH}.es.npz after generation {generations}\n"
            assert (resuming in lines) == (generations > 0)
            pids = [int(pid) for pid in re.findall(r"^rank \d+ = pid (\d+) on", "".join(lines), re.MULTILINE)]
            assert len(pids) == (2 if launcher else min(2, cli.cores()))
            statuses, message = stop(process, pids)
            _, err = process.communicate(timeout=STOP_LIMIT)
            assert process.returncode in statuses
            assert message in err
            assert "Traceback" not in err
            assert tagged.all_gone(tag, STOP_LIMIT)
        found = committed(folder, CONTROLLER)
        before, generations = generations, sum(name.startswith("generation") for name in found)
        assert generations > before
    assert generations >= 3
    assert uninterrupted.items() <= found.items()


@pytest.mark.parametrize("ranks", [1, cli.cores() + 1])
def test_search_does_not_depend_on_the_number_of_ranks(
    folder: Path, uninterrupted: dict[str, object], ranks: int
) -> None:
    """One rank, and more ranks than cores: on two cores three, which does not divide the population of 4."""
    with started(folder, f"{ENDLESS} --generations 2", (MPIRUN, "-np", str(ranks))) as (process, tag):
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, err
        assert tagged.all_gone(tag, STOP_LIMIT)
    assert out.count(" = pid ") == (ranks if ranks > 1 else 0)
    found = committed(folder, CONTROLLER)
    assert len(found) == 4
    assert found.items() <= uninterrupted.items()
