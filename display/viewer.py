"""A window that shows pictures and knows which keys are held. Importing this file opens nothing and loads no OpenGL."""

import numpy as np
from numpy.typing import NDArray

KEYS = {  # what they are called here, and by pyglet
    "left": ("LEFT",),
    "right": ("RIGHT",),
    "up": ("UP",),
    "down": ("DOWN",),
    "escape": ("ESCAPE",),
    "r": ("R",),
    "plus": ("PLUS", "EQUAL", "NUM_ADD"),  # EQUAL: where + is Shift and =
    "minus": ("MINUS", "NUM_SUBTRACT"),
}


class NoDisplay(RuntimeError):
    """There is no display, or no OpenGL, to open a window with. One line that says what to do."""


class Viewer:
    """A pyglet window of `width` x `height` pixels; a picture of another size is stretched to it.

    Raises:
        NoDisplay: no window can be opened.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        try:
            import pyglet.window  # here it connects to the display

            self._window = pyglet.window.Window(width, height, caption=title)
        except Exception as error:  # pyglet has a dozen for this, with no common base
            raise NoDisplay(
                f"no window can be opened ({' '.join(str(error).split())}): put"
                ' `xvfb-run -a -s "-screen 0 1400x900x24"` before the command, or leave the flag out'
            ) from None
        self._pyglet = pyglet
        self._held = pyglet.window.key.KeyStateHandler()
        self._window.push_handlers(self._held)

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Shows a picture, (rows, columns, 3) uint8 RGB, and takes notice of keys. Does nothing once it was closed."""
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"a picture is uint8 (rows, columns, 3), not {picture.dtype} {picture.shape}")
        if self._window is None:
            return
        self._window.switch_to()
        self._window.dispatch_events()
        if self.closed:
            return
        rows, columns, _ = picture.shape
        # OpenGL counts rows from below: the pitch is negative.
        image = self._pyglet.image.ImageData(columns, rows, "RGB", picture.tobytes(), pitch=-3 * columns)
        gl, texture = self._pyglet.gl, image.get_texture()
        for which in (gl.GL_TEXTURE_MIN_FILTER, gl.GL_TEXTURE_MAG_FILTER):
            gl.glTexParameteri(texture.target, which, gl.GL_NEAREST)  # pixels stay pixels
        self._window.clear()
        texture.blit(0, 0, width=self._window.width, height=self._window.height)
        self._window.flip()

    @property
    def closed(self) -> bool:
        """Whether a person has closed the window or pressed Esc, or `close` was called."""
        return self._window is None or self._window.has_exit

    @property
    def keys(self) -> frozenset[str]:
        """Which of KEYS were held when the last picture was shown."""
        key = self._pyglet.window.key
        return frozenset(name for name in KEYS if any(self._held[getattr(key, symbol)] for symbol in KEYS[name]))

    def close(self) -> None:
        """Closes the window; a second call does nothing."""
        if self._window is not None:
            self._window.close()
            self._window = None
