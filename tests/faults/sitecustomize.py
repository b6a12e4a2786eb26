"""Fault injection, imported by Python at the start of every process of a command that harness.py runs (PYTHONPATH).

Every operation that changes the visible files is recorded just before and just after it happens, as "before replace
vae/state.h5 1": the first time in this process. At the point that FAULTS_KILL names, this process dies ("one") or all
processes of the command do ("all"), as in a power failure. The tested code needs no hooks.
"""

import faulthandler
import os
from collections import Counter
from collections.abc import Callable

import tagged

OPERATIONS = ("replace", "unlink", "fsync")


class Tracer:
    """The trace of one process: a line for each point it reaches, and the point at which it is killed."""

    def __init__(self, trace: str, kill_at: str, kill_all: bool):
        self.file = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.folder, self.kill_at, self.kill_all = os.getcwd() + os.sep, kill_at, kill_all
        self.seen = Counter()

    def path(self, file: int | str | os.PathLike) -> str | None:
        """The path of a file or descriptor relative to the working directory; None if it is outside."""
        name = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else os.path.abspath(file)
        return name.removeprefix(self.folder) if name.startswith(self.folder) else None

    def reach(self, point: str) -> None:
        self.seen[point] += 1
        point = f"{point} {self.seen[point]}"
        os.write(self.file, f"{point}\n".encode())
        if point == self.kill_at:
            if self.kill_all:
                tagged.kill_all(os.environ[tagged.VARIABLE])
            tagged.kill(os.getpid())

    def traced(self, name: str, operation: Callable) -> Callable:
        """Wrap an operation of os so that it is recorded; a replacement is recorded under its target."""

        def operate(*arguments: object, **named: object) -> None:
            path = None if named else self.path(arguments[-1])
            if path is None:
                return operation(*arguments, **named)
            self.reach(f"before {name} {path}")
            operation(*arguments)
            self.reach(f"after {name} {path}")

        return operate


def dump_traceback_when_hanging() -> None:
    """Dump the traceback after a minute, to a file: TensorFlow's import fails if stderr is written to meanwhile."""
    faulthandler.dump_traceback_later(60, file=open(os.environ["FAULTS_TRACE"] + ".hangs", "a"))


def main() -> None:
    if "FAULTS_TRACE" in os.environ:
        dump_traceback_when_hanging()
        # The watchdog is a thread, which a fork does not copy: the child would wait for it forever at its exit.
        os.register_at_fork(
            before=faulthandler.cancel_dump_traceback_later,
            after_in_parent=dump_traceback_when_hanging,
            after_in_child=dump_traceback_when_hanging,
        )
        kill_at, _, victims = os.environ.get("FAULTS_KILL", "").rpartition(" ")
        tracer = Tracer(os.environ["FAULTS_TRACE"], kill_at, victims == "all")
        for name in OPERATIONS:
            setattr(os, name, tracer.traced(name, getattr(os, name)))


main()
