"""Tests of MPI ranks with real processes: distribution of tasks, failures, signals, launchers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from simulation import launch as mpi
from simulation.ranks import Ranks

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(__file__).parent / "mpi_programs"
STOP_LIMIT = 10  # seconds within which a broken or stopped run must end
LIMIT = 60  # seconds after which a program is assumed to hang

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program of mpi_programs/ in a process group of its own; kills what a failed test leaves running."""
    started = []

    def start(program: str, *arguments: object, before: tuple = (), **environment: str) -> subprocess.Popen:
        inherited = {k: v for k, v in os.environ.items() if k not in (*mpi.ONE_THREAD, *mpi.LAUNCHER_VARIABLES)}
        started.append(
            subprocess.Popen(
                [*before, sys.executable, str(PROGRAMS / program), *map(str, arguments)],
                env={**inherited, "PYTHONPATH": str(ROOT), **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def last_line(process: subprocess.Popen) -> object:
    """The json in the last line of a program's output; the program must succeed."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def start_working(start: Start, ranks: int, before: tuple = ()) -> tuple[subprocess.Popen, list[int]]:
    """A program that works for two minutes, and the pids of its ranks."""
    process = start("long_work.py", ranks, before=before)
    pids = []
    for line in process.stdout:
        if line.startswith("working"):
            break
        pids.append(int(re.match(rf"rank {len(pids)} = pid (\d+) on ", line)[1]))
    return process, pids


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def parent_of(pid: int) -> int:
    """The pid of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def all_gone(pids: list[int]) -> bool:
    """Whether all processes end within STOP_LIMIT seconds."""
    deadline = time.monotonic() + STOP_LIMIT
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_running, pids))


# --- work ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_results_do_not_depend_on_the_number_of_ranks(start: Start, ranks: int) -> None:
    found = last_line(start("squares.py", ranks))
    assert found["results"] == [[i**2 for i in range(length)] for length in (0, 1, 2, 5, 40)]
    assert found["size"] == ranks
    assert found["threads"] == dict.fromkeys(mpi.ONE_THREAD, "1")


def test_number_of_ranks_is_that_of_mpirun(start: Start) -> None:
    mpirun = Path(sys.executable).with_name("mpirun")
    found = last_line(start("squares.py", 5, before=(mpirun, "-np", "2")))
    assert found["size"] == 2
    assert found["threads"] == dict.fromkeys(mpi.ONE_THREAD, "1")


def test_one_rank_does_not_load_mpi(start: Start) -> None:
    assert last_line(start("squares.py", 1, PATH=""))["mpi"] is False


def test_thread_count_of_the_environment_is_not_taken(start: Start) -> None:
    """The numbers of a search depend on it."""
    for ranks in (1, 2):
        assert last_line(start("squares.py", ranks, OMP_NUM_THREADS="2"))["threads"] == dict.fromkeys(
            mpi.ONE_THREAD, "1"
        )


def test_each_rank_gets_its_share_as_one_list(start: Start) -> None:
    found = last_line(start("shares.py", 3))
    assert found["shares"] == [list(range(7))[i % 3 :: 3] for i in range(7)]
    assert found["arrays"] == [[1_000_000, i + 1, i + 1] for i in range(4)]


def test_waiting_uses_almost_no_processor_time(start: Start) -> None:
    seconds = last_line(start("waiting.py", 3, 3))
    assert max(seconds) < 0.6, seconds  # a spinning rank would use up to 3, a polling one uses about 0.04


def test_wrong_number_of_results_is_refused() -> None:
    ranks = Ranks()
    ranks.functions = {"sum": lambda tasks: [sum(tasks)]}
    with pytest.raises(RuntimeError, match="3 tasks gave 1 results"):
        ranks.map("sum", [1, 2, 3])


# --- failure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (Path(sys.executable).with_name("mpirun"), "-np", "3")], ids=["", "mpirun"])
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_killed_rank_stops_all_ranks(start: Start, victim: int, before: tuple) -> None:
    process, pids = start_working(start, 3, before)
    os.kill(pids[victim], signal.SIGKILL)
    _, err = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode != 0
    assert f"error: rank {victim} = pid {pids[victim]} died" in err  # mpirun itself names an arbitrary rank
    assert all_gone(pids)


@pytest.mark.parametrize("ancestor", ["watcher", "proxy", "mpirun"])
def test_killed_launcher_process_stops_all_ranks(start: Start, ancestor: str) -> None:
    process, pids = start_working(start, 2)
    ancestors = {"watcher": parent_of(pids[0])}
    ancestors["proxy"] = parent_of(ancestors["watcher"])
    ancestors["mpirun"] = parent_of(ancestors["proxy"])
    os.kill(ancestors[ancestor], signal.SIGKILL)
    _, err = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode != 0
    assert "Traceback" not in err
    assert all_gone([*pids, *ancestors.values()])


@pytest.mark.parametrize("where", ["leader", "task", "late"])
def test_exception_aborts_the_run_and_names_its_rank(start: Start, where: str) -> None:
    process = start("fail.py", 3, where, "bug")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode not in (0, 2)
    assert f"[rank {int(where != 'leader')}] ZeroDivisionError: a bug" in err


@pytest.mark.parametrize("where", ["everywhere", "leader", "follower", "task", "late"])
def test_user_error_is_one_line_and_status_2(start: Start, where: str) -> None:
    process = start("fail.py", 3, where, "user")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert err.splitlines() == [f"{PROGRAMS / 'fail.py'}: error: the file is not there"]


def test_busy_ranks_are_aborted_after_an_error(start: Start) -> None:
    process = start("fail.py", 3, "busy", "user")
    _, err = process.communicate(timeout=LIMIT / 2)
    assert process.returncode == 2
    assert err.splitlines()[0] == f"{PROGRAMS / 'fail.py'}: error: the file is not there"
    assert "Traceback" not in err


def test_user_error_without_mpi_is_the_same(start: Start) -> None:
    process = start("fail.py", 1, "leader", "user")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert err.splitlines() == [f"{PROGRAMS / 'fail.py'}: error: the file is not there"]


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 3])
def test_ctrl_c_exits_with_130(start: Start, ranks: int) -> None:
    process, pids = start_working(start, ranks)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole process group
    _, err = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert all_gone(pids)


