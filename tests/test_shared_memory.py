"""Tests of /dev/shm, in a namespace in which it is another folder: what a run leaves there, and one without room."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.hosts import need_namespaces, wait_for
from helpers.programs import MPIRUN, PROGRAMS, STOP_LIMIT, Start, all_gone, programs, start_working
from helpers.scripts import LIMIT, command, environment

from simulation.processes import children_of, descendants_of, parent_of, send

PROGRAM = PROGRAMS / "squares.py"


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as start:
        yield start


def mounted(*mount: object) -> tuple[str, ...]:
    """The start of a command line which runs the rest where something else is mounted at /dev/shm."""
    need_namespaces()
    script = f'mount {" ".join(map(str, mount))} /dev/shm && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, "sh")


def errors(process: subprocess.Popen) -> list[str]:
    """What a refused program prints to stderr."""
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2, err
    return err.splitlines()


# --- what is left -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder to be mounted at /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


def ancestor(generation: int) -> Callable[[subprocess.Popen, list[int]], int]:
    """A function that finds, from rank 1, its watcher (1), mpirun's proxy (2), mpirun (3)."""

    def find(process: subprocess.Popen, pids: list[int]) -> int:
        pid = pids[1]
        for _ in range(generation):
            pid = parent_of(pid)
        return pid

    return find


@pytest.mark.parametrize(
    ("number", "victim"),
    [
        (signal.SIGINT, lambda process, pids: process.pid),
        (signal.SIGTERM, lambda process, pids: process.pid),
        *((signal.SIGKILL, ancestor(generation)) for generation in range(5)),
    ],
    ids=[
        "Ctrl-C",
        "SIGTERM",
        *(f"SIGKILL of the {name}" for name in ("rank", "watcher", "proxy", "mpirun", "command")),
    ],
)
def test_a_stopped_run_leaves_nothing(
    start: Start, shared: Path, number: signal.Signals, victim: Callable[[subprocess.Popen, list[int]], int]
) -> None:
    process, pids = start_working(start, 2, before=mounted("--bind", shared))
    os.kill(victim(process, pids), number)
    process.communicate(timeout=STOP_LIMIT)
    assert all_gone(pids)
    assert not list(shared.iterdir())


def connecting(start: Start, shared: Path, late_seconds: int, launcher: tuple = ()) -> subprocess.Popen:
    """A run whose rank 0 waits in MPI_Init for rank 1, so that there is a segment."""
    process = start("long_work.py", 2, 60, 1, late_seconds, before=(*mounted("--bind", shared), *launcher))
    assert process.stdout.readline() == "late\n"
    wait_for(lambda: any(shared.iterdir()))
    return process


@pytest.mark.parametrize("launcher", [(), (MPIRUN, "-np", "2")], ids=["", "mpirun"])
def test_a_run_that_is_stopped_while_it_connects_says_so(start: Start, shared: Path, launcher: tuple) -> None:
    process = connecting(start, shared, 60, launcher)
    process.terminate()
    _, err = process.communicate(timeout=STOP_LIMIT)
    assert process.returncode == 143
    assert err.strip() == f"{PROGRAMS / 'long_work.py'}: stopped; run the same command again"
    assert launcher or not list(shared.iterdir())


@pytest.mark.parametrize("depth", range(1, 5), ids=["mpirun", "proxy", "watcher", "rank"])
def test_a_kill_while_it_connects_leaves_nothing(start: Start, shared: Path, depth: int) -> None:
    process = connecting(start, shared, 60)
    pid = process.pid
    for _ in range(depth):
        pid = children_of(pid)[0]
    os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=STOP_LIMIT)
    assert process.returncode != 0
    assert not list(shared.iterdir())


def test_a_start_removes_what_a_kill_of_all_at_once_has_left(start: Start, shared: Path) -> None:
    process = connecting(start, shared, 60)
    processes = [process.pid, *descendants_of(process.pid)]
    send(signal.SIGSTOP, processes)  # so that none of them acts while the others are killed
    send(signal.SIGKILL, processes)
    assert all_gone(processes[1:])
    assert list(shared.glob("mpich_shm_*"))
    time.sleep(0.1)  # times of processes are in hundredths
    again = start("squares.py", 2, before=mounted("--bind", shared))
    _, err = again.communicate(timeout=LIMIT)
    assert again.returncode == 0, err
    assert not list(shared.iterdir())


def test_a_start_keeps_what_another_start_uses(start: Start, shared: Path) -> None:
    """Of the other, one rank has the segment open, and one has yet to open it."""
    first = connecting(start, shared, 5)
    second = start("squares.py", 2, before=mounted("--bind", shared))
    assert second.wait(LIMIT) == 0
    assert list(shared.iterdir())
    out, err = first.communicate(timeout=LIMIT)
    assert first.returncode == 0, err
    assert out.splitlines()[-1] == "done"
    assert not list(shared.iterdir())


# --- no room ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (MPIRUN, "-np", "16")], ids=["", "mpirun"])
def test_16_ranks_run_in_docker_s_64_mb(start: Start, before: tuple) -> None:
    process = start("squares.py", 16, before=(*mounted("-t", "tmpfs", "-o", "size=64m", "tmpfs"), *before))
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert '"size": 16' in out


@pytest.mark.parametrize("before", [(), (MPIRUN, "-np", "4")], ids=["", "mpirun"])
def test_too_small_a_tmpfs_is_refused(start: Start, before: tuple) -> None:
    process = start("squares.py", 4, before=(*mounted("-t", "tmpfs", "-o", "size=512k", "tmpfs"), *before))
    [line] = errors(process)
    assert line.startswith(f"{PROGRAM}: error: /dev/shm has 0.5 MB free, 4 ranks need 1.0 MB")
    assert line.endswith("(docker run --shm-size=256m)")


@pytest.mark.parametrize("before", [(), (MPIRUN, "-np", "2")], ids=["", "mpirun"])
def test_a_read_only_tmpfs_is_refused(start: Start, before: tuple) -> None:
    process = start("squares.py", 2, before=(*mounted("-t", "tmpfs", "-o", "ro", "tmpfs"), *before))
    [line] = errors(process)
    assert line.startswith(f"{PROGRAM}: error: cannot write into /dev/shm, which MPI needs")


def test_01_refuses_a_read_only_tmpfs(tmp_path: Path) -> None:
    before = mounted("-t", "tmpfs", "-o", "ro", "tmpfs")
    arguments = "car_racing --total_episodes 2 --batch_size 1 --time_steps 5"
    refused = subprocess.run(
        [*before, *command("01_generate_data.py", arguments)],
        **{"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True, "timeout": LIMIT},
    )
    assert refused.returncode == 2
    [line] = refused.stderr.splitlines()
    assert (
        "error: cannot use /dev/shm, which worker processes need (Read-only file system): mount a tmpfs there" in line
    )
