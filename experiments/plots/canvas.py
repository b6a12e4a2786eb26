"""Figures drawn without a display, and grids of small images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 2  # pixels between the images of a grid
BACKGROUND = 255


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, height_ratios: tuple[int, ...] | None = None
) -> tuple["Figure", Any]:
    """A figure of width x height inches that needs no display, and its axes (an array where there are several)."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()  # whatever a matplotlibrc says, such as text.usetex without LaTeX
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, height_ratios=height_ratios)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure at 120 dots per inch, in the format of the path's suffix."""
    with atomic_write(path) as part:
        figure.savefig(part, dpi=120)


def grid(images: np.ndarray) -> np.ndarray:
    """One image made of many: uint8 (rows, columns, H, W, 3) -> (rows (H + 2), columns (W + 2), 3)."""
    rows, columns, height, width, _ = images.shape
    image = np.full((rows, height + GAP, columns, width + GAP, 3), BACKGROUND, np.uint8)
    image[:, :height, :, :width] = images.transpose(0, 2, 1, 3, 4)
    return image.reshape(rows * (height + GAP), columns * (width + GAP), 3)


def show_grid(axes: "Axes", images: np.ndarray, row_names: list[str], column_names: list[str]) -> None:
    """Draw a grid of images with named rows and columns; [] leaves the names out."""
    rows, columns, height, width, _ = images.shape
    axes.imshow(grid(images), interpolation="nearest")
    axes.set_yticks([(height + GAP) * row + height / 2 for row in range(rows)] if row_names else [], row_names)
    ticks = [(width + GAP) * column + width / 2 for column in range(columns)] if column_names else []
    axes.set_xticks(ticks, column_names, fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
