"""Rasterizer of CarRacing's observations: the playfield as one affine warp of a texture, then the car and the bar.

OpenGL gives a polygon the pixels whose *centers* it covers, and a later polygon overwrites an earlier one. Without
antialiasing a frame therefore equals that of CarRacing-v0, up to the size of a texel and without the score.

Two arrays store the scene:

* the **texture** (uint16, one entry per texel): index of the polygon that covers a point of the playfield, painted once
  per track (texture.py);
* the **palette** (uint8, one RGBA row per polygon): the polygon's color. Recoloring a visited tile changes one row of
  the palette, independently of overlapping tiles.

A frame is `palette[warp(texture)]`. Car (car_pixels.py) and bar have palette rows of their own; their indices are drawn
onto the warped texture before the lookup.

Units: the world in Box2D units; the window in v0's 1000 x 800 pixels, y upwards; a frame in pixels, y downwards. As in
v0, a frame is the whole window scaled to a square. Points are complex numbers x + iy, so that a multiplication rotates
and scales them.
"""

import cmath
import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from gymnasium.envs.box2d import car_dynamics as dynamics
from gymnasium.envs.box2d.car_racing import PLAYFIELD
from numpy.typing import NDArray

from custom_envs.car_pixels import (
    WHEEL_HALF_LENGTH,
    WHEEL_HALF_WIDTH,
    WHEEL_RADIUS,
    hull_pixels,
    is_marked,
    pixel_grid,
    pixel_offsets,
)
from custom_envs.texture import (
    BLACK,
    FIELD,
    FIRST_POLYGON,
    FIXED_COLORS,
    FRONT_ABS,
    GRASS,
    GYRO,
    HULL,
    REAR_ABS,
    SPEED,
    STEERING,
    TEXELS_PER_UNIT,
    WHEEL_WHITE,
)

# Vertical (GAUGES) and horizontal (NEEDLES) indicators of the bar: first cell on its grid, and palette row.
GAUGES = ((5, SPEED), (7, FRONT_ABS), (8, FRONT_ABS), (9, REAR_ABS), (10, REAR_ABS))
NEEDLES = ((20, STEERING), (30, GYRO))
BAR_MIDDLE = 13  # cell between the two

NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


