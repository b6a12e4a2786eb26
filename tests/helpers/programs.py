"""Programs of tests/mpi_programs/, started as a person starts a script, and the processes of their ranks."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.scripts import ROOT
from simulation.launch import LAUNCHER_VARIABLES, ONE_THREAD
from simulation.processes import is_running

PROGRAMS = ROOT / "tests" / "mpi_programs"
MPIRUN = Path(sys.executable).with_name("mpirun")
STOP_LIMIT = 10  # seconds within which a broken or stopped run must end

Start = Callable[..., subprocess.Popen]


@contextmanager
def programs() -> Iterator[Start]:
    """Starts programs in process groups of their own; kills what a failed test leaves running."""
    started = []

    def start(program: str | Path, *arguments: object, before: tuple = (), **environment: str) -> subprocess.Popen:
        inherited = {k: v for k, v in os.environ.items() if k not in (*ONE_THREAD, *LAUNCHER_VARIABLES)}
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


def start_working(
    start: Start, ranks: int, *arguments: object, before: tuple = ()
) -> tuple[subprocess.Popen, list[int]]:
    """A program that works for two minutes, and the pids of its ranks."""
    process = start("long_work.py", ranks, *arguments, before=before)
    pids = []
    for line in process.stdout:
        if line.startswith("working"):
            break
        pids.append(int(re.match(rf"rank {len(pids)} = pid (\d+) on ", line)[1]))
    return process, pids


def all_gone(pids: list[int]) -> bool:
    """Whether all processes end within STOP_LIMIT seconds."""
    deadline = time.monotonic() + STOP_LIMIT
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_running, pids))
