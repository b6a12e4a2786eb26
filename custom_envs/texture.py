"""The playfield as a texture: grass and track, painted once per track.

The texture is a uint16 array with one entry per texel: the palette row of the polygon that covers this point of the
playfield. The palette has a row per polygon (raster.py), so a tile can be recolored independently of tiles that overlap
it.
"""

from functools import lru_cache

import numpy as np
from gymnasium.envs.box2d.car_racing import GRASS_DIM, PLAYFIELD
from numpy.typing import NDArray

# A whole number of texels per grass cell, so that the borders of the checkerboard fall on texel borders and are exact.
TEXELS_PER_CELL = 48
CELLS = round(2 * PLAYFIELD / GRASS_DIM)
TEXELS = CELLS * TEXELS_PER_CELL
TEXELS_PER_UNIT = TEXELS_PER_CELL / GRASS_DIM

# Palette rows. BLACK is 0 because cv2.warpAffine fills points outside the texture with 0. FIELD is the playfield and
# GRASS its lighter squares: Gymnasium's `bg_color` and `grass_color`.
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
