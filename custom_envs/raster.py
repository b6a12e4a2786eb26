"""Rasterizer of CarRacing's observations: the playfield as one affine warp of a texture, then the car and the bar.

OpenGL gives a polygon the pixels whose *centers* it covers, and a later polygon overwrites an earlier one. Without
antialiasing a frame therefore equals that of CarRacing-v0, up to the size of a texel and without the score.

Two arrays store the scene:

* the **texture** (uint16, one entry per texel): index of the polygon that covers a point of the playfield, painted at
  reset;
* the **palette** (uint8, one RGBA row per polygon): the polygon's color. Recoloring a visited tile changes one row of
  the palette, independently of overlapping tiles.

A frame is `palette[warp(texture)]`. Car and bar have palette rows of their own; their indices are drawn onto the warped
texture before the lookup.

Units: the world in Box2D units; the window in v0's 1000 x 800 pixels, y upwards; a frame in pixels, y downwards. As in
v0, a frame is the whole window scaled to a square. Points are complex numbers x + iy, so that a multiplication rotates
and scales them.
"""

import cmath
import math
from functools import lru_cache

import cv2
import numpy as np
from gymnasium.envs.box2d import car_dynamics as dynamics
from gymnasium.envs.box2d.car_racing import GRASS_DIM, PLAYFIELD, SCALE, WINDOW_H, WINDOW_W, ZOOM
from numpy.typing import NDArray

# A whole number of texels per grass cell, so that the borders of the checkerboard fall on texel borders and are exact.
TEXELS_PER_CELL = 48
CELLS = round(2 * PLAYFIELD / GRASS_DIM)
TEXELS = CELLS * TEXELS_PER_CELL
TEXELS_PER_UNIT = TEXELS_PER_CELL / GRASS_DIM

# Palette rows. BLACK is 0 because cv2.warpAffine fills points outside the texture with 0.
BLACK, FIELD, GRASS, HULL, WHEEL_WHITE, SPEED, FRONT_ABS, REAR_ABS, STEERING, GYRO, FIRST_POLYGON = range(11)
FIXED_COLORS = np.array(
    [
        (0, 0, 0),
        (102, 204, 102),
        (102, 230, 102),
        (204, 0, 0),
        (77, 77, 77),
        (255, 255, 255),
        (0, 0, 255),
        (51, 0, 255),
        (0, 255, 0),
        (255, 0, 0),
    ]
)

# Vertical (GAUGES) and horizontal (NEEDLES) indicators of the bar: first cell on its grid, and palette row.
GAUGES = ((5, SPEED), (7, FRONT_ABS), (8, FRONT_ABS), (9, REAR_ABS), (10, REAR_ABS))
NEEDLES = ((20, STEERING), (30, GYRO))

# Window position of the car, and the largest zoom (window pixels per world unit).
ANCHOR = complex(WINDOW_W / 2, WINDOW_H / 4)
MAX_ZOOM = ZOOM * SCALE

HULL_POLYGONS = (dynamics.HULL_POLY1, dynamics.HULL_POLY2, dynamics.HULL_POLY3, dynamics.HULL_POLY4)
WHEEL_HALF_WIDTH, WHEEL_HALF_LENGTH = dynamics.WHEEL_W * dynamics.SIZE, dynamics.WHEEL_R * dynamics.SIZE  # world units
WHEEL_MARK = 1.2  # radians
CAR_RADIUS = 2.9  # upper bound on the distance of the car's corners from the hull's origin, world units


