"""Tests of MPI ranks with real processes: distribution of tasks, failures, signals, launchers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.programs import MPIRUN, PROGRAMS, STOP_LIMIT, Start, all_gone, programs, start_working

from pipeline.errors import UserError
from simulation import launch as mpi
from simulation.processes import is_running, parent_of, send
from simulation.ranks import Ranks

LIMIT = 60  # seconds after which a program is assumed to hang


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as start:
        yield start


def last_line(process: subprocess.Popen) -> object:
    """The json in the last line of a program's output; the program must succeed."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def last_word(process: subprocess.Popen) -> str:
    """The last word that a program prints; the program must succeed."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    return out.split()[-1]


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# --- work ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_results_do_not_depend_on_the_number_of_ranks(start: Start, ranks: int) -> None:
    found = last_line(start("squares.py", ranks))
    assert found["results"] == [[i**2 for i in range(length)] for length in (0, 1, 2, 5, 40)]
    assert found["size"] == ranks
    assert found["threads"] == dict.fromkeys(mpi.ONE_THREAD, "1")


def test_number_of_ranks_is_that_of_mpirun(start: Start) -> None:
    found = last_line(start("squares.py", 5, before=(MPIRUN, "-np", "2")))
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


@pytest.mark.parametrize("before", [(), (MPIRUN, "-np", "3")], ids=["", "mpirun"])
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_killed_rank_stops_all_ranks(start: Start, victim: int, before: tuple) -> None:
    process, pids = start_working(start, 3, before=before)
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


@pytest.mark.parametrize("victim", [0, 2])
def test_a_stopped_rank_ends_the_run(start: Start, victim: int) -> None:
    """Three times as long as a rank may be silent, which is counted while the others work."""
    process, pids = start_working(start, 3, 1)
    os.kill(pids[victim], signal.SIGSTOP)
    _, err = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode == 1
    [line] = [line for line in err.splitlines() if ": error: " in line]
    assert re.search(rf"no heartbeat of rank {victim} on \S+ for 1 s", line), line
    assert all_gone(pids)


def test_a_run_that_was_stopped_as_a_whole_goes_on(start: Start) -> None:
    """As by a closed laptop: no rank was silent while another ran."""
    process, pids = start_working(start, 3, 1, 2)
    send(signal.SIGSTOP, pids)
    time.sleep(3)
    assert all(map(is_running, pids))
    send(signal.SIGCONT, pids)
    assert last_word(process) == "done"


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


def test_ctrl_z_stops_all_ranks_and_fg_continues_them(start: Start) -> None:
    process, pids = start_working(start, 3, 1, 2)
    os.killpg(process.pid, signal.SIGTSTP)
    deadline = time.monotonic() + STOP_LIMIT
    while not all(map(is_stopped, (process.pid, *pids))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2)
    assert all(map(is_stopped, (process.pid, *pids)))
    os.killpg(process.pid, signal.SIGCONT)
    assert last_word(process) == "done"


def test_a_stopped_run_ends_when_it_is_killed(start: Start) -> None:
    process, pids = start_working(start, 3)
    os.killpg(process.pid, signal.SIGTSTP)
    while not is_stopped(process.pid):
        time.sleep(0.05)
    process.kill()
    assert all_gone(pids)


@pytest.mark.parametrize("delay", [0.2, 0.3, 0.4])
def test_signal_during_startup_is_not_lost(start: Start, delay: float) -> None:
    process = start("long_work.py", 3)
    time.sleep(delay)
    process.terminate()
    out, _ = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode in (143, -signal.SIGTERM)  # equal for a shell
    assert all_gone([int(pid) for pid in re.findall(r"pid (\d+)", out)])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", [(), (MPIRUN, "-np", "3")], ids=["", "mpirun"])
def test_a_stopped_run_ends_with_one_line(start: Start, number: signal.Signals, before: tuple) -> None:
    process, _ = start_working(start, 3, before=before)
    process.send_signal(number)
    _, err = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode == 128 + number
    lines = [line for line in err.splitlines() if line and not line.startswith("[mpiexec")]
    assert lines == [f"{PROGRAMS / 'long_work.py'}: stopped; run the same command again"]


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


@pytest.mark.parametrize(
    "left",
    [
        {"PMIX_RANK": "0", "PMIX_NAMESPACE": "slurm.1", "SLURM_STEP_NUM_TASKS": "1"},
        {"PMIX_RANK": "0", "PMIX_NAMESPACE": "slurm.1"},
        {"PMI_RANK": "0", "PMI_SIZE": "1", "PMI_FD": "7"},
    ],
    ids=["PMIx", "PMIx alone", "PMI"],
)
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_step_of_one_task_starts_ranks_of_its_own(start: Start, ranks: int, left: dict[str, str]) -> None:
    """As in the shell of `srun --pty bash`, whose variables are those of a launcher."""
    found = last_line(start("squares.py", ranks, **left))
    assert found["size"] == ranks
    assert found["mpi"] == (ranks > 1)


def test_mpirun_with_one_process_is_a_launcher(start: Start) -> None:
    found = last_line(start("squares.py", 2, before=(MPIRUN, "-np", "1")))
    assert found["size"] == 1


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
