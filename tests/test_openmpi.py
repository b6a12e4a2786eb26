"""recipes/cluster/openmpi.sh: stage 05 under Open MPI, which ends as under MPICH and gives the same numbers."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.clusters import RECIPES, SAYS_WHAT_IS_SAVED, SEARCH_FLAGS, needs, ranks_of, results, rows_of, wait_for_rows
from helpers.programs import MPIRUN, all_gone
from helpers.scripts import LIMIT, environment

pytestmark = needs("mpirun.openmpi")
RANKS = max(3, (os.cpu_count() or 1) + 1)
RECIPE = ("sh", RECIPES / "openmpi.sh")
DIED = re.compile(r"error: rank 2 = pid \d+ died \(SIGKILL\), and with it the run$", re.MULTILINE)


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """The environment of the recipe: more ranks than cores, and root as in containers."""
    return environment(
        MPIRUN="mpirun.openmpi",
        MPIRUN_ARGS="--oversubscribe --allow-run-as-root",
        RANKS=str(RANKS),
        ARGS=SEARCH_FLAGS,
    )


@pytest.fixture
def start(variables: dict[str, str], copy_of: Callable[..., Path]) -> Iterator[Callable[[], subprocess.Popen]]:
    """Starts the recipe in a folder with the files of a search, where its output is added to the file `output`."""
    folder, started = copy_of("data", "vae", "rnn"), []

    def start() -> subprocess.Popen:
        with open(folder / "output", "a") as output:
            started.append(
                subprocess.Popen(
                    RECIPE,
                    **{"cwd": folder, "env": variables, "start_new_session": True},
                    **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT},
                )
            )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_search_that_is_stopped_in_every_way_is_resumed(
    start: Callable[[], subprocess.Popen], tmp_path: Path, unbroken: Path
) -> None:
    """Ctrl-C and SIGTERM reach mpirun alone, as it passes them on; a killed rank ends the others."""
    output = tmp_path / "output"
    for number, said in (
        (signal.SIGINT, SAYS_WHAT_IS_SAVED),
        (signal.SIGTERM, SAYS_WHAT_IS_SAVED),
        (signal.SIGKILL, DIED),
    ):
        said_before, rows = len(said.findall(output.read_text())) if output.exists() else 0, len(rows_of(output))
        process = start()
        wait_for_rows(output, rows + 2)
        os.kill(ranks_of(output)[2 - RANKS] if number == signal.SIGKILL else process.pid, number)
        assert process.wait(LIMIT) not in (None, 0)
        assert all_gone(ranks_of(output))
        assert len(said.findall(output.read_text())) == said_before + 1, output.read_text()
        assert results(tmp_path) != results(unbroken)
    assert start().wait(LIMIT) == 0, output.read_text()
    assert len(ranks_of(output)) == 4 * RANKS
    assert results(tmp_path) == results(unbroken)
    assert "Traceback" not in output.read_text()


def test_an_mpirun_of_another_mpi_is_refused(variables: dict[str, str], tmp_path: Path) -> None:
    for name in (MPIRUN, "nowhere"):
        done = subprocess.run(
            RECIPE, cwd=tmp_path, env=variables | {"MPIRUN": str(name)}, capture_output=True, text=True, timeout=LIMIT
        )
        assert done.returncode == 2
        assert f"error: {name} is not Open MPI's" in done.stderr
