"""Loss curves of stages 02 and 04, from their log.csv."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.plots.canvas import WIDTH, legend_above, new_figure
from pipeline.errors import UserError, first_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Column of log.csv, and its axis; the column of the held-out data begins with val_.
VAE_LOSSES = (("reconstruction", "squared error\nper frame"), ("kl", "KL divergence\n(nats per frame)"))
RNN_LOSSES = (("z_loss", "z loss (nats\nper latent)"), ("reward_loss", "reward loss\n(nats)"))
DONE_LOSS = ("done_loss", "done loss\n(nats)")  # where M predicts the end of an episode


def read_losses(path: Path, columns: Sequence[str]) -> list[dict[str, float]]:
    """The rows of a log.csv, one per checkpoint, with these columns as numbers.

    Raises:
        UserError: the file is missing, empty, or holds something else.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [{name: float(row[name]) for name in columns} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise UserError(f"{path} is not there: the stage that trains this network writes it") from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not the log of a training ({first_line(error)})") from None
    if not rows:
        raise UserError(f"{path} has no row: no checkpoint was written")
    return rows


def draw_losses(path: Path, losses: Sequence[tuple[str, str]]) -> "Figure":
    """The terms of a loss by gradient step, one panel each, on training and on held-out data.

    Args:
        path: a log.csv.
        losses: columns and the names of their axes.
    """
    both = [(name, f"val_{name}") for name, _ in losses]
    rows = read_losses(path, ["step", *(column for pair in both for column in pair)])
    steps = [row["step"] for row in rows]
    figure, all_axes = new_figure(WIDTH, 3.6, len(losses))
    for axes, (training, held_out), (_, label) in zip(all_axes, both, losses, strict=True):
        axes.plot(steps, [row[training] for row in rows], ".-", label="training data")
        axes.plot(steps, [row[held_out] for row in rows], ".-", label="held-out data")
        axes.set_ylabel(label)
        axes.grid()
    legend_above(all_axes[0])
    all_axes[-1].set_xlabel("gradient step")
    figure.align_ylabels()
    return figure
