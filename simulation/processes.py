"""Signals, parents and children of a run's processes, on Linux; elsewhere a process finds no others."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, `kill` or a batch system, a closed terminal


def handle_signals(handler: Callable[[int, object], object]) -> None:
    """Handle what stops a run: the STOP_SIGNALS, but SIGHUP not where nohup ignores it."""
    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def die_of_signals() -> None:
    """Let the STOP_SIGNALS end this process at once, also within a call of native code, which runs no handler."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def exit_on_signals() -> None:
    """Exit at once on the STOP_SIGNALS, without output, with the usual status 128 + signal."""
    handle_signals(lambda number, frame: os._exit(128 + number))


def send(number: int, pids: list[int]) -> None:
    """Send a signal to processes, some of which may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def die_with(parent: int) -> None:
    """Let Linux kill this process when its parent dies for any reason (PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)


def adopt_orphans() -> None:
    """Let Linux make this process the parent of its descendants whose parents die (PR_SET_CHILD_SUBREAPER)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)


def parent_of(pid: int) -> int:
    """The pid of a process's parent; 0 if it has none here, or has ended."""
    return int((_stat(pid) or ["", "0"])[1])


def start_time(pid: int) -> float:
    """When a process was started, as seconds since 1970, give or take two hundredths; 0 if it has ended."""
    found = _stat(pid)
    if found is None:
        return 0.0
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(found[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def name_of(pid: int) -> str:
    """The name of the program that a process runs, of 15 characters at most; "" if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def children_of(pid: int) -> list[int]:
    """The pids of a process's children."""
    return [child for child in _processes() if parent_of(child) == pid]


def descendants_of(pid: int) -> list[int]:
    """The pids of a process's children, of their children, and so on."""
    parents = {child: parent_of(child) for child in _processes()}
    found, new = [], [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def wait_until_gone(pids: list[int], seconds: float) -> None:
    """Wait until processes have ended; kill those that have not done so in time."""
    deadline = time.monotonic() + seconds
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    send(signal.SIGKILL, [pid for pid in pids if is_running(pid)])


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended: a zombie has."""
    found = _stat(pid)
    return found is not None and found[0] not in "ZX"


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, ...; None if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
