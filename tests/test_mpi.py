"""Real processes under a real mpirun: how work is dealt, and how a run ends."""

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
SOON = 10  # seconds within which a broken or stopped run must be over
LIMIT = 60  # seconds after which a program is taken to hang

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program of this folder in a process group of its own; whatever a failed test leaves is killed."""
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
    """The json that a program which must succeed prints last."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def start_working(start: Start, ranks: int, before: tuple = ()) -> tuple[subprocess.Popen, list[int]]:
    """A program at work, and the pids that rank 0 printed, by rank."""
    process = start("work_on.py", ranks, before=before)
    pids = []
    for line in process.stdout:
        if line.startswith("working"):
            break
        pids.append(int(re.match(rf"rank {len(pids)} = pid (\d+) on ", line)[1]))
    return process, pids


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and awaits its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def parent_of(pid: int) -> int:
    """Who started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def all_gone(pids: list[int]) -> bool:
    """Whether no process is left, with SOON seconds to leave."""
    deadline = time.monotonic() + SOON
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


# --- work ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_results_do_not_depend_on_the_number_of_ranks(start: Start, ranks: int) -> None:
    told = last_line(start("squares.py", ranks))
    assert told["results"] == [[i**2 for i in range(length)] for length in (0, 1, 2, 5, 40)]
    assert told["size"] == ranks
    assert told["threads"] == dict.fromkeys(mpi.ONE_THREAD, "1")


def test_mpirun_is_weight_of_the_number_of_ranks(start: Start) -> None:
    mpirun = Path(sys.executable).with_name("mpirun")
    told = last_line(start("squares.py", 5, before=(mpirun, "-np", "2")))
    assert told["size"] == 2
    assert told["threads"] == dict.fromkeys(mpi.ONE_THREAD, "1")


def test_one_rank_needs_no_mpi(start: Start) -> None:
    assert last_line(start("squares.py", 1, PATH=""))["mpi"] is False


def test_a_thread_count_that_the_user_set_stands(start: Start) -> None:
    assert last_line(start("squares.py", 2, OMP_NUM_THREADS="2"))["threads"]["OMP_NUM_THREADS"] == "2"


def test_every_rank_gets_its_share_as_one_list(start: Start) -> None:
    told = last_line(start("shares.py", 3))
    assert told["shares"] == [list(range(7))[i % 3 :: 3] for i in range(7)]
    assert told["arrays"] == [[1_000_000, i + 1, i + 1] for i in range(4)]


def test_waiting_costs_next_to_no_processor_time(start: Start) -> None:
    seconds = last_line(start("idle.py", 3, 3))
    assert max(seconds) < 0.6, seconds  # a spinning rank would use up to 3, a polling one uses about 0.04


def test_the_wrong_number_of_results_is_refused() -> None:
    with pytest.raises(RuntimeError, match="3 tasks gave 1 results"):
        Ranks().map(lambda tasks: [sum(tasks)], [1, 2, 3])


# --- failure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (Path(sys.executable).with_name("mpirun"), "-np", "3")], ids=["", "mpirun"])
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_killed_rank_stops_all(start: Start, victim: int, before: tuple) -> None:
    process, pids = start_working(start, 3, before)
    os.kill(pids[victim], signal.SIGKILL)
    _, err = process.communicate(timeout=SOON)
    assert process.returncode != 0
    assert f"error: rank {victim} = pid {pids[victim]} died" in err  # mpirun itself names any of the dead
    assert all_gone(pids)


@pytest.mark.parametrize("ancestor", ["watcher", "proxy", "mpirun"])
def test_whatever_of_the_launcher_is_killed_all_stop(start: Start, ancestor: str) -> None:
    process, pids = start_working(start, 2)
    family = {"watcher": parent_of(pids[0])}
    family["proxy"] = parent_of(family["watcher"])
    family["mpirun"] = parent_of(family["proxy"])
    os.kill(family[ancestor], signal.SIGKILL)
    _, err = process.communicate(timeout=SOON)
    assert process.returncode != 0
    assert "Traceback" not in err
    assert all_gone([*pids, *family.values()])


@pytest.mark.parametrize("where", ["leader", "task", "late"])
def test_a_bug_aborts_the_run_and_names_its_rank(start: Start, where: str) -> None:
    process = start("fail.py", 3, where, "bug")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode not in (0, 2)
    assert f"[rank {int(where != 'leader')}] ZeroDivisionError: a bug" in err


@pytest.mark.parametrize("where", ["everywhere", "leader", "follower", "task", "late"])
def test_a_users_mistake_is_one_line_and_status_2(start: Start, where: str) -> None:
    process = start("fail.py", 3, where, "user")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert err.splitlines() == [f"{PROGRAMS / 'fail.py'}: error: the file is not there"]


def test_ranks_that_are_busy_are_not_waited_for(start: Start) -> None:
    process = start("fail.py", 3, "busy", "user")
    _, err = process.communicate(timeout=LIMIT / 2)
    assert process.returncode == 2
    assert err.splitlines()[0] == f"{PROGRAMS / 'fail.py'}: error: the file is not there"
    assert "Traceback" not in err


def test_a_mistake_without_mpi_is_the_same(start: Start) -> None:
    process = start("fail.py", 1, "leader", "user")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert err.splitlines() == [f"{PROGRAMS / 'fail.py'}: error: the file is not there"]


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 3])
def test_ctrl_c_ends_with_130(start: Start, ranks: int) -> None:
    process, pids = start_working(start, ranks)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert all_gone(pids)


def test_sigterm_ends_with_143(start: Start) -> None:
    process, pids = start_working(start, 3)
    process.terminate()
    _, err = process.communicate(timeout=SOON)
    assert process.returncode == 143
    assert "Traceback" not in err
    assert all_gone(pids)


@pytest.mark.parametrize("delay", [0.2, 0.3, 0.4])
def test_a_signal_while_the_ranks_start_is_not_lost(start: Start, delay: float) -> None:
    process = start("work_on.py", 3)
    time.sleep(delay)
    process.terminate()
    out, _ = process.communicate(timeout=SOON)
    assert process.returncode in (143, -signal.SIGTERM)  # which are the same to a shell
    assert all_gone([int(pid) for pid in re.findall(r"pid (\d+)", out)])


def test_a_killed_launcher_leaves_no_ranks_behind(start: Start) -> None:
    process, pids = start_working(start, 3)
    process.kill()
    assert all_gone(pids)


# --- launching -----------------------------------------------------------------------------------------------------


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*mpi.LAUNCHER_VARIABLES, "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("name", mpi.LAUNCHER_VARIABLES)
def test_a_launcher_is_recognised(plain_environment: pytest.MonkeyPatch, name: str) -> None:
    assert not mpi.under_launcher()
    plain_environment.setenv(name, "1")
    assert mpi.under_launcher()


def test_a_slurm_batch_shell_is_no_launcher(plain_environment: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_STEP_NUM_TASKS": "1"}.items():
        plain_environment.setenv(name, value)
    assert not mpi.under_launcher()


def test_srun_without_mpi_is_refused(plain_environment: pytest.MonkeyPatch) -> None:
    plain_environment.setenv("SLURM_STEP_NUM_TASKS", "16")
    with pytest.raises(UserError, match=r"srun made 16 processes .* srun --mpi=pmi2"):
        mpi.launch(16)


def test_a_missing_mpirun_names_the_remedy(plain_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_environment.setattr(sys, "executable", str(tmp_path / "python"))
    plain_environment.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="pip install mpich mpi4py"):
        mpi.launch(2)


def test_another_mpis_launcher_is_refused(start: Start) -> None:
    process = start("squares.py", 2, OMPI_COMM_WORLD_SIZE="4")
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert "this launcher made 4 processes, but mpi4py uses MPICH" in err
