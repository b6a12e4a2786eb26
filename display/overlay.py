"""Composed images for windows and videos: the environment beside what the agent sees, the score, cards, the keys.

Texts are large: a report shows its videos on phones too, at less than half of their size.
"""

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from pipeline.actions import CAR_ACTIONS, Actions

VIEW_WIDTH, HEIGHT, PANEL_WIDTH = 600, 400, 200
WIDTH = VIEW_WIDTH + PANEL_WIDTH
WHITE, GRAY, GREEN, RED, DARK = (255, 255, 255), (170, 170, 170), (90, 200, 90), (230, 70, 60), (24, 24, 24)
COLORS = (WHITE, GREEN, RED)  # of the gauges
GAUGES = 6  # at most
INSET = 112  # side of the two small images, pixels
STRIP = 30  # height of the title's strip, pixels
KEY = 28  # side of a drawn key, pixels
KEYS = {"up": (1, 0), "left": (0, 1), "down": (1, 1), "right": (2, 1)}  # arrow key -> its column and row


def compose(
    view: np.ndarray,
    frame: np.ndarray,
    reconstruction: np.ndarray | None,
    action: np.ndarray,
    score: float,
    step: int,
    actions: Actions = CAR_ACTIONS,
) -> np.ndarray:
    """Compose the image of a real step, uint8 (400, 800, 3): see `compose_with`.

    Args:
        frame, reconstruction: uint8 (64, 64, 3), the agent's observation and its decoded z; None leaves it out.
    """
    insets = {"frame": frame} if reconstruction is None else {"frame": frame, "from z": reconstruction}
    return compose_with(view, insets, action, score, step, actions=actions)


def compose_with(
    view: np.ndarray,
    insets: dict[str, np.ndarray],
    action: np.ndarray,
    score: float,
    step: int,
    title: str = "",
    actions: Actions = CAR_ACTIONS,
) -> np.ndarray:
    """Compose the image of one step, uint8 (400, 800, 3).

    Args:
        view: uint8 (H, W, 3), the environment's `render()`.
        insets: at most two named small images, uint8 (h, w, 3), such as the agent's frame and its reconstruction.
        action: float32 (A,), of the car steer, gas, brake.
        title: written above the view; "" leaves it out.
        actions: those of the environment; a gauge shows each number of the action, of many the first ones.
    """
    image = np.full((HEIGHT, WIDTH, 3), DARK, np.uint8)
    draw_view(image, view)
    if title:
        draw_title(image, title)
    left = VIEW_WIDTH + 20
    _write(image, f"{score:.1f}", left, 34, WHITE, 0.95, 2)
    _write(image, f"step {step}", left, 62, WHITE, 0.65)
    for top, (text, inset) in zip((92, 226), insets.items(), strict=False):
        _write(image, text, left, top - 7, GRAY, 0.6)
        image[top : top + INSET, left : left + INSET] = enlarged(inset, INSET)
    draw_gauges(image, action, actions)
    return image


def draw_view(image: np.ndarray, view: np.ndarray) -> None:
    """Draw the view, uint8 (H, W, 3), as large as it fits into its place."""
    height, width = view.shape[:2]
    scale = min(VIEW_WIDTH / width, HEIGHT / height)
    width, height = round(width * scale), round(height * scale)
    left, top = (VIEW_WIDTH - width) // 2, (HEIGHT - height) // 2
    fitted = cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA)
    image[top : top + height, left : left + width] = fitted


