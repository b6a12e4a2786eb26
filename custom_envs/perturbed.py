"""CarRacing with the perturbations that AttentionAgent was tested under, for agents that were trained without them.

Source of the rules: Tang, Nguyen and Ha 2020 (arXiv 2003.08165) and the environments published with it, google/
brain-tokyo-workshop, CarRacingExtension. The tracks are those of CarRacing with the same seeds. `render()` shows the
colors, but neither bars nor blob.
"""

import cmath
from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from custom_envs.car_pixels import pixel_offsets
from custom_envs.car_racing import CarRacing, Frame
from custom_envs.raster import bar_edges

COLOR_SHIFT = 0.2 * 255  # largest change of a color channel
BAR_CELLS = 3  # width of a bar at the side, in 40ths of the window
BLOB_COLOR = (204, 0, 0)
BLOB_CORNER, BLOB_SIZE = 21 + 7.6j, 8  # its lower left corner and its side in the car's coordinates, world units


class ShiftedColors(CarRacing):
    """CarRacing whose road and playfield have other colors in each episode; the playfield's lighter squares stay.

    Args:
        channels: 1 shifts all channels of a color by the same number, 3 each by its own, drawn from -51 to 51.
        kwargs: of CarRacing.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        EzPickle.__init__(self, channels, **kwargs)
        self.channels = channels

    def _perturb_colors(self) -> None:
        self._init_colors()
        road, field = self.np_random.uniform(-COLOR_SHIFT, COLOR_SHIFT, (2, self.channels))
        self.road_color, self.bg_color = self.road_color + road, self.bg_color + field


class SideBars(CarRacing):
    """CarRacing with black bars at the left and the right side of the frame."""

    def _render(self, mode: str) -> Frame:
        frame = super()._render(mode)
        if mode == "state_pixels":
            edges = bar_edges(self._raster.size)
            above = slice(0, self._raster.size - edges[5])  # the bar at the bottom is black already
            frame[above, : edges[BAR_CELLS]] = frame[above, edges[40 - BAR_CELLS] :] = 0
        return frame


class Blob(CarRacing):
    """CarRacing with a red square at a fixed place beside the car, in the car's coordinates."""

    def _render(self, mode: str) -> Frame:
        frame = super()._render(mode)
        if mode == "state_pixels":
            _, angle, zoom = self._camera()
            place = (
                offsets_above_bar(self._raster.size) * cmath.rect(1 / zoom, -angle - self.car.hull.angle) - BLOB_CORNER
            )
            inside = (place.real >= 0) & (place.real < BLOB_SIZE) & (place.imag >= 0) & (place.imag < BLOB_SIZE)
            frame[: len(inside)][inside] = BLOB_COLOR
        return frame


@lru_cache(maxsize=2)
def offsets_above_bar(size: int) -> NDArray[np.complex128]:
    """Window offsets of the pixels' centers from the anchor, without the rows of the bar at the bottom."""
    return np.array(pixel_offsets(size))[: size - bar_edges(size)[5]]
