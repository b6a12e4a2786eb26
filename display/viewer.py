"""A pyglet window that displays images and tracks the keys. Importing this module does not load OpenGL."""

import numpy as np
from numpy.typing import NDArray

KEYS = {  # our name of a key: pyglet's names
    "left": ("LEFT",),
    "right": ("RIGHT",),
    "up": ("UP",),
    "down": ("DOWN",),
    "escape": ("ESCAPE",),
    "r": ("R",),
    "enter": ("ENTER", "NUM_ENTER", "SPACE"),
    "plus": ("PLUS", "EQUAL", "NUM_ADD"),  # EQUAL: + is Shift and = on many keyboards
    "minus": ("MINUS", "NUM_SUBTRACT"),
}


class NoDisplay(RuntimeError):
    """There is no display or no OpenGL to open a window with."""


class Viewer:
    """A window of `width` x `height` pixels; images of another size are stretched to it.

    Raises:
        NoDisplay: no window can be opened.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        try:
            import pyglet.window  # connects to the display when imported

            self._window = pyglet.window.Window(width, height, caption=title)
        except Exception as error:  # pyglet's errors for this share no base class
            raise NoDisplay(f"no window can be opened ({' '.join(str(error).split())})") from None
        self._pyglet = pyglet
        self._held = pyglet.window.key.KeyStateHandler()
        self._window.push_handlers(self._held)

    def show(self, image: NDArray[np.uint8]) -> None:
        """Display an image, uint8 RGB (rows, columns, 3), and read the keys; does nothing once the window is closed."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is uint8 (rows, columns, 3), not {image.dtype} {image.shape}")
        self._window.switch_to()
        self._window.dispatch_events()
        if self.closed:
            return
        rows, columns, _ = image.shape
        # The pitch is negative because OpenGL counts rows from the bottom.
        data = self._pyglet.image.ImageData(columns, rows, "RGB", image.tobytes(), pitch=-3 * columns)
        gl, texture = self._pyglet.gl, data.get_texture()
        for scaling in (gl.GL_TEXTURE_MIN_FILTER, gl.GL_TEXTURE_MAG_FILTER):
            gl.glTexParameteri(texture.target, scaling, gl.GL_NEAREST)  # enlarge without blurring
        self._window.clear()
        texture.blit(0, 0, width=self._window.width, height=self._window.height)
        self._window.flip()

    @property
    def closed(self) -> bool:
        """Whether the window was closed or Esc was pressed."""
        return bool(self._window.has_exit)

    @property
    def keys(self) -> frozenset[str]:
        """The names of the KEYS that were down when the last image was displayed."""
        key = self._pyglet.window.key
        return frozenset(name for name in KEYS if any(self._held[getattr(key, symbol)] for symbol in KEYS[name]))
