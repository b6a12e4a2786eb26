"""Controller files, [867 weights, score, metadata] as json in the tutorial's order, and a search's file names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import config
from controller.arch import FEATURES, NUM_WEIGHTS
from controller.settings import SearchSettings
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.sizes import CAR

WEIGHTS = ("best", "dream_best", "current")
A = CAR.actions

# Layout of a file -> function from its weights (867,) to the order in memory: W (3, 288) row by row, then b (3,).
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tutorial": lambda x: np.concatenate([x[: A * FEATURES].reshape(FEATURES, A).T.ravel(), x[A * FEATURES :]]),
    "estool": lambda x: np.concatenate([x[A:].reshape(FEATURES, A).T.ravel(), x[:A]]),
    "actions": lambda x: x,
}
LAYOUT = "tutorial"  # the layout that `save` writes: W (288, 3) row by row, then b (3,)
OLD_LAYOUT = "actions"  # the layout of version 0.1.0, whose files have metadata without a layout


def in_tutorial_order(weights: np.ndarray) -> np.ndarray:
    """Weights (867,) in the tutorial's order: the inverse of LAYOUTS["tutorial"]."""
    split = A * FEATURES
    return np.concatenate([weights[:split].reshape(A, FEATURES).T.ravel(), weights[split:]])


def save(path: Path, weights: np.ndarray, score: float, metadata: dict[str, Any]) -> None:
    """Write [867 weights, score, metadata] as json, in the tutorial's order; `metadata` gets the layout as well."""
    write_json(path, [in_tutorial_order(weights).tolist(), score, metadata | {"layout": LAYOUT}])


def load(path: Path, layout: str | None = None) -> tuple[np.ndarray, float, dict[str, Any]]:
    """Read a controller file of this project (any version), of the tutorial or of estool.

    Args:
        layout: order of the weights in the file, a key of LAYOUTS. None uses the layout in the file's metadata; a file
            without metadata is read in the tutorial's layout, and a message says so.

    Returns: weights, float64 (867,), W (3, 288) row by row, then b (3,); score; metadata.

    Raises:
        UserError: the file is missing, damaged or something else.
    """
    if not Path(path).exists():
        what = "run 05_train_controller.py, which writes a best.json at its first evaluation"
        raise UserError(f"{path} is not there: {what}")
    content = read_json(path)
    try:
        weights = np.array(content[0], np.float64)
        score, metadata = float(content[1]), dict(content[2]) if len(content) > 2 else None
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        raise UserError(f"{path} is not a controller file: expected [{NUM_WEIGHTS} weights, score, ...]") from None
    if weights.shape != (NUM_WEIGHTS,) or not np.isfinite(weights).all():
        raise UserError(f"{path} holds weights of shape {weights.shape}, expected {NUM_WEIGHTS} finite numbers")
    if layout is None and metadata is None:
        print(f"{path} has no metadata: read in the tutorial's layout, W ({FEATURES}, {A}) row by row, then b ({A})")
        layout = LAYOUT
    layout = layout or (metadata or {}).get("layout", OLD_LAYOUT)
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise UserError(f"{path} has the unknown layout {layout!r}: use one of {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](weights), score, metadata or {}


# --- the controllers of a folder --------------------------------------------------------------------------------------
def best_controllers(folder: Path, name: str = "*") -> list[Path]:
    """The controller/NAME.best.json of a folder in order; `name` may hold wildcards, "car_racing.*" say."""
    return sorted((folder / config.CONTROLLER_DIR).glob(f"{name}.best.json"))


def only_controller(folder: Path, name: str = "*", several: str = "several controllers, give the path of one") -> Path:
    """The one file of `best_controllers`; UserError, which `several` begins, where there are more, or where is none."""
    found = best_controllers(folder, name)
    if not found:
        raise UserError(f"no {name}.best.json in {folder / config.CONTROLLER_DIR}/: run 05_train_controller.py first")
    if len(found) > 1:
        raise UserError(f"{several}: {', '.join(map(str, found))}")
    return found[0]


# --- names ------------------------------------------------------------------------------------------------------------
def search_name(settings: SearchSettings) -> str:
    """The name of a search, env.optimizer.num_episode.population; in dreams env ends in "_dream"."""
    env_name = settings.env_name + ("_dream" if settings.dream_mode else "")
    return f"{env_name}.{settings.optimizer}.{settings.num_episode}.{settings.population}"


def state_path(name: str) -> Path:
    """The saved state of the search `name`."""
    return config.CONTROLLER_DIR / f"{name}.es.npz"


def weights_path(name: str, which: str) -> Path:
    """A controller file of the search `name`; `which` is one of WEIGHTS."""
    return config.CONTROLLER_DIR / f"{name}.{which}.json"


def name_of(filename: Path) -> str:
    """The name of the search that wrote a controller file: car_racing.cma.2.64 for car_racing.cma.2.64.best.json."""
    name, _, which = filename.name.removesuffix(".json").rpartition(".")
    return name if which in WEIGHTS else filename.name.removesuffix(".json")
