"""The figures and videos of the report: what each shows, and drawing those that can be drawn."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import config
from display.video import poster_of
from experiments.plots.canvas import save_figure, svg_markup
from pipeline.entries import are_variants
from pipeline.errors import UserError

PNG_DPI = 200  # dots per inch


def said(env_name: str, of_the_car: str, otherwise: str) -> str:
    """What a good figure looks like: of the car, or of another environment."""
    return of_the_car if are_variants("car_racing", env_name) else otherwise


@dataclass(frozen=True)
class Figure:
    """A figure or video that the report is to hold.

    Attributes:
        name: its file in report/, a .png or an .mp4.
        title: a few words.
        caption: a sentence that says what it shows.
        good: a sentence that says what a good one looks like.
        draw: () -> matplotlib figure; of a video, a function that writes the file.
    """

    name: str
    title: str
    caption: str
    good: str
    draw: Callable[[], Any]


@dataclass(frozen=True)
class Drawn:
    """A figure that was drawn, or the reason why it was not.

    Attributes:
        svg: the markup of a drawn figure; "" for a video.
        poster: of a video, a JPEG of the frame in its middle.
        left_out: why it could not be drawn; "" where it was.
    """

    figure: Figure
    svg: str = ""
    poster: bytes = b""
    left_out: str = ""


def draw(figure: Figure) -> Drawn:
    """Draw a figure into its file and as markup; UserError if it cannot be drawn."""
    canvas, path = figure.draw(), config.REPORT_DIR / figure.name
    if path.suffix == ".mp4":
        return Drawn(figure, poster=poster_of(path))
    svg = svg_markup(canvas, figure.name)
    canvas.suptitle(figure.title, weight="bold")  # in the HTML report the title is text beside the figure
    save_figure(canvas, path, PNG_DPI)
    return Drawn(figure, svg)


def draw_all(figures: Iterable[Figure]) -> list[Drawn]:
    """Draw the figures; one that cannot be drawn is left out, and a line says why.

    Raises:
        UserError: none of them can be drawn.
    """
    drawn = []
    for figure in figures:
        try:
            drawn.append(draw(figure))
            print(config.REPORT_DIR / figure.name, flush=True)
        except UserError as error:
            drawn.append(Drawn(figure, left_out=str(error)))
            print(f"left out: {figure.name}: {error}", flush=True)
    if all(each.left_out for each in drawn):
        raise UserError(drawn[0].left_out)
    return drawn
