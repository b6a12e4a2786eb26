"""Videos of pictures, written by ffmpeg."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from display.overlay import HEIGHT, WIDTH
from pipeline.files import atomic_write

FPS = 50  # the environment's own pace
Show = Callable[[np.ndarray], object]  # of a picture, uint8 (height, width, 3)


@contextmanager
def open_video(path: Path) -> Iterator[Show]:
    """Yield a function that appends a picture to an H.264 mp4; the file appears, whole, when the block ends."""
    with atomic_write(path) as part:
        writer = imageio_ffmpeg.write_frames(str(part), (WIDTH, HEIGHT), fps=FPS, codec="libx264", quality=7)
        writer.send(None)
        sent = 0

        def show(picture: np.ndarray) -> None:
            nonlocal sent
            writer.send(np.ascontiguousarray(picture))
            sent += 1

        try:
            yield show
        finally:
            writer.close()
        if _pictures_in(part) != sent:  # ffmpeg's own status is not to be had
            raise OSError("ffmpeg left it incomplete, as it does when the disk is full")


def _pictures_in(path: Path) -> int:
    try:
        return imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except (OSError, RuntimeError):  # no video at all
        return 0
