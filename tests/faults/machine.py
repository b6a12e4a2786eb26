"""All processes of one command, whoever started them: each carries the same word in its environment."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "FAULTS_RUN"  # the environment variable that holds the word


def processes(word: str) -> list[int]:
    """The pids of all living processes that carry the word; ended ones that await their parent carry nothing."""
    wanted = f"{MARK}={word}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # it ended meanwhile, or is not ours
            if folder.name.isdecimal() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)


def kill(pid: int) -> None:
    """Kill a process; one that has ended already is no matter."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_all(word: str) -> None:
    """What a machine that goes down does to a command; a process that kills its own kind dies last."""
    for pid in sorted(processes(word), key=os.getpid().__eq__):
        kill(pid)


def all_gone(word: str, seconds: float) -> bool:
    """Whether no process is left, with some seconds to leave.

    Looked at twice: while a program is being loaded its environment cannot be read, and it seems to be nobody's.
    """
    deadline = time.monotonic() + seconds
    seen_none = 0
    while seen_none < 2 and time.monotonic() < deadline:
        seen_none = 0 if processes(word) else seen_none + 1
        time.sleep(0.05)
    return seen_none == 2
