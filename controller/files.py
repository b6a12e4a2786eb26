"""Files of controllers: [867 numbers, score, metadata] as json, in the tutorial's order of weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

import config
from controller.arch import FEATURES, NUM_WEIGHTS
from pipeline.errors import UserError
from pipeline.files import read_json, write_json

WEIGHTS = ("best", "dream_best", "current")
A = config.ACTION_DIM

# Layout -> function from the numbers in a file (867,) to the order used here: W (3, 288) row by row, then b (3,).
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tutorial": lambda x: np.concatenate([x[: A * FEATURES].reshape(FEATURES, A).T.ravel(), x[A * FEATURES :]]),
    "estool": lambda x: np.concatenate([x[A:].reshape(FEATURES, A).T.ravel(), x[:A]]),
    "actions": lambda x: x,
}
LAYOUT = "tutorial"  # what `save` writes: W (288, 3) row by row, then b (3,)
OLD_LAYOUT = "actions"  # of files with metadata that name no layout: written before this order was adopted


def in_tutorial_order(weights: np.ndarray) -> np.ndarray:
    """Weights (867,) in the order of a file: the inverse of LAYOUTS["tutorial"]."""
    split = A * FEATURES
    return np.concatenate([weights[:split].reshape(A, FEATURES).T.ravel(), weights[split:]])


def save(path: Path, weights: np.ndarray, score: float, metadata: dict) -> None:
    """Write [867 numbers, score, metadata] as json, as the tutorial did; `metadata` says what produced them."""
    write_json(path, [in_tutorial_order(weights).tolist(), score, metadata | {"layout": LAYOUT}])


def load(path: Path, layout: str | None = None) -> tuple[np.ndarray, float, dict]:
    """Read a controller: what `save` wrote, older files of this project, the tutorial's, or estool's.

    Args:
        layout: order of the numbers, a key of LAYOUTS; None takes the file's own, and the tutorial's for a file without
            metadata, which is printed.

    Returns: weights, float64 (867,), W (3, 288) row by row, then b (3,); score; metadata.

    Raises:
        UserError: the file is missing, or is something else.
    """
    content = read_json(path)
    try:
        weights = np.array(content[0], np.float64)
        score, metadata = float(content[1]), dict(content[2]) if len(content) > 2 else None
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        raise UserError(f"{path} is not a controller: need [{NUM_WEIGHTS} numbers, score, ...]") from None
    if weights.shape != (NUM_WEIGHTS,) or not np.isfinite(weights).all():
        raise UserError(f"{path} holds weights of shape {weights.shape}, need {NUM_WEIGHTS} finite numbers")
    if layout is None and metadata is None:
        print(f"{path} has no metadata: read in the tutorial's layout, W ({FEATURES}, {A}) row by row, then b ({A})")
        layout = LAYOUT
    layout = layout or metadata.get("layout", OLD_LAYOUT)
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise UserError(f"{path} has the layout {layout!r}: known are {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](weights), score, metadata or {}


# --- names ------------------------------------------------------------------------------------------------------------
def state_path(name: str) -> Path:
    """The saved search of that name."""
    return config.CONTROLLER_DIR / f"{name}.es.npz"


def weights_path(name: str, which: str) -> Path:
    """The controller file of a search; `which` is one of WEIGHTS."""
    return config.CONTROLLER_DIR / f"{name}.{which}.json"


def name_of(filename: Path) -> str:
    """The search that a controller file belongs to: car_racing.cma.2.64 for car_racing.cma.2.64.best.json."""
    name, _, which = filename.name.removesuffix(".json").rpartition(".")
    return name if which in WEIGHTS else filename.name.removesuffix(".json")
