"""Video files, encoded by ffmpeg."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np

from display.overlay import HEIGHT, WIDTH
from pipeline.errors import UserError, first_line
from pipeline.files import atomic_write

FPS = 50  # the environment's frame rate
GIF_FILTER = "scale=560:-1:flags=area,split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none"  # a palette of its own
ENCODERS: dict[str, dict[str, Any]] = {
    ".mp4": {"codec": "libx264", "quality": 7},
    ".gif": {"codec": "gif", "pix_fmt_out": "pal8", "output_params": ["-filter_complex", GIF_FILTER]},
}
Show = Callable[[np.ndarray], None]  # records an image, uint8 (height, width, 3)


@contextmanager
def open_video(path: Path, fps: float = FPS) -> Iterator[Show]:
    """Yield a function that appends an image, uint8 (400, 800, 3), to an H.264 mp4 or, by the path's suffix, a gif.

    The file is written atomically at the end.

    Raises:
        UserError: the file cannot be written completely.
    """
    with atomic_write(path) as part:
        quiet = {"ffmpeg_log_level": "quiet"}  # what it would say is not the cause
        encoder = ENCODERS[path.suffix]
        writer = imageio_ffmpeg.write_frames(str(part), (WIDTH, HEIGHT), fps=fps, **encoder, **quiet)
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


def poster_of(path: Path) -> bytes:
    """The frame in the middle of a video, as a JPEG.

    Raises:
        UserError: the file is not a video.
    """
    try:
        _, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
        frames = imageio_ffmpeg.read_frames(str(path), input_params=["-ss", str(seconds / 2)])
        width, height = next(frames)["size"]
        image = np.frombuffer(next(frames), np.uint8).reshape(height, width, 3)
        frames.close()
    except (OSError, RuntimeError, StopIteration) as error:
        raise UserError(f"{path} cannot be read as a video: {first_line(error)}") from None
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


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
