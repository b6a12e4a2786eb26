"""A window in its own process, because Mesa's OpenGL and TensorFlow crash when they share one."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import numpy as np

from display.overlay import HEIGHT, WIDTH
from pipeline.errors import UserError

VIRTUAL_DISPLAY = 'put `xvfb-run -a -s "-screen 0 1400x900x24"` before the command, or leave the flag out'


@contextmanager
def open_window(
    flag: str, width: int = WIDTH, height: int = HEIGHT, remedy: str = VIRTUAL_DISPLAY
) -> Iterator[Callable[[np.ndarray], frozenset[str]]]:
    """Yield a function that displays an image in a window and returns the keys that are down (display.viewer.KEYS).

    The function raises KeyboardInterrupt once the window is closed, so that closing it stops the program as Ctrl-C
    does.

    Args:
        flag: the command-line flag that asked for the window, for error messages.
        width, height: pixels.
        remedy: what to do where there is no display.

    Raises:
        UserError: there is no display, or the window's process has died.
    """
    context = multiprocessing.get_context("spawn")
    connection, window_end = context.Pipe()
    process = context.Process(target=_run_window, args=(window_end, width, height), daemon=True)
    process.start()
    window_end.close()

    def receive() -> object:
        try:
            return connection.recv()
        except (EOFError, OSError):
            raise UserError(f"{flag}: the window's process has died") from None

    def show(image: np.ndarray) -> frozenset[str]:
        with suppress(OSError):  # the process has died: receive reports it
            connection.send(image)
        keys = receive()
        if not isinstance(keys, frozenset):
            raise KeyboardInterrupt
        return keys

    try:
        error = receive()
        if error:
            raise UserError(f"{flag}: {error}: {remedy}")
        yield show
    finally:
        connection.close()
        process.join()


def _run_window(connection: Connection, width: int, height: int) -> None:
    """Open a window and send an error message or ""; then display each image received and send the keys, or None."""
    from display.viewer import NoDisplay, Viewer

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent process
    try:
        viewer = Viewer("World Models, staged", width, height)
    except NoDisplay as error:
        return connection.send(str(error))
    connection.send("")
    with suppress(EOFError, OSError):  # the parent has closed the connection
        while True:
            viewer.show(connection.recv())
            connection.send(None if viewer.closed else viewer.keys)