def draw_gauges(image: np.ndarray, action: np.ndarray, actions: Actions) -> None:
    """Draw a bar for each number of an action, from the middle where the number may be negative."""
    pitch = 51 // max(3, min(actions.count, GAUGES))
    size, left = 0.5 if pitch == 17 else 0.35, VIEW_WIDTH + 20
    numbers = zip(actions.names[:GAUGES], action.tolist(), actions.low, actions.high, strict=False)
    for row, (text, value, low, high) in enumerate(numbers):
        y, start = 354 + pitch * row, left + 60
        _write(image, text, left, y + 5, GRAY, size)
        start, unit = (start + 45, 45) if low < 0 else (start, 90)
        end = start + round(value / (max(-low, high) or 1) * unit)
        bar = min(3, pitch // 3)
        cv2.rectangle(image, (min(start, end), y - bar), (max(start, end), y + bar), COLORS[row % len(COLORS)], -1)


def as_the_window(frame: np.ndarray) -> np.ndarray:
    """A frame of the car, uint8 (64, 64, 3), in the shape of the window that it is a squeezed picture of."""
    return np.asarray(cv2.resize(frame, (VIEW_WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))


def side_by_side(images: dict[str, np.ndarray], text: str) -> np.ndarray:
    """Compose at most three named images, uint8 (64, 64, 3), and a line of text: uint8 (400, 800, 3)."""
    composed = np.full((HEIGHT, WIDTH, 3), DARK, np.uint8)
    pitch, top = WIDTH // len(images), 60
    side = min(pitch - 14, HEIGHT - top - 50)
    for column, (name, image) in enumerate(images.items()):
        left = column * pitch + (pitch - side) // 2
        _write(composed, name, left, top - 16, WHITE, 1.0, 2)
        composed[top : top + side, left : left + side] = enlarged(image, side)
    _write(composed, text, (pitch - side) // 2, HEIGHT - 16, WHITE, 0.9, 2)
    return composed


def signed_map(values: np.ndarray, rows: int) -> np.ndarray:
    """Values from -1 to 1 as an image of `rows` rows: orange above zero, blue below, uint8 (rows, n / rows, 3).

    Zeros fill up the last row.
    """
    shares = np.pad(np.clip(values, -1, 1), (0, -len(values) % rows)).reshape(rows, -1, 1)
    above, below = np.maximum(shares, 0) * (240, 140, 40), np.maximum(-shares, 0) * (60, 140, 240)
    return (above + below).astype(np.uint8)


def enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """A small image as a square of `side` pixels with sharp edges: uint8 (h, w, 3) -> (side, side, 3)."""
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST))


def draw_title(image: np.ndarray, text: str, line: int = 0) -> None:
    """Write a line on a dark strip of the view, counted from its top."""
    strip = image[line * STRIP : (line + 1) * STRIP, :VIEW_WIDTH]
    strip //= 4
    _write(image, text, 10, line * STRIP + 21, WHITE, 0.55)


def draw_keys(image: np.ndarray, held: Collection[str]) -> None:
    """Draw the arrow keys in the upper right corner of the view; those that are held down are filled."""
    for name, (column, row) in KEYS.items():
        x, y = VIEW_WIDTH - 3 * (KEY + 4) - 6 + column * (KEY + 4), 2 * STRIP + 10 + row * (KEY + 4)
        down = name in held
        cv2.rectangle(image, (x, y), (x + KEY, y + KEY), WHITE if down else DARK, -1)
        cv2.rectangle(image, (x, y), (x + KEY, y + KEY), WHITE, 1)
        x, y, reach = x + KEY // 2, y + KEY // 2, KEY // 3
        dx, dy = {"up": (0, -reach), "down": (0, reach), "left": (-reach, 0), "right": (reach, 0)}[name]
        color = DARK if down else WHITE
        cv2.arrowedLine(image, (x - dx, y - dy), (x + dx, y + dy), color, 2, cv2.LINE_AA, tipLength=0.5)


def card(image: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """The image dimmed, with centered lines of text on it, the first one large: uint8, of the image's shape."""
    dimmed: np.ndarray = image // 3
    sizes = [2.0] + [0.75] * (len(lines) - 1)
    y = image.shape[0] // 2 - 20 * (len(lines) - 1)
    for text, size in zip(lines, sizes, strict=True):
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 2)
        _write(dimmed, text, (image.shape[1] - width) // 2, y, WHITE, size, 2)
        y += 46
    return dimmed


def _write(
    image: np.ndarray, text: str, x: int, y: int, color: tuple[int, int, int], size: float, weight: int = 1
) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, weight, cv2.LINE_AA)
