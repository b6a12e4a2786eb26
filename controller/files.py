"""Controller files, [867 weights, score, metadata] as json in the tutorial's order, and a search's file names.

The numbers here are the car's: metadata that state no others are of it.
"""

from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import config
from controller.arch import CAR_FORM
from controller.settings import SearchSettings
from pipeline.errors import UserError
from pipeline.files import read_json, write_json

WEIGHTS = ("best", "dream_best", "current")

# Layout of a file -> function from its weights (867,), and the numbers A of an action, to the order in memory:
# W (3, 288) row by row, then b (3,).
LAYOUTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "tutorial": lambda x, A: np.concatenate([x[:-A].reshape(-1, A).T.ravel(), x[-A:]]),
    "estool": lambda x, A: np.concatenate([x[A:].reshape(-1, A).T.ravel(), x[:A]]),
    "actions": lambda x, A: x,
}
LAYOUT = "tutorial"  # the layout that `save` writes: W (288, 3) row by row, then b (3,)
OLD_LAYOUT = "actions"  # the layout of version 0.1.0, whose files have metadata without a layout


def in_tutorial_order(weights: np.ndarray, actions: int = CAR_FORM.actions) -> np.ndarray:
    """Weights (867,) in the tutorial's order: the inverse of LAYOUTS["tutorial"]."""
    return np.concatenate([weights[:-actions].reshape(actions, -1).T.ravel(), weights[-actions:]])


def save(path: Path, weights: np.ndarray, score: float, metadata: dict[str, Any]) -> None:
    """Write [867 weights, score, metadata] as json, in the tutorial's order; `metadata` gets the layout as well."""
    actions = metadata.get("actions", CAR_FORM.actions)
    write_json(path, [in_tutorial_order(weights, actions).tolist(), score, metadata | {"layout": LAYOUT}])


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
        raise UserError(f"{path} is not a controller file: expected [weights, score, ...]") from None
    A, features = ((metadata or {}).get(name, getattr(CAR_FORM, name)) for name in ("actions", "features"))
    if type(A) is not int or type(features) is not int or A < 1:
        raise UserError(f"{path} is not a controller file: its actions are {A!r}, its features {features!r}")
    if weights.shape != (A * (features + 1),) or not np.isfinite(weights).all():
        raise UserError(f"{path} holds weights of shape {weights.shape}, expected {A * (features + 1)} finite numbers")
    if layout is None and metadata is None:
        print(f"{path} has no metadata: read in the tutorial's layout, W ({features}, {A}) row by row, then b ({A})")
        layout = LAYOUT
    layout = layout or (metadata or {}).get("layout", OLD_LAYOUT)
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise UserError(f"{path} has the unknown layout {layout!r}: use one of {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](weights, A), score, metadata or {}


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
def search_name(settings: SearchSettings | Namespace) -> str:
    """The name of a search, of its settings or its flags; in dreams env ends in "_dream".

    It is env.optimizer.num_episode.population.
    """
    env_name = settings.env_name + ("_dream" if settings.dream_mode else "")
    return f"{env_name}.{settings.optimizer}.{settings.num_episode}.{settings.population}"


def state_path(name: str) -> Path:
    """The saved state of the search `name`."""
    return config.CONTROLLER_DIR / f"{name}.es.npz"


def weights_path(name: str, which: str) -> Path:
    """A controller file of the search `name`; `which` is one of WEIGHTS."""
    return config.CONTROLLER_DIR / f"{name}.{which}.json"


def env_of(filename: Path, metadata: dict[str, Any]) -> str | None:
    """The environment that a controller was searched in, by its metadata or, in earlier versions, its name.

    None: neither names an environment of config.py.
    """
    name = metadata.get("env", name_of(filename).partition(".")[0].removesuffix("_dream"))
    return name if name in config.ENVIRONMENTS else None


def recorded_env(filename: Path) -> str | None:
    """As `env_of`, by the file alone; None also where it is missing or damaged, which `load` reports."""
    with suppress(UserError):
        content = read_json(filename)
        metadata = content[2] if isinstance(content, list) and len(content) > 2 else {}
        return env_of(filename, metadata if isinstance(metadata, dict) else {})
    return None


def name_of(filename: Path) -> str:
    """The name of the search that wrote a controller file: car_racing.cma.2.64 for car_racing.cma.2.64.best.json."""
    name, _, which = filename.name.removesuffix(".json").rpartition(".")
    return name if which in WEIGHTS else filename.name.removesuffix(".json")
