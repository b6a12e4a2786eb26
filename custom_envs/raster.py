"""Draws what the driver sees: the playfield as one warp of a texture, then the car and the indicators.

A polygon drawn with OpenGL owns the pixels whose *centres* it covers, and the polygon drawn last wins. Nothing here is
antialiased or thickened, so a frame is the one CarRacing-v0 drew, up to the size of a texel and without the score.

Two arrays hold the picture:

* the **texture** (uint16, one entry a texel) says which polygon owns a place of the playfield; painted at reset;
* the **palette** (uint8, one RGBA row a polygon) says what colour that polygon has. A tile that changes its colour
  when it is touched changes one row of the palette, whatever lies over or under the tile.

A frame is `palette[warp(texture)]`. Car and indicators have palette rows of their own and are drawn between the two.

The world is measured in Box2D units; the window in the original's 1000 x 800 pixels, y upwards; a frame in pixels, y
downwards. A frame is the whole window squeezed into a square, as in the original.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from gymnasium.envs.box2d import car_dynamics as car
from gymnasium.envs.box2d.car_racing import GRASS_DIM, PLAYFIELD, SCALE, WINDOW_H, WINDOW_W, ZOOM
from numpy.typing import NDArray

# A whole number of texels to a grass cell: the checker's lines then fall on texel borders and are exact.
TEXELS_PER_CELL = 48
CELLS = round(2 * PLAYFIELD / GRASS_DIM)
TEXELS = CELLS * TEXELS_PER_CELL
TEXELS_PER_UNIT = TEXELS_PER_CELL / GRASS_DIM

# Palette rows. BLACK is 0 because that is what a warp leaves outside the playfield.
BLACK, FIELD, GRASS, HULL, WHEEL_WHITE, SPEED, FRONT_ABS, REAR_ABS, STEERING, GYRO, FIRST_POLYGON = range(11)
FIXED_COLOURS = np.array(
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

# The window position the camera holds the car at, and the largest scale it ever has (window pixels a world unit).
ANCHOR_X, ANCHOR_Y = WINDOW_W / 2, WINDOW_H / 4
MAX_ZOOM = ZOOM * SCALE

HULL_POLYGONS = (car.HULL_POLY1, car.HULL_POLY2, car.HULL_POLY3, car.HULL_POLY4)
WHEEL_HALF = np.array([car.WHEEL_W, car.WHEEL_R]) * car.SIZE  # half width and half length, world units
CAR_RADIUS = 2.9  # no corner of the car is farther from the hull's origin


@dataclass(frozen=True, slots=True)
class Camera:
    """World position shown at the window's anchor, turn of the world (radians, counter-clockwise), pixels a unit."""

    x: float
    y: float
    angle: float
    zoom: float


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a body is: position (world units) and angle (radians)."""

    x: float
    y: float
    angle: float


@dataclass(frozen=True, slots=True)
class Wheel:
    """Pose, roll angle (radians) and angular velocity (radians a second) of a wheel."""

    pose: Pose
    phase: float
    omega: float


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a frame shows besides the track."""

    camera: Camera
    hull: Pose
    wheels: tuple[Wheel, ...]  # front left, front right, rear left, rear right
    speed: float  # world units a second
    steering: float  # radians: joint angle of the front left wheel
    gyro: float  # radians a second: angular velocity of the hull