class Raster:
    """Rasterizer of one environment.

    Args:
        size: frames are (size, size, 3).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._palette = np.zeros((1, 2**16), np.int32)  # cv2.LUT needs a signed type; the bytes are R, G, B, 0
        self._corner, self._right, self._down = pixel_grid(size)
        self._offsets = pixel_offsets(size)
        self._edges = bar_edges(size)
        self._bar_ends: list[int] = []
        # What every frame overwrites: the matrix of the warp, palette rows, RGBA; and views of them.
        self._warp, self._owners = np.zeros((2, 3)), np.zeros((size, size), np.uint16)
        self._rgba = np.zeros((size, size, 4), np.uint8)
        self._warp_numbers: Any = self._warp.data
        self._ground, self._bar = self._owners[: -self._edges[5]], self._owners[: -self._edges[5] - 1 : -1]  # upwards
        self._flat = self._owners.reshape(-1)
        self._colors = self._rgba.view(np.int32)[..., 0]

    def begin(
        self,
        texture: NDArray[np.uint16],
        colors: NDArray[np.floating],
        field: NDArray[np.floating],
        grass: NDArray[np.floating],
    ) -> NDArray[np.uint8]:
        """Show a track from now on.

        Args:
            texture: of `paint`; it is not changed.
            colors: (n, 3) of its polygons, RGB, 0 to 255.
            field, grass: (3,), of the playfield and of its squares.

        Returns:
            (n, 3) uint8, a view of the polygons' palette rows: writing to a row recolors its polygon.
        """
        self.texture = texture
        rgb = self._palette.view(np.uint8).reshape(-1, 4)[: FIRST_POLYGON + len(colors), :3]
        rgb[:FIRST_POLYGON] = FIXED_COLORS
        rgb[FIELD], rgb[GRASS] = np.rint(field), np.rint(grass)
        rgb[FIRST_POLYGON:] = np.rint(colors)
        return rgb[FIRST_POLYGON:]

    def frame(self, car: dynamics.Car, speed: float, angle: float, zoom: float) -> NDArray[np.uint8]:
        """Render a frame with the camera over the car's hull.

        Args:
            car: read, not changed; `car.watch` has given its bodies their views.
            speed: of the hull, world units per second.
            angle: rotation from world to window, radians, counter-clockwise.
            zoom: window pixels per world unit.

        Returns:
            (size, size, 3) uint8 RGB, a new array each time.
        """
        # Factor from a window offset from the anchor to a world offset from the hull.
        to_world = cmath.rect(1 / zoom, -angle)
        hull = complex(car.hull.place.x, car.hull.place.y)
        self._draw_ground(to_world, hull)
        self._draw_wheels(to_world, hull, car)
        self._flat[hull_pixels(self.size, angle + car.hull.angle, zoom)] = HULL
        self._draw_bar(speed, car)
        cv2.LUT(self._owners, self._palette, self._colors)
        frame: Any = cv2.cvtColor(self._rgba, cv2.COLOR_BGRA2BGR)  # drops the fourth byte; the channel order stays RGB
        return frame

    def _draw_ground(self, to_world: complex, hull: complex) -> None:
        """Warp the texture by the (2, 3) matrix from (column, row, 1) to its coordinates, texel centers at integers."""
        turn, warp = TEXELS_PER_UNIT * to_world, self._warp_numbers
        right, down = self._right * turn, self._down * turn
        corner = self._corner * turn + (hull + PLAYFIELD * (1 + 1j)) * TEXELS_PER_UNIT - (0.5 + 0.5j)
        warp[0, 0], warp[0, 1], warp[0, 2] = right.real, down.real, corner.real
        warp[1, 0], warp[1, 1], warp[1, 2] = right.imag, down.imag, corner.imag
        cv2.warpAffine(self.texture, self._warp, self._ground.shape[::-1], self._ground, NEAREST)

    def _draw_wheels(self, to_world: complex, hull: complex, car: dynamics.Car) -> None:
        """Draw the wheels with their white marks. They cover so few pixels that plain Python is faster than NumPy."""
        width, height = self._right, -self._down.imag
        reach = WHEEL_RADIUS / abs(to_world)
        for wheel in car.wheels:
            center = (complex(wheel.place.x, wheel.place.y) - hull) / to_world
            to_wheel = to_world * cmath.rect(1, -wheel.angle)
            x, y = center.real - self._corner.real, self._corner.imag - center.imag
            columns = range(math.ceil((x - reach) / width), math.floor((x + reach) / width) + 1)
            for row in range(math.ceil((y - reach) / height), math.floor((y + reach) / height) + 1):
                for column in columns:
                    point = (self._offsets[row][column] - center) * to_wheel
                    if abs(point.real) <= WHEEL_HALF_WIDTH and abs(point.imag) <= WHEEL_HALF_LENGTH:
                        self._owners[row, column] = WHEEL_WHITE if is_marked(point.imag, wheel.phase) else BLACK

    def _draw_bar(self, speed: float, car: dynamics.Car) -> None:
        """Draw the black bar and its indicators, unless they are those of the frame before."""
        values = [1 + 0.02 * speed, *[1 + 0.01 * wheel.omega for wheel in car.wheels]]
        values += 20 - 10 * car.wheels[0].joint.angle, 30 - 0.8 * car.hull.angularVelocity
        ends = [math.ceil(value * self.size / 40 - 0.5) for value in values]
        if ends != self._bar_ends:
            middle, self._bar_ends = self._edges[BAR_MIDDLE], ends
            self._bar[:, :middle] = gauges(self.size, *ends[: len(GAUGES)])
            self._bar[:, middle:] = needles(self.size, *ends[len(GAUGES) :])


# The two halves of the bar are cached: indicators are a few pixels long, so there are only some hundred of each.
@lru_cache(maxsize=4096)
def gauges(size: int, *ends: int) -> NDArray[np.uint16]:
    """Palette rows of the bar's left half, from the lowest row upwards.

    Args:
        size: side of a frame, pixels.
        ends: pixel before which each of GAUGES ends; it may lie on either side of the start.
    """
    edges = bar_edges(size)
    half = np.full((edges[5], edges[BAR_MIDDLE]), BLACK, np.uint16)
    for (cell, owner), end in zip(GAUGES, ends, strict=True):
        half[span(edges[1], end), edges[cell] : edges[cell + 1]] = owner
    return half


@lru_cache(maxsize=4096)
def needles(size: int, *ends: int) -> NDArray[np.uint16]:
    """The same of the right half and NEEDLES; `ends` are counted from the left side of the frame."""
    edges = bar_edges(size)
    bar = np.full((edges[5], size), BLACK, np.uint16)
    for (cell, owner), end in zip(NEEDLES, ends, strict=True):
        bar[edges[2] : edges[4], span(edges[cell], end)] = owner
    return bar[:, edges[BAR_MIDDLE] :]


def bar_edges(size: int) -> list[int]:
    """Number of the `size` pixels whose centers lie before each edge of the bar's grid of 40 cells."""
    return [max(math.ceil(cell * size / 40 - 0.5), 0) for cell in range(41)]


def span(start: int, end: int) -> slice:
    """The pixels between two limits, in either order; the second one may lie outside the frame."""
    return slice(start, end) if start <= end else slice(max(end, 0), start)
