"""Video files, encoded by ffmpeg."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from display.overlay import HEIGHT, WIDTH
from pipeline.files import atomic_write

FPS = 50  # the environment's frame rate
Show = Callable[[np.ndarray], None]  # records an image, uint8 (height, width, 3)


@contextmanager
def open_video(path: Path) -> Iterator[Show]:
    """Yield a function that appends an image, uint8 (400, 800, 3), to an H.264 mp4, written atomically at the end.

    Raises:
        UserError: the file cannot be written completely.
    """
    with atomic_write(path) as part:
        quiet = {"ffmpeg_log_level": "quiet"}  # what it would say is not the cause
        writer = imageio_ffmpeg.write_frames(str(part), (WIDTH, HEIGHT), fps=FPS, codec="libx264", quality=7, **quiet)
        writer.send(None)
        sent = 0

        def show(image: np.ndarray) -> None:
            nonlocal sent
            try:
                writer.send(np.ascontiguousarray(image))
            except OSError:  # ffmpeg has ended
                raise _cause(part) from None
            sent += 1

        try:
            yield show
        finally:
            writer.close()
        if _count_frames(part) != sent:  # imageio_ffmpeg does not report ffmpeg's exit status
            raise _cause(part)


def _cause(part: Path) -> OSError:
    """Why ffmpeg left a file incomplete: the system's error where a write fails here too."""
    try:
        with open(part, "ab") as file:
            file.write(bytes(2**20))
            os.fsync(file)
    except OSError as error:
        return error
    return OSError("ffmpeg left it incomplete")


def _count_frames(path: Path) -> int:
    try:
        return int(imageio_ffmpeg.count_frames_and_secs(str(path))[0])
    except (OSError, RuntimeError):  # not a video
        return 0