class Raster:
    """Rasterizer of one environment.

    Args:
        size: frames are (size, size, 3).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._palette = np.zeros((1, 2**16), np.int32)  # cv2.LUT needs a signed type; the bytes are R, G, B, 0
        # Window offset from the anchor to the center of pixel (column, row): corner + right * column + down * row.
        self._right, self._down = WINDOW_W / size, -1j * WINDOW_H / size
        self._corner = 1j * WINDOW_H + (self._right + self._down) / 2 - ANCHOR
        self._near_index, self._near_pixels = self._pixels_near_anchor()
        self._bar_top = size - first_center(size, 5)

    def begin(self, texture: NDArray[np.uint16], colors: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Show a track from now on.

        Args:
            texture: of `paint`; it is not changed.
            colors: (n, 3) of its polygons, RGB, 0 to 255.

        Returns:
            (n, 3) uint8, a view of the polygons' palette rows: writing to a row recolors its polygon.
        """
        self.texture = texture
        rgb = self._palette.view(np.uint8).reshape(-1, 4)[: FIRST_POLYGON + len(colors), :3]
        rgb[:FIRST_POLYGON] = FIXED_COLORS
        rgb[FIRST_POLYGON:] = np.rint(colors)
        return rgb[FIRST_POLYGON:]

    def frame(self, car: dynamics.Car, speed: float, angle: float, zoom: float) -> NDArray[np.uint8]:
        """Render a frame with the camera over the car's hull.

        Args:
            car: read, not changed.
            speed: of the hull, world units per second.
            angle: rotation from world to window, radians, counter-clockwise.
            zoom: window pixels per world unit.

        Returns:
            (size, size, 3) uint8 RGB, a new array each time.
        """
        shape = (self.size, self.size)
        # Factor from a window offset from the anchor to a world offset from the hull.
        to_world = cmath.rect(1 / zoom, -angle)
        hull = complex(*car.hull.position)
        warp = self._pixel_to_texel(to_world, hull)
        owners = cv2.warpAffine(self.texture, warp, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        self._draw_car(owners, to_world, hull, car)
        self._draw_bar(owners, speed, car)
        rgba = cv2.LUT(owners, self._palette).view(np.uint8).reshape(*shape, 4)
        return cv2.cvtColor(rgba, cv2.COLOR_BGRA2BGR)  # drops the fourth byte; the channel order stays RGB

    def _pixel_to_texel(self, to_world: complex, hull: complex) -> NDArray[np.float64]:
        """The (2, 3) matrix from (column, row, 1) to texture coordinates with texel centers at integers."""
        turn = TEXELS_PER_UNIT * to_world
        right, down = self._right * turn, self._down * turn
        corner = self._corner * turn + (hull + PLAYFIELD * (1 + 1j)) * TEXELS_PER_UNIT - (0.5 + 0.5j)
        return np.array([[right.real, down.real, corner.real], [right.imag, down.imag, corner.imag]])

    def _pixels_near_anchor(self) -> tuple[NDArray[np.intp], NDArray[np.complex128]]:
        """The k pixels that the car may cover: (k,) indices into the flat frame; (2, k) their window offsets, ones."""
        rows, columns = np.indices((self.size, self.size))
        offsets = (self._corner + self._right * columns + self._down * rows).ravel()
        index = np.flatnonzero(np.abs(offsets) <= CAR_RADIUS * MAX_ZOOM)
        return index, np.stack([offsets[index], np.ones(len(index))])

    def _draw_car(self, owners: NDArray[np.uint16], to_world: complex, hull: complex, car: dynamics.Car) -> None:
        """Draw the wheels with their white marks, then the hull.

        Pixel centers are transformed into the coordinates of each of the five bodies, where the shapes are constant.
        """
        to_body = []
        for body in (*car.wheels, car.hull):
            turn, position = cmath.rect(1, -body.angle), body.position
            to_body += turn * to_world, turn * (hull - complex(position.x, position.y))
        local = np.array(to_body).reshape(5, 2).dot(self._near_pixels)  # (body, pixel)
        across, along = np.abs(local.real), local.imag
        frame = owners.reshape(-1)
        on_wheel = (across[:4] <= WHEEL_HALF_WIDTH) & (np.abs(along[:4]) <= WHEEL_HALF_LENGTH)
        # Only a few pixels, so plain Python is faster than NumPy.
        for wheel, pixel in zip(*on_wheel.nonzero(), strict=True):
            marked = _is_marked(along[wheel, pixel], car.wheels[wheel].phase)
            frame[self._near_index[pixel]] = WHEEL_WHITE if marked else BLACK
        on_hull = across[4] <= np.interp(along[4], *hull_outline())
        frame[self._near_index[on_hull]] = HULL

    def _draw_bar(self, owners: NDArray[np.uint16], speed: float, car: dynamics.Car) -> None:
        """Draw the black bar and its indicators."""
        ends = [1 + 0.02 * speed, *[1 + 0.01 * wheel.omega for wheel in car.wheels]]
        ends += 20 - 10 * car.wheels[0].joint.angle, 30 - 0.8 * car.hull.angularVelocity
        owners[self._bar_top :] = bar_rows(self.size, *[first_center(self.size, end) for end in ends])


def first_center(size: int, cells: float) -> int:
    """Number of the `size` pixels whose centers lie before a position on the grid of 40 cells."""
    return max(math.ceil(cells * size / 40 - 0.5), 0)


@lru_cache(maxsize=4096)
def bar_rows(size: int, *ends: int) -> NDArray[np.uint16]:
    """Palette rows of the bar's pixels, (n, size), on a grid of 40 x 40 cells from the lower left corner.

    Cached: indicators are a few pixels long, so an episode has only some hundred different bars.

    Args:
        size: side of a frame, pixels.
        ends: pixel at which each of GAUGES, then of NEEDLES, ends; it may lie on either side of the start.
    """

    def span(start: int, end: int) -> slice:
        return slice(min(start, end), max(start, end))

    edges = [first_center(size, cell) for cell in range(41)]
    bar = np.full((edges[5], size), BLACK, np.uint16)
    for (start, owner), end in zip(GAUGES, ends, strict=False):
        bar[span(edges[1], end), edges[start] : edges[start + 1]] = owner
    for (start, owner), end in zip(NEEDLES, ends[len(GAUGES) :], strict=True):
        bar[edges[2] : edges[4], span(edges[start], end)] = owner
    bar.flags.writeable = False
    return bar[::-1]


def _is_marked(along: float, phase: float) -> bool:
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


@lru_cache(maxsize=1)
def grass_texture() -> NDArray[np.uint16]:
    """The empty playfield, (TEXELS, TEXELS): cells of even column and row have the lighter green."""
    cells = np.full((CELLS, CELLS), FIELD, np.uint16)
    cells[::2, ::2] = GRASS
    texture = cells.repeat(TEXELS_PER_CELL, axis=0).repeat(TEXELS_PER_CELL, axis=1)
    texture.flags.writeable = False
    return texture


def paint(polygons: NDArray[np.floating]) -> NDArray[np.uint16]:
    """The texture (TEXELS, TEXELS), read-only, of the grass and then of the polygons in order.

    Args:
        polygons: (n, 4, 2) corners of convex quadrilaterals, world units.
    """
    texture = grass_texture().copy()
    owners = np.arange(FIRST_POLYGON, FIRST_POLYGON + len(polygons), dtype=np.uint16)
    fill_quads(texture, (polygons + PLAYFIELD) * TEXELS_PER_UNIT, owners)
    texture.flags.writeable = False
    return texture


def fill_quads(texture: NDArray[np.uint16], quads: NDArray[np.floating], owners: NDArray[np.uint16]) -> None:
    """Scanline fill of all quads at once: texels whose center lies inside get the owner; later quads overwrite earlier.

    Args:
        texture: (rows, columns), changed in place.
        quads: (n, 4, 2) corners (x, y) of convex quadrilaterals inside the texture, in texels: texel (row, column) has
            its center at (column + 0.5, row + 0.5).
        owners: (n,) value of each quad.
    """
    first, last = np.ceil(quads[..., 1].min(axis=1) - 0.5), np.ceil(quads[..., 1].max(axis=1) - 0.5)
    heights = (last - first).astype(np.intp)
    quad = np.repeat(np.arange(len(quads)), heights)  # one entry per (quad, texel row)
    row = _counted(heights) + first.astype(np.intp)[quad]
    left, right = _crossings(quads[quad], row + 0.5)
    start, stop = (np.clip(np.ceil(x - 0.5), 0, texture.shape[1]).astype(np.intp) for x in (left, right))
    widths = np.maximum(stop - start, 0)
    texels = np.repeat(row * texture.shape[1] + start, widths) + _counted(widths)
    texture.reshape(-1)[texels] = np.repeat(owners[quad], widths)


def _counted(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """0, 1, .. length - 1 for each of the lengths, concatenated."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)


def _crossings(quads: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[NDArray, NDArray]:
    """Least and greatest x, each (n,), at which the outlines of quads (n, 4, 2) cross their lines y (n,)."""
    x1, y1 = quads[..., 0], quads[..., 1]
    x2, y2 = np.roll(x1, -1, axis=1), np.roll(y1, -1, axis=1)
    y = y[:, None]
    crosses = (y1 <= y) != (y2 <= y)
    x = x1 + (y - y1) * (x2 - x1) / np.where(crosses, y2 - y1, 1)
    return np.where(crosses, x, np.inf).min(axis=1), np.where(crosses, x, -np.inf).max(axis=1)
