"""Video files, encoded by ffmpeg."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from display.overlay import HEIGHT, WIDTH
from pipeline.files import atomic_write

FPS = 50  # the environment's frame rate
Show = Callable[[np.ndarray], object]  # displays or records an image, uint8 (height, width, 3)


@contextmanager
def open_video(path: Path) -> Iterator[Show]:
    """Yield a function that appends an image, uint8 (400, 800, 3), to an H.264 mp4, written atomically at the end.

    Raises:
        UserError: the file cannot be written completely.
    """
    with atomic_write(path) as part:
        writer = imageio_ffmpeg.write_frames(str(part), (WIDTH, HEIGHT), fps=FPS, codec="libx264", quality=7)
        writer.send(None)
        sent = 0

        def show(image: np.ndarray) -> None:
            nonlocal sent
            writer.send(np.ascontiguousarray(image))
            sent += 1

        try:
            yield show
        finally:
            writer.close()
        if _count_frames(part) != sent:  # imageio_ffmpeg does not report ffmpeg's exit status
            raise OSError("ffmpeg left it incomplete, as it does when the disk is full")


def _count_frames(path: Path) -> int:
    try:
        return imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except (OSError, RuntimeError):  # not a video
        return 0
