"""Figures drawn without a display: their style, files and SVG markup, and grids of small images.

The report's figures are 4 inches wide with text of 9.5 points and more: it can be read where a phone displays the
figure at 330 pixels.
"""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 2  # pixels between the images of a grid
BACKGROUND = 255
WIDTH = 4.0  # inches, of the report's figures
# Colors that the HTML report replaces by CSS variables of these names, which differ between light and dark displays.
THEME = {
    **{"ink": "#1c2431", "muted": "#5a6575", "grid": "#dde2e9"},
    **{"blue": "#2468c9", "orange": "#c4640a", "green": "#1f8a56", "purple": "#7b4fc4", "red": "#c23a33"},
}
SERIES = [THEME[name] for name in ("blue", "orange", "green", "purple", "red")]
# Groups of matplotlib's settings.
STYLE: dict[Any, dict[str, Any]] = {
    "font": {"size": 10},
    "text": {"color": THEME["ink"]},
    "axes": {
        "titlesize": 10,
        "labelcolor": THEME["ink"],
        "edgecolor": THEME["muted"],
        "spines.top": False,
        "spines.right": False,
    },
    "xtick": {"labelsize": 9.5, "color": THEME["muted"], "labelcolor": THEME["ink"]},
    "ytick": {"labelsize": 9.5, "color": THEME["muted"], "labelcolor": THEME["ink"]},
    "grid": {"color": THEME["grid"]},
    "lines": {"linewidth": 1.4},
    "legend": {"fontsize": 9.5, "frameon": False, "handlelength": 1.2, "columnspacing": 1.0},
    "svg": {"fonttype": "none"},  # text stays text: it can be searched, and a browser shows it in the page's own font
}


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, height_ratios: tuple[float, ...] | None = None
) -> tuple["Figure", Any]:
    """A figure of width x height inches that needs no display, and its axes (an array where there are several)."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()  # whatever a matplotlibrc says, such as text.usetex without LaTeX
    for group, values in STYLE.items():
        matplotlib.rc(group, **values)
    matplotlib.rc("axes", prop_cycle=cycler(color=SERIES))
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, height_ratios=height_ratios)


def save_figure(figure: "Figure", path: Path, dpi: int = 120) -> None:
    """Write a figure in the format of the path's suffix."""
    with atomic_write(path) as part:
        figure.savefig(part, dpi=dpi)


def svg_markup(figure: "Figure", name: str) -> str:
    """A figure as an <svg> element for an HTML file: in the colors of the page, and with no address in it.

    Args:
        name: makes the element's ids differ from those of other figures.
    """
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = name  # else ids are random
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    width, height = (round(72 * inches, 1) for inches in figure.get_size_inches())
    text = text[text.index("<defs>") :]  # after the XML declaration, <svg> and metadata
    text = re.sub(r' id="\w[\w.]*_\d{1,4}"', "", text)  # groups, which nothing refers to
    for variable, color in THEME.items():
        text = text.replace(color, f"var(--{variable})")
    return f'<svg viewBox="0 0 {width:g} {height:g}">\n{text}'


def legend_above(axes: "Axes", columns: int = 2) -> None:
    """Put the legend above the axes, where it hides no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)


def grid(images: np.ndarray) -> np.ndarray:
    """One image made of many: uint8 (rows, columns, H, W, 3) -> (rows (H + 2), columns (W + 2), 3)."""
    rows, columns, height, width, _ = images.shape
    image = np.full((rows, height + GAP, columns, width + GAP, 3), BACKGROUND, np.uint8)
    image[:, :height, :, :width] = images.transpose(0, 2, 1, 3, 4)
    return image.reshape(rows * (height + GAP), columns * (width + GAP), 3)


def show_grid(axes: "Axes", images: np.ndarray, row_names: list[str], column_names: list[str]) -> None:
    """Draw a grid of images with named rows and columns; [] leaves the names out. The gaps are transparent."""
    rows, columns, height, width, _ = images.shape
    image = grid(images)
    visible = grid(np.zeros_like(images))[..., :1] == 0
    axes.imshow(np.concatenate([image, 255 * visible.astype(np.uint8)], axis=2), interpolation="none")
    axes.set_yticks([(height + GAP) * row + height / 2 for row in range(rows)] if row_names else [], row_names)
    ticks = [(width + GAP) * column + width / 2 for column in range(columns)] if column_names else []
    axes.set_xticks(ticks, column_names)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
