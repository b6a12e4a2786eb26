"""The processes of one command, parents and children alike: each carries the same tag in its environment."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "FAULTS_RUN"  # the environment variable that holds the tag


def processes(tag: str) -> list[int]:
    """The pids of all running processes with the tag; zombies have no environment and are left out."""
    wanted = f"{VARIABLE}={tag}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # the process has ended meanwhile, or belongs to another user
            if folder.name.isdecimal() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)


def kill(pid: int) -> None:
    """Kill a process, if it still runs."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_all(tag: str) -> None:
    """Kill all processes with the tag, as a power failure does; the calling process, if tagged, comes last."""
    for pid in sorted(processes(tag), key=os.getpid().__eq__):
        kill(pid)


def all_gone(tag: str, seconds: float) -> bool:
    """Whether all processes with the tag end within some seconds.

    They are looked up twice: while a process executes a new program its environment cannot be read.
    """
    deadline = time.monotonic() + seconds
    seen_none = 0
    while seen_none < 2 and time.monotonic() < deadline:
        seen_none = 0 if processes(tag) else seen_none + 1
        time.sleep(0.05)
    return seen_none == 2
