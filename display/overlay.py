"""The picture a person watches: the environment beside what the agent sees and its reconstruction."""

import cv2
import numpy as np

import config

ROAD_WIDTH, HEIGHT, PANEL_WIDTH = 600, 400, 200
WIDTH = ROAD_WIDTH + PANEL_WIDTH
WHITE, GREY, GREEN, RED = (255, 255, 255), (150, 150, 150), (90, 200, 90), (230, 70, 60)
INSET = 140  # side of the two small pictures


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
    for row, (text, value, color) in enumerate(gauges):
        y, centre = 338 + 13 * row, left + INSET * 3 // 4
        _write(picture, text, left, y + 5, GREY, 0.4)
        start = centre if row == 0 else centre - INSET // 4
        length = round(float(value) * (INSET // 4 if row == 0 else INSET // 2))
        cv2.rectangle(picture, (min(start, start + length), y - 3), (max(start, start + length), y + 3), color, -1)
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


def _write(picture: np.ndarray, text: str, x: int, y: int, color: tuple[int, int, int], size: float) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)
