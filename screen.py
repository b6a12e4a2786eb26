"""What a person watches: the road beside what the agent sees and its reconstruction, in videos and windows."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

import config
from rollouts import UserError, atomic_write

ROAD_WIDTH, HEIGHT, PANEL_WIDTH = 600, 400, 200
WIDTH = ROAD_WIDTH + PANEL_WIDTH
WHITE, GREY, GREEN, RED = (255, 255, 255), (150, 150, 150), (90, 200, 90), (230, 70, 60)
FPS = 50  # the environment's own pace
INSET = 140  # side of the two small pictures

Show = Callable[[np.ndarray], object]  # of a picture, uint8 (height, width, 3)


def compose(
    road: np.ndarray,
    frame: np.ndarray,
    reconstruction: np.ndarray | None,
    action: np.ndarray,
    score: float,
    step: int,
    title: str = "",
) -> np.ndarray:
    """The whole picture, uint8 (400, 800, 3).

    Args:
        road: uint8 (H, W, 3), what `render()` gave.
        frame: uint8 (64, 64, 3), what the agent sees.
        reconstruction: uint8 (64, 64, 3), what the decoder makes of its z; None leaves it out.
        action: float32 (3,): steer, gas, brake.
        title: written above the road.
    """
    picture = np.full((HEIGHT, WIDTH, 3), 24, np.uint8)
    picture[:, :ROAD_WIDTH] = cv2.resize(road, (ROAD_WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    _write(picture, title, 10, 20, WHITE, 0.5)
    left = ROAD_WIDTH + (PANEL_WIDTH - INSET) // 2
    for top, text, image in ((22, "sees", frame), (184, "reconstruction", reconstruction)):
        if image is not None:
            _write(picture, text, left, top - 6, GREY, 0.45)
            shown = cv2.resize(image, (INSET, INSET), interpolation=cv2.INTER_NEAREST)
            picture[top : top + INSET, left : left + INSET] = shown
    gauges = zip(config.ACTIONS, action, (WHITE, GREEN, RED), strict=True)
    for row, (text, value, colour) in enumerate(gauges):
        y, centre = 338 + 13 * row, left + INSET * 3 // 4
        _write(picture, text, left, y + 5, GREY, 0.4)
        start = centre if row == 0 else centre - INSET // 4
        length = round(float(value) * (INSET // 4 if row == 0 else INSET // 2))
        cv2.rectangle(picture, (min(start, start + length), y - 3), (max(start, start + length), y + 3), colour, -1)
    _write(picture, f"score {score:6.1f}   step {step}", left, 390, WHITE, 0.42)
    return picture


def side_by_side(images: dict[str, np.ndarray], text: str) -> np.ndarray:
    """At most three images uint8 (64, 64, 3) beside each other, named, and a line of text: uint8 (400, 800, 3)."""
    picture = np.full((HEIGHT, WIDTH, 3), 24, np.uint8)
    side = WIDTH // 3 - 20
    for column, (name, image) in enumerate(images.items()):
        left, top = column * WIDTH // 3 + 10, 60
        _write(picture, name, left, top - 12, GREY, 0.6)
        picture[top : top + side, left : left + side] = cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST)
    _write(picture, text, 10, HEIGHT - 30, WHITE, 0.6)
    return picture


def _write(picture: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int], size: float) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


@contextmanager
def video(path: Path) -> Iterator[Show]:
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


@contextmanager
def window(flag: str, width: int = WIDTH, height: int = HEIGHT) -> Iterator[Callable[[np.ndarray], frozenset[str]]]:
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
    from custom_envs.viewer import NoDisplay, Viewer

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