class Raster:
    """Draws the frames of one environment.

    Args:
        size: frames are (size, size, 3).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.texture = np.zeros((TEXELS, TEXELS), np.uint16)
        self._palette = np.zeros(FIRST_POLYGON, np.uint32)
        # Window offset from the anchor to the centre of pixel (column, row): (x0 + dx * column, y0 + dy * row).
        self._dx, self._dy = WINDOW_W / size, -WINDOW_H / size
        self._x0 = self._dx / 2 - ANCHOR_X
        self._y0 = WINDOW_H + self._dy / 2 - ANCHOR_Y
        self._car_patch, self._car_pixels = self._patch_around_anchor()

    def paint_track(self, polygons: NDArray[np.floating], colours: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Paints the grass and, over it, the polygons in their order.

        Args:
            polygons: (n, 4, 2) corners of convex quadrilaterals, world units.
            colours: (n, 3) RGB, 0 to 255.

        Returns:
            (n, 3) uint8, the polygons' palette rows. It is a view: writing to a row recolours its polygon.
        """
        np.copyto(self.texture, grass_texture())
        owners = np.arange(FIRST_POLYGON, FIRST_POLYGON + len(polygons), dtype=np.uint16)
        fill_quads(self.texture, (polygons + PLAYFIELD) * TEXELS_PER_UNIT, owners)
        self._palette = np.zeros(FIRST_POLYGON + len(polygons), np.uint32)
        rgb = self._palette.view(np.uint8).reshape(-1, 4)[:, :3]
        rgb[:FIRST_POLYGON] = FIXED_COLOURS
        rgb[FIRST_POLYGON:] = np.rint(colours)
        return rgb[FIRST_POLYGON:]

    def frame(self, scene: Scene) -> NDArray[np.uint8]:
        """The picture of a scene: (size, size, 3) uint8 RGB, a new array each time."""
        shape = (self.size, self.size)
        warp = self._pixel_to_texel(scene.camera)
        owners = cv2.warpAffine(self.texture, warp, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        self._draw_car(owners[self._car_patch], scene)
        self._draw_bar(owners, scene)
        rgba = self._palette.take(owners).view(np.uint8).reshape(*shape, 4)
        return cv2.cvtColor(rgba, cv2.COLOR_BGRA2BGR)  # only drops the fourth byte: red stays first

    def _pixel_to_texel(self, camera: Camera) -> NDArray[np.float64]:
        """The (2, 3) matrix from (column, row, 1) to texture coordinates in which texel centres are whole numbers."""
        scale = TEXELS_PER_UNIT / camera.zoom
        c, s = scale * math.cos(camera.angle), scale * math.sin(camera.angle)
        u = (camera.x + PLAYFIELD) * TEXELS_PER_UNIT - 0.5
        v = (camera.y + PLAYFIELD) * TEXELS_PER_UNIT - 0.5
        return np.array(
            [
                [c * self._dx, s * self._dy, c * self._x0 + s * self._y0 + u],
                [-s * self._dx, c * self._dy, -s * self._x0 + c * self._y0 + v],
            ]
        )

    def _patch_around_anchor(self) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
        """The pixels a car can reach: (rows, columns), and (3, k) homogeneous window offsets of their centres."""
        column, row = -self._x0 / self._dx, -self._y0 / self._dy
        reach_x, reach_y = CAR_RADIUS * MAX_ZOOM / self._dx, CAR_RADIUS * MAX_ZOOM / -self._dy
        columns = np.arange(math.ceil(column - reach_x), math.floor(column + reach_x) + 1)
        rows = np.arange(math.ceil(row - reach_y), math.floor(row + reach_y) + 1)
        x, y = np.meshgrid(self._x0 + self._dx * columns, self._y0 + self._dy * rows)
        patch = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return patch, np.stack([x.ravel(), y.ravel(), np.ones(x.size)])

    def _draw_car(self, patch: NDArray[np.uint16], scene: Scene) -> None:
        """Wheels with their white marks, then the hull over them.

        Pixel centres are taken into the coordinates of each of the five bodies, where every shape is a constant.
        """
        bodies = [wheel.pose for wheel in scene.wheels] + [scene.hull]
        to_body = np.array([_window_to_body(scene.camera, pose) for pose in bodies]).reshape(-1, 3)
        local = (to_body @ self._car_pixels).reshape(5, 2, -1)  # body, (x, y), pixel
        wheel = (np.abs(local[:4]) <= WHEEL_HALF[:, None]).all(axis=1)
        low, high = np.array([_white_mark(wheel.phase) for wheel in scene.wheels]).T[:, :, None]
        white = wheel & (local[:4, 1] >= low) & (local[:4, 1] <= high)
        normals, bounds, starts = hull_half_planes()
        hull = np.logical_and.reduceat(normals @ local[4] <= bounds, starts, axis=0)
        for mask, owner in ((wheel, BLACK), (white, WHEEL_WHITE), (hull, HULL)):
            np.copyto(patch, owner, where=mask.any(axis=0).reshape(patch.shape))

    def _draw_bar(self, owners: NDArray[np.uint16], scene: Scene) -> None:
        """The black bar and its indicators, on a grid of 40 x 40 cells counted from the lower left corner."""
        self._fill_cells(owners, 0, 40, 0, 5, BLACK)
        self._fill_cells(owners, 5, 6, 1, 1 + 0.02 * scene.speed, SPEED)
        for place, wheel in enumerate(scene.wheels, start=7):
            owner = FRONT_ABS if place < 9 else REAR_ABS
            self._fill_cells(owners, place, place + 1, 1, 1 + 0.01 * wheel.omega, owner)
        self._fill_cells(owners, 20, 20 - 10 * scene.steering, 2, 4, STEERING)
        self._fill_cells(owners, 30, 30 - 0.8 * scene.gyro, 2, 4, GYRO)

    def _fill_cells(
        self, owners: NDArray[np.uint16], x1: float, x2: float, y1: float, y2: float, owner: int
    ) -> None:
        """Fills a rectangle of the 40 x 40 grid, its corners in any order, by the pixel-centre rule."""
        size = self.size
        cell = size / 40
        left, right = sorted((_first_centre(x1 * cell, size), _first_centre(x2 * cell, size)))
        low, high = sorted((_first_centre(y1 * cell, size), _first_centre(y2 * cell, size)))
        owners[size - high : size - low, left:right] = owner


def _first_centre(x: float, size: int) -> int:
    """The first of the pixels 0 .. size whose centre does not lie before x."""
    return min(max(math.ceil(x - 0.5), 0), size)


def _window_to_body(camera: Camera, body: Pose) -> tuple[float, ...]:
    """Six numbers, a (2, 3) matrix: window offsets from the anchor (x, y, 1) to coordinates of the body."""
    turn = camera.angle + body.angle
    c, s = math.cos(turn) / camera.zoom, math.sin(turn) / camera.zoom
    cb, sb = math.cos(body.angle), math.sin(body.angle)
    x, y = camera.x - body.x, camera.y - body.y
    return c, s, cb * x + sb * y, -s, c, -sb * x + cb * y


def _white_mark(phase: float) -> tuple[float, float]:
    """Where along a wheel its painted sector shows from above: (low, high) in units, low > high when it is hidden.

    The sector is 1.2 radians of the rim. Seen from above is the half of the rim whose sine is negative; a sector that
    passes the horizon is drawn up to the wheel's end.
    """
    ends = []
    for angle in (phase, phase + 1.2):
        hidden, along = math.sin(angle) > 0, math.cos(angle)
        ends.append((hidden, math.copysign(1, along) if hidden else along))
    if ends[0][0] and ends[1][0]:
        return 1.0, -1.0
    low, high = sorted((ends[0][1], ends[1][1]))
    return low * WHEEL_HALF[1], high * WHEEL_HALF[1]


@lru_cache(maxsize=1)
def hull_half_planes() -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """The hull as half planes: inside where normals (e, 2) @ point <= bounds (e, 1); starts: each polygon's first."""
    normals, bounds, starts = [], [], []
    for polygon in HULL_POLYGONS:
        corners = np.array(polygon, float) * car.SIZE  # clockwise: an edge's outer side is its left
        edges = np.roll(corners, -1, axis=0) - corners
        starts.append(sum(map(len, normals)))
        normals.append(np.stack([-edges[:, 1], edges[:, 0]], axis=1))
        bounds.append((normals[-1] * corners).sum(axis=1, keepdims=True))
    return np.concatenate(normals), np.concatenate(bounds), starts


@lru_cache(maxsize=1)
def grass_texture() -> NDArray[np.uint16]:
    """The empty playfield, (TEXELS, TEXELS): every cell of even column and row is of the lighter green."""
    cells = np.full((CELLS, CELLS), FIELD, np.uint16)
    cells[::2, ::2] = GRASS
    texture = cells.repeat(TEXELS_PER_CELL, axis=0).repeat(TEXELS_PER_CELL, axis=1)
    texture.flags.writeable = False
    return texture


def fill_quads(texture: NDArray[np.uint16], quads: NDArray[np.floating], owners: NDArray[np.uint16]) -> None:
    """Scanline fill of all quads at once, a later one over an earlier: texels whose centre lies inside get the owner.

    Args:
        texture: (rows, columns), changed in place.
        quads: (n, 4, 2) corners (x, y) of convex quadrilaterals inside the texture, in texels: texel (row, column) has
            its centre at (column + 0.5, row + 0.5).
        owners: (n,) value for each quad.
    """
    first, last = np.ceil(quads[..., 1].min(axis=1) - 0.5), np.ceil(quads[..., 1].max(axis=1) - 0.5)
    heights = (last - first).astype(np.intp)
    quad = np.repeat(np.arange(len(quads)), heights)  # one entry a (quad, texel row)
    row = _counted(heights) + first.astype(np.intp)[quad]
    left, right = _crossings(quads[quad], row + 0.5)
    start, stop = (np.clip(np.ceil(x - 0.5), 0, texture.shape[1]).astype(np.intp) for x in (left, right))
    widths = np.maximum(stop - start, 0)
    texels = np.repeat(row * texture.shape[1] + start, widths) + _counted(widths)
    texture.reshape(-1)[texels] = np.repeat(owners[quad], widths)


def _counted(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """0, 1, .. length - 1 for each of the lengths, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)


def _crossings(quads: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[NDArray, NDArray]:
    """Least and greatest x, each (n,), at which the outline of a quad (n, 4, 2) crosses its line y (n,)."""
    x1, y1 = quads[..., 0], quads[..., 1]
    x2, y2 = np.roll(x1, -1, axis=1), np.roll(y1, -1, axis=1)
    y = y[:, None]
    crosses = (y1 <= y) != (y2 <= y)
    x = x1 + (y - y1) * (x2 - x1) / np.where(crosses, y2 - y1, 1)
    return np.where(crosses, x, np.inf).min(axis=1), np.where(crosses, x, -np.inf).max(axis=1)
