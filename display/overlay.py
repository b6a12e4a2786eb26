"""Composed images for windows and videos: the environment beside the agent's frame and its reconstruction."""

import cv2
import numpy as np

import config

VIEW_WIDTH, HEIGHT, PANEL_WIDTH = 600, 400, 200
WIDTH = VIEW_WIDTH + PANEL_WIDTH
WHITE, GRAY, GREEN, RED = (255, 255, 255), (150, 150, 150), (90, 200, 90), (230, 70, 60)
INSET = 140  # side of the two small images, pixels


def compose(
    view: np.ndarray,
    frame: np.ndarray,
    reconstruction: np.ndarray | None,
    action: np.ndarray,
    score: float,
    step: int,
    title: str = "",
) -> np.ndarray:
    """Compose the image of one step, uint8 (400, 800, 3).

    Args:
        view: uint8 (H, W, 3), the environment's `render()`.
        frame: uint8 (64, 64, 3), the agent's observation.
        reconstruction: uint8 (64, 64, 3), the decoded z of the frame; None leaves it out.
        action: float32 (3,): steer, gas, brake.
        title: written above the view.
    """
    image = np.full((HEIGHT, WIDTH, 3), 24, np.uint8)
    image[:, :VIEW_WIDTH] = cv2.resize(view, (VIEW_WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    _write(image, title, 10, 20, WHITE, 0.5)
    left = VIEW_WIDTH + (PANEL_WIDTH - INSET) // 2
    for top, text, inset in ((22, "frame", frame), (184, "reconstruction", reconstruction)):
        if inset is not None:
            _write(image, text, left, top - 6, GRAY, 0.45)
            resized = cv2.resize(inset, (INSET, INSET), interpolation=cv2.INTER_NEAREST)
            image[top : top + INSET, left : left + INSET] = resized
    gauges = zip(config.ACTIONS, action, (WHITE, GREEN, RED), strict=True)
    for row, (text, value, color) in enumerate(gauges):
        y, center = 338 + 13 * row, left + INSET * 3 // 4
        _write(image, text, left, y + 5, GRAY, 0.4)
        start = center if row == 0 else center - INSET // 4
        length = round(float(value) * (INSET // 4 if row == 0 else INSET // 2))
        cv2.rectangle(image, (min(start, start + length), y - 3), (max(start, start + length), y + 3), color, -1)
    _write(image, f"score {score:6.1f}   step {step}", left, 390, WHITE, 0.42)
    return image


def side_by_side(images: dict[str, np.ndarray], text: str) -> np.ndarray:
    """Compose at most three named images, uint8 (64, 64, 3), and a line of text: uint8 (400, 800, 3)."""
    composed = np.full((HEIGHT, WIDTH, 3), 24, np.uint8)
    side = WIDTH // 3 - 20
    for column, (name, image) in enumerate(images.items()):
        left, top = column * WIDTH // 3 + 10, 60
        _write(composed, name, left, top - 12, GRAY, 0.6)
        resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST)
        composed[top : top + side, left : left + side] = resized
    _write(composed, text, 10, HEIGHT - 30, WHITE, 0.6)
    return composed


def _write(image: np.ndarray, text: str, x: int, y: int, color: tuple[int, int, int], size: float) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)
