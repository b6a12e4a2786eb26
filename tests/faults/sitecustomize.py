"""Python runs this file at the start of every process of a command that the harness watches: PYTHONPATH leads here.

Whatever changes the visible files is noted down just before and just after it happens, as "before replace
vae/state.h5 1": the first time in this process. At the line that FAULTS_KILL names, this process dies ("one"), or all
processes of the command do, as when the machine goes down ("machine"). The code that is tested knows nothing of it.
"""

import faulthandler
import os
from collections import Counter
from collections.abc import Callable

import machine

OPERATIONS = ("replace", "unlink", "fsync")


class Notes:
    """The trace of one process: how often it came to each point, and the point at which it is to die."""

    def __init__(self, trace: str, end: str, whole_machine: bool):
        self.file = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.folder, self.end, self.whole_machine = os.getcwd() + os.sep, end, whole_machine
        self.seen = Counter()

    def path(self, file: int | str | os.PathLike) -> str | None:
        """The name of a file or descriptor within the folder that is worked in; None when it is elsewhere."""
        name = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else os.path.abspath(file)
        return name.removeprefix(self.folder) if name.startswith(self.folder) else None

    def note(self, point: str) -> None:
        self.seen[point] += 1
        point = f"{point} {self.seen[point]}"
        os.write(self.file, f"{point}\n".encode())
        if point == self.end:
            if self.whole_machine:
                machine.kill_all(os.environ[machine.MARK])
            machine.kill(os.getpid())

    def watched(self, name: str, operation: Callable) -> Callable:
        """The same operation of os, noted down; of the two names of a replacement the last counts."""

        def operate(*arguments: object, **named: object) -> None:
            path = None if named else self.path(arguments[-1])
            if path is None:
                return operation(*arguments, **named)
            self.note(f"before {name} {path}")
            operation(*arguments)
            self.note(f"after {name} {path}")

        return operate


def tell_where_it_hangs() -> None:
    """After a minute; not to stderr, which TensorFlow must not write to while it loads."""
    faulthandler.dump_traceback_later(60, file=open(os.environ["FAULTS_TRACE"] + ".hangs", "a"))


def main() -> None:
    if "FAULTS_TRACE" in os.environ:
        tell_where_it_hangs()
        # It waits in a thread, which a fork leaves behind: without this the child would wait for it at its end.
        os.register_at_fork(
            before=faulthandler.cancel_dump_traceback_later,
            after_in_parent=tell_where_it_hangs,
            after_in_child=tell_where_it_hangs,
        )
        end, _, what = os.environ.get("FAULTS_KILL", "").rpartition(" ")
        notes = Notes(os.environ["FAULTS_TRACE"], end, what == "machine")
        for name in OPERATIONS:
            setattr(os, name, notes.watched(name, getattr(os, name)))


main()
