"""A window in a process of its own that shows pictures and returns the keys that are down."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

import numpy as np

from display.overlay import HEIGHT, WIDTH
from pipeline.errors import UserError


@contextmanager
def open_window(
    flag: str, width: int = WIDTH, height: int = HEIGHT
) -> Iterator[Callable[[np.ndarray], frozenset[str]]]:
    """Yield a function that shows a picture in a window and returns the keys that are down, of custom_envs.viewer.KEYS.

    Closing the window is as good as Ctrl-C.

    The window is in a process of its own: Mesa's OpenGL and TensorFlow crash when they share one.

    Raises:
        UserError: there is no display; `flag` is what asked for one.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_keep_window, args=(theirs, width, height), daemon=True)
    process.start()
    theirs.close()

    def answer(picture: np.ndarray | None = None) -> object:
        try:
            if picture is not None:
                ours.send(picture)
            return ours.recv()
        except (EOFError, OSError):
            raise UserError(f"{flag}: the window's process has died") from None

    def show(picture: np.ndarray) -> frozenset[str]:
        keys = answer(picture)
        if keys is None:
            raise KeyboardInterrupt
        return keys

    try:
        trouble = answer()
        if trouble:
            raise UserError(f"{flag}: {trouble}")
        yield show
    finally:
        ours.close()
        process.join()


def _keep_window(connection: Connection, width: int, height: int) -> None:
    """Open a window, say what hindered it, or ""; then show what comes and answer with the keys, or None if closed."""
    from display.viewer import NoDisplay, Viewer

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other side's affair
    try:
        viewer = Viewer("World Models, staged", width, height)
    except NoDisplay as error:
        return connection.send(str(error))
    connection.send("")
    with suppress(EOFError, OSError):  # the other side has gone
        while True:
            viewer.show(connection.recv())
            connection.send(None if viewer.closed else viewer.keys)
