"""Pixels of the car: which ones a frame's camera, which stays over the hull, shows as hull or wheel.

Pixel centers are transformed into the coordinates of a body, where its shape is constant. Units: see raster.py.
"""

import cmath
import math
from functools import lru_cache

import numpy as np
from gymnasium.envs.box2d import car_dynamics as dynamics
from gymnasium.envs.box2d.car_racing import SCALE, WINDOW_H, WINDOW_W, ZOOM
from numpy.typing import NDArray

# Window position of the car, and the largest zoom (window pixels per world unit).
ANCHOR = complex(WINDOW_W / 2, WINDOW_H / 4)
MAX_ZOOM = ZOOM * SCALE

HULL_POLYGONS = (dynamics.HULL_POLY1, dynamics.HULL_POLY2, dynamics.HULL_POLY3, dynamics.HULL_POLY4)
WHEEL_HALF_WIDTH, WHEEL_HALF_LENGTH = dynamics.WHEEL_W * dynamics.SIZE, dynamics.WHEEL_R * dynamics.SIZE  # world units
WHEEL_RADIUS = math.hypot(WHEEL_HALF_WIDTH, WHEEL_HALF_LENGTH)  # of the circle around a wheel
WHEEL_MARK = 1.2  # radians
SECTORS = 4096  # of a turn, for the hull's pixels
CAR_RADIUS = 2.9  # upper bound on the distance of the car's corners from the hull's origin, world units


def pixel_grid(size: int) -> tuple[complex, float, complex]:
    """(corner, right, down): the center of pixel (column, row) has the window offset from the anchor
    corner + right * column + down * row."""
    right, down = WINDOW_W / size, -1j * WINDOW_H / size
    return 1j * WINDOW_H + (right + down) / 2 - ANCHOR, right, down


@lru_cache(maxsize=2)
def pixel_offsets(size: int) -> list[list[complex]]:
    """Window offset of each pixel's center from the anchor: plain numbers, [row][column]."""
    corner, right, down = pixel_grid(size)
    rows, columns = np.indices((size, size))
    return (corner + right * columns + down * rows).tolist()


@lru_cache(maxsize=2)
def pixels_near_anchor(size: int) -> tuple[NDArray[np.intp], NDArray[np.complex128]]:
    """The k pixels that the hull may cover: (k,) indices into the flat frame, (k,) window offsets."""
    offsets = np.ravel(pixel_offsets(size))
    index = np.flatnonzero(np.abs(offsets) <= CAR_RADIUS * MAX_ZOOM)
    return index, offsets[index]


def hull_covers(points: NDArray[np.complex128]) -> NDArray[np.bool_]:
    """Whether the hull covers points of its own coordinates."""
    return np.abs(points.real) <= np.interp(points.imag, *hull_outline())


def hull_pixels(size: int, angle: float, zoom: float) -> NDArray[np.intp]:
    """Indices, into the flat frame, of the pixels that the hull covers.

    Args:
        angle: rotation from the hull to the window, radians.
        zoom: window pixels per world unit. After the first second it is MAX_ZOOM, and the pixels depend on the angle
            alone: a table then holds them.
    """
    if zoom == MAX_ZOOM:
        pixels = hull_table(size)[math.floor(angle * SECTORS / math.tau) % SECTORS]
        if pixels is not None:
            return pixels
    index, offsets = pixels_near_anchor(size)
    return index[hull_covers(offsets * cmath.rect(1 / zoom, -angle))]


@lru_cache(maxsize=2)
def hull_table(size: int) -> list[NDArray[np.intp] | None]:
    """The hull's pixels within each sector of a turn, None where they change within the sector."""
    index, offsets = pixels_near_anchor(size)
    turns = np.exp(-1j * math.tau / SECTORS * np.arange(SECTORS + 1)) / MAX_ZOOM
    covered = hull_covers(np.outer(turns, offsets))
    changes = (covered[:-1] != covered[1:]).any(axis=1)
    return [None if changed else index[mask] for mask, changed in zip(covered[:-1], changes, strict=True)]


def is_marked(along: float, phase: float) -> bool:
    """Whether the mark of a wheel at rotation `phase` covers a point, `along` world units from the wheel's center.

    The mark is a sector of the rim that starts at `phase`; the half of the rim with negative sine faces the camera.
    """
    return (-math.acos(along / WHEEL_HALF_LENGTH) - phase) % math.tau <= WHEEL_MARK


@lru_cache(maxsize=1)
def hull_outline() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The hull's outline, symmetric about its long axis: positions along it (n,) and half widths (n,), world units.

    The half width is linear between positions; a jump is two adjacent positions.
    """
    corners = sorted({y for polygon in HULL_POLYGONS for _, y in polygon})
    along = np.add.outer(corners, (-1e-9, 1e-9)).ravel()
    half_width = np.full(len(along), -1.0)  # covers nothing beyond the ends, since distances are not negative
    for polygon in HULL_POLYGONS:
        heights, widths = zip(*sorted((y, x) for x, y in polygon if x > 0), strict=True)
        half_width = np.maximum(half_width, np.interp(along, heights, widths, left=-1, right=-1))
    return along * dynamics.SIZE, half_width * dynamics.SIZE
