"""The supervisor of a plainly started run: it starts mpirun, and handles Ctrl-C, Ctrl-Z and SIGTERM for the ranks."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from simulation import shared_memory
from simulation.processes import adopt_orphans, descendants_of, die_with, handle_signals, send, wait_until_gone

END_SECONDS = 3.0  # time for the ranks to end once mpirun is killed


def supervise(command: list[str], environment: dict[str, str], saved: Callable[[], str] | None = None) -> int:
    """Run mpirun to its end and return its exit status.

    mpirun and its ranks run in a session of their own, so that a signal of the terminal reaches this process alone.

    Args:
        saved: see simulation.launch.launch.

    Raises:
        KeyboardInterrupt: this process received SIGINT, SIGTERM or SIGHUP, the argument, and has ended the ranks.
    """
    received: list[int] = []
    adopt_orphans()
    handle_signals(lambda number, frame: received.append(number))
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid()),
    )
    if signal.getsignal(signal.SIGTSTP) != signal.SIG_IGN:
        signal.signal(signal.SIGTSTP, lambda number, frame: _pause(process.pid))
    while process.poll() is None and not received:
        time.sleep(0.02)
    if received:  # mpirun would lose a SIGTERM that arrives while it starts the ranks; the ranks die with it
        process.kill()
    process.wait()
    wait_until_gone(descendants_of(os.getpid()), END_SECONDS)
    shared_memory.remove_stale(time.time())
    if not received:
        return process.returncode if process.returncode >= 0 else 128 - process.returncode
    stop = KeyboardInterrupt(received[0])
    if saved is not None:
        stop.add_note(saved())
    raise stop


def _pause(mpirun: int) -> None:
    """Stop the ranks and this process, on Ctrl-Z, until `fg` or `bg` continue this process.

    mpirun and its proxies, which only wait, go on: a proxy that is stopped would not end its ranks with mpirun.
    """
    ranks = [pid for pid in descendants_of(mpirun) if _runs_python(pid)]
    send(signal.SIGSTOP, ranks)
    os.kill(os.getpid(), signal.SIGSTOP)
    send(signal.SIGCONT, ranks)


def _runs_python(pid: int) -> bool:
    """Whether a process runs the program that this one runs."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/exe").samefile("/proc/self/exe")
    return False