def test_sigterm_exits_with_143(start: Start) -> None:
    process, pids = start_working(start, 3)
    process.terminate()
    _, err = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode == 143
    assert "Traceback" not in err
    assert all_gone(pids)


@pytest.mark.parametrize("delay", [0.2, 0.3, 0.4])
def test_signal_during_startup_is_not_lost(start: Start, delay: float) -> None:
    process = start("long_work.py", 3)
    time.sleep(delay)
    process.terminate()
    out, _ = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode in (143, -signal.SIGTERM)  # equal for a shell
    assert all_gone([int(pid) for pid in re.findall(r"pid (\d+)", out)])


def test_killed_command_leaves_no_ranks_running(start: Start) -> None:
    process, pids = start_working(start, 3)
    process.kill()
    assert all_gone(pids)


# --- launching -------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*mpi.LAUNCHER_VARIABLES, "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", mpi.LAUNCHER_VARIABLES)
def test_launcher_is_recognized(plain_environment: pytest.MonkeyPatch, name: str) -> None:
    assert not mpi.under_launcher()
    plain_environment.setenv(name, "1")
    assert mpi.under_launcher()


def test_slurm_batch_shell_is_not_a_launcher(plain_environment: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_STEP_NUM_TASKS": "1"}.items():
        plain_environment.setenv(name, value)
    assert not mpi.under_launcher()


def test_srun_without_mpi_is_refused(plain_environment: pytest.MonkeyPatch) -> None:
    plain_environment.setenv("SLURM_STEP_NUM_TASKS", "16")
    with pytest.raises(UserError, match=r"srun made 16 processes .* srun --mpi=pmi2"):
        mpi.launch(16)


def test_missing_mpirun_names_the_remedy(plain_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_environment.setattr(sys, "executable", str(tmp_path / "python"))
    plain_environment.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="pip install mpich mpi4py"):
        mpi.launch(2)


def test_launcher_of_another_mpi_is_refused(start: Start) -> None:
    process = start("squares.py", 2, OMPI_COMM_WORLD_SIZE="4")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert "this launcher made 4 processes, but mpi4py uses MPICH" in err
