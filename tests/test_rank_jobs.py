"""Tests of stage 01 on the ranks of a launcher: its batches are divided, and are those of one process."""

import re
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.programs import MPIRUN, PROGRAMS
from helpers.scripts import LIMIT, ROOT, command, environment, run_script, snapshot

GENERATE = "01_generate_data.py"
WORK = "car_racing --total_episodes 7 --batch_size 1 --time_steps 40"  # seven batches
WITHOUT_LOCKS = "tests/helpers/without_locks.py"


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of one process."""
    folder = tmp_path_factory.mktemp("of_one_process")
    run_script(folder, GENERATE, WORK, "--num_worker 1")
    return snapshot(folder)


def on_ranks(folder: Path, ranks: int, command_line: list[str]) -> subprocess.CompletedProcess:
    """Run a command under mpirun in a folder."""
    return subprocess.run(
        [str(MPIRUN), "-np", str(ranks), *command_line],
        **{"cwd": folder, "env": environment(PYTHONPATH=str(ROOT)), "stdin": subprocess.DEVNULL},
        **{"capture_output": True, "text": True, "timeout": LIMIT},
    )


@pytest.mark.parametrize("ranks", [1, 3, 9])
def test_each_job_is_done_by_one_rank(tmp_path: Path, ranks: int) -> None:
    """Without locks: a rank that does another's job finds its file. More ranks than jobs."""
    done = on_ranks(tmp_path, ranks, command(PROGRAMS / "jobs.py", 7))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [str(job) for job in range(7)]
    assert re.findall(r"job \d", done.stdout) == ["job 1", "job 3", "job 5"]


@pytest.mark.parametrize("locks", [True, False], ids=["", "without locks"])
def test_ranks_make_the_files_of_one_process(of_one_process: dict[str, str], tmp_path: Path, locks: bool) -> None:
    command_line = command(GENERATE, WORK) if locks else command(WITHOUT_LOCKS, ROOT / GENERATE, WORK)
    done = on_ranks(tmp_path, 3, command_line)
    assert done.returncode == 0, done.stderr
    assert "batches 0..6 in data/" in done.stdout
    assert "another process" not in done.stdout
    assert snapshot(tmp_path) == of_one_process
    again = on_ranks(tmp_path, 2, command_line)
    assert "7 of 7 batches are complete and kept" in again.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_resumes(of_one_process: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    """On another number of ranks. A rank that was killed before it had removed its unfinished file leaves that."""
    process = subprocess.Popen(
        [str(MPIRUN), "-np", "3", *command(GENERATE, WORK)],
        **{"cwd": tmp_path, "env": environment(), "stdin": subprocess.DEVNULL, "start_new_session": True},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
    )
    for line in process.stdout:
        if line.startswith("disk: "):  # the last line before the work
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number
    assert f"{ROOT / GENERATE}: stopped; run the same command again\n" in err
    assert "Traceback" not in err
    assert len(list((tmp_path / "data").glob("obs_*.json"))) < 7
    done = on_ranks(tmp_path, 2, command(GENERATE, WORK))
    assert done.returncode == 0, done.stderr
    assert snapshot(tmp_path) == of_one_process


def test_an_error_of_a_rank_is_one_line(tmp_path: Path) -> None:
    """Batch 1, which rank 1 makes, cannot be written."""
    (tmp_path / "data" / ".part-obs_data_1.npy").mkdir(parents=True)
    done = on_ranks(tmp_path, 3, command(GENERATE, WORK))
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if "error" in line]
    assert re.match(rf"{ROOT / GENERATE}: error: cannot write data/\w+_data_1\.npy: ", line), line


def test_render_is_refused(tmp_path: Path) -> None:
    done = on_ranks(tmp_path, 1, command(GENERATE, WORK, "--render 1"))
    assert done.returncode == 2
    assert "--render 1 displays a window of one process: start it without mpirun" in done.stderr
