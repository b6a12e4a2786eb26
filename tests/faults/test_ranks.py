"""A real search on several ranks, stopped in every way there is: soon over, nobody left, and gone on with."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import machine
import pytest
from conftest import LIMIT, SEARCH, command, environment
from conftest import STAGES as ARGUMENTS
from stages import STAGES
from stages import finished as done_in

from pipeline import cli

CONTROLLER = STAGES["05"]
SOON = 10  # seconds within which a broken or stopped run must be over
ENDLESS = ARGUMENTS[CONTROLLER.script].replace("--generations 3", "")
MPIRUN = str(Path(sys.executable).with_name("mpirun"))


@pytest.fixture
def folder(finished: Path, copy_of: Callable[..., Path]) -> Path:
    """What a search needs."""
    return copy_of("data", "vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")


@pytest.fixture
def unbroken(finished: Path) -> dict[str, object]:
    """Generations and evaluations of the search of two ranks that nobody stopped."""
    return done_in(finished, CONTROLLER)


@contextmanager
def started(folder: Path, arguments: str, before: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen, str]]:
    """A search at work, and the word that all its processes carry; whatever is left of it in the end is killed."""
    word = uuid.uuid4().hex
    process = subprocess.Popen(
        [*before, *command(CONTROLLER.script, arguments)],
        cwd=folder,
        env=environment(**{machine.MARK: word}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, word
    finally:
        machine.kill_all(word)
        process.communicate()


def lines_until(process: subprocess.Popen, beginning: str) -> list[str]:
    """What a search says until it says a line that begins so, which comes last."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(beginning):
            return lines
    raise AssertionError(f"no '{beginning}' in {lines}; {process.stderr.read()}")


def kill_rank(rank: int) -> Callable[[subprocess.Popen, list[int]], tuple[set[int], str]]:
    """Kills a rank; returns with which status the search may end then, and what it must say."""

    def kill(process: subprocess.Popen, pids: list[int]) -> tuple[set[int], str]:
        os.kill(pids[rank], signal.SIGKILL)
        return set(range(1, 256)), f"error: rank {rank} = pid {pids[rank]} died"

    return kill


def ctrl_c(process: subprocess.Popen, pids: list[int]) -> tuple[set[int], str]:
    """As a terminal does: to the whole group."""
    os.killpg(process.pid, signal.SIGINT)
    return {130}, ""


def pre_emption(process: subprocess.Popen, pids: list[int]) -> tuple[set[int], str]:
    process.terminate()
    return {143}, ""


def test_a_search_stopped_in_every_way_is_the_unbroken_one(folder: Path, unbroken: dict[str, object]) -> None:
    """Every start goes on from what the one before it left, and does something before it is stopped itself."""
    done = 0
    for stop in (kill_rank(1), ctrl_c, pre_emption, kill_rank(0)):
        with started(folder, ENDLESS) as (process, word):
            said = lines_until(process, "evaluation: ")
            going_on = f"going on with controller/{SEARCH}.es.npz after generation {done}\n"
            assert (going_on in said) == (done > 0)
            pids = [int(pid) for pid in re.findall(r"^rank \d+ = pid (\d+) on", "".join(said), re.MULTILINE)]
            assert len(pids) == min(2, cli.cores())
            statuses, message = stop(process, pids)
            _, err = process.communicate(timeout=SOON)
            assert process.returncode in statuses
            assert message in err
            assert "Traceback" not in err
            assert machine.all_gone(word, SOON)
        left = done_in(folder, CONTROLLER)
        now = sum(name.startswith("generation") for name in left)
        assert now > done
        done = now
    assert done >= 3
    assert unbroken.items() <= left.items()


@pytest.mark.parametrize("ranks", [1, cli.cores() + 1])
def test_any_number_of_ranks_is_the_same_search(folder: Path, unbroken: dict[str, object], ranks: int) -> None:
    """One; more than there are cores, which does not divide the population of 4 where there are two."""
    with started(folder, f"{ENDLESS} --generations 2", (MPIRUN, "-np", str(ranks))) as (process, word):
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, err
        assert machine.all_gone(word, SOON)
    assert out.count(" = pid ") == (ranks if ranks > 1 else 0)
    left = done_in(folder, CONTROLLER)
    assert len(left) == 4
    assert left.items() <= unbroken.items()
