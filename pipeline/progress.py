"""The progress of a training of stage 02 or 04: its history, its state file and its curves."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.curves import Point
from pipeline.errors import UserError, first_line
from pipeline.networks import keras
from pipeline.settings import read_settings
from pipeline.training_state import check_arrays, read_state, restore, write_state
from pipeline.weights import TrainingSettings


@dataclass
class Progress:
    """The progress of a training.

    Attributes:
        settings: the settings that a resumed training must share.
        history: one row per checkpoint: step, epoch (a fraction) and losses, where those of the training are means
            since the checkpoint before.
        best: metadata of the checkpoint with the lowest validation loss; None before the first one.
        best_weights: the weights at that checkpoint.
    """

    settings: TrainingSettings
    history: list[dict[str, float]]
    best: dict[str, Any] | None = None
    best_weights: list[np.ndarray] = field(default_factory=list)

    @property
    def saved_step(self) -> int:
        """The gradient step of the last checkpoint; 0 before the first one."""
        return int(self.history[-1]["step"]) if self.history else 0

    @property
    def best_loss(self) -> float:
        """inf before the first checkpoint, also that after a state of version 0.1.0, which validated on other data."""
        return self.best["losses"]["val_loss"] if self.best and self.history else float("inf")


def starts_epoch(history: Sequence[dict[str, float]], i: int) -> bool:
    """Whether row i of a history is the first one after the end of an epoch; the very first row counts too."""
    return i == 0 or int(history[i]["epoch"]) > int(history[i - 1]["epoch"])


def points(stage: str, history: Sequence[dict[str, float]]) -> list[Point]:
    """The curves of a history: every row over gradient steps, and the first of each epoch over finished epochs.

    Args:
        stage: "vae" or "rnn", the first part of the tags.
    """
    found = []
    for i, row in enumerate(history):
        axes = {stage: int(row["step"])}
        if starts_epoch(history, i):
            axes[f"{stage}_epoch"] = int(row["epoch"])
        for group, x in axes.items():
            for name, value in row.items():
                if name not in ("step", "epoch"):
                    run = "validation" if name.startswith("val_") else "training"
                    found.append(Point(run, f"{group}/{name.removeprefix('val_')}", x, value))
    return found


def save_state(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write everything that resuming needs: last weights, optimizer state, progress and best weights."""
    metadata = {"settings": asdict(progress.settings), "history": progress.history, "best": progress.best}
    write_state(path, metadata, _state_variables(model) | {"best": progress.best_weights})


def load_state(path: Path, model: keras.Model, remedy: str) -> Progress:
    """Restore a compiled model from a file of `save_state`; returns the saved progress.

    Version 0.1.0 had a row per epoch and validated on more data. Its best weights stay until the next checkpoint, which
    begins another history.

    Args:
        remedy: how to start over, for the error message.

    Raises:
        UserError: the file is missing, damaged or of another architecture.
    """
    metadata, groups = read_state(path, remedy)
    try:
        settings = read_settings(TrainingSettings, metadata["settings"], str(path), remedy)
        progress = Progress(settings, metadata["history"], metadata["best"], groups.pop("best"))
        if not isinstance(progress.history, list):
            raise TypeError("its history is no list")
        losses = [row["val_loss"] for row in progress.history]
        if not losses or not np.isfinite(losses).all() or progress.best_loss != min(losses):
            raise ValueError("its losses are inconsistent")
        if "step" not in progress.history[0]:
            progress.history = []
        if any(type(row["step"]) is not int for row in progress.history):
            raise TypeError("its steps are no integers")
    except UserError:
        raise
    except Exception as error:  # metadata of any other structure counts as damage
        raise UserError(f"{path} is not a training state ({first_line(error)}): {remedy}") from None
    variables = _state_variables(model)
    check_arrays(path, variables["model"] if progress.best else [], progress.best_weights, remedy)
    restore(path, variables, groups, remedy)
    return progress


def _state_variables(model: keras.Model) -> dict[str, list[Any]]:
    if not model.optimizer.built:
        model.optimizer.build(model.network.trainable_variables)
    return {"model": model.network.weights, "optimizer": model.optimizer.variables}
