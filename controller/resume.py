"""The start of a search: resumed from its file, or new from zeros or from the best mean of an earlier search."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from controller.arch import CAR_FORM
from controller.coordinates import Coordinates, HiddenStates, new_coordinates
from controller.files import WEIGHTS, env_of, load, state_path, weights_path
from controller.saved_search import load_search
from controller.search import ControllerSearch
from controller.settings import SearchSettings
from pipeline.entries import check_env
from pipeline.errors import UserError, first_line
from pipeline.files import check_same
from pipeline.new_model import check_not_set_aside
from pipeline.settings import read_settings

# For a controller of other V and M: its file, their hashes {"vae": ..., "rnn": ...} and its weights (867,) -> weights
# (867,) for the V and M of the new search
Transfer = Callable[[Path, dict[str, str], np.ndarray], np.ndarray]


def start_or_resume(
    name: str,
    settings: SearchSettings,
    hidden_states: HiddenStates,
    new_model: bool,
    init_opt: Path | None,
    transfer: Transfer,
) -> ControllerSearch:
    """Resume the saved search `name`, or start a new one if there is none or with `new_model`.

    Args:
        settings: the settings that a resumed search must share, except its library versions.
        hidden_states: M as a function of series, for the coordinates of a new search.
        init_opt: file with which a new search starts, see `initial_weights`; None starts with zeros.
        transfer: used if that file is of another V or M.

    Raises:
        UserError: the settings differ, a file is damaged, or `init_opt` does not fit.
    """
    path = state_path(name)
    if path.exists() and not new_model:
        search = ControllerSearch.load(path)
        check_settings(search, settings)
        search.write_reports()
        print(f"resuming {path} after generation {search.generation}")
        return search
    if not new_model:
        check_not_set_aside(path)
        print(f"{path} holds no search to resume: starting from scratch")
    w0 = initial_weights(init_opt, name, settings, transfer) if init_opt else np.zeros(settings.num_weights)
    return ControllerSearch(name, settings, new_coordinates(settings, hidden_states, w0))


def check_settings(search: ControllerSearch, settings: SearchSettings) -> None:
    """Check that a search resumes under its own settings; UserError names the first that differs."""
    remedy = "give the earlier settings, or --new_model to start over"
    current = replace(settings, versions=search.settings.versions)
    check_same(str(state_path(search.name)), asdict(search.settings), asdict(current), remedy)


def best_mean(path: Path) -> tuple[np.ndarray, SearchSettings]:
    """The best evaluated mean (867,) of a saved search, the last one if none was evaluated, and its settings.

    Nothing is replayed, so the search may be of another machine, of other library versions, or of version 0.1.0.

    Raises:
        UserError: the file is damaged, or is not a saved search.
    """
    saved = load_search(path)
    settings = read_settings(SearchSettings, saved.settings, str(path), "give another --init_opt")
    arrays, prefix = saved.coordinates, "dream_" if settings.dream_mode else ""
    try:
        evaluated = len(arrays[f"{prefix}evaluations"]) > 0
        u = arrays[f"{prefix}best_u" if evaluated else "mean_u"]
        weights = Coordinates(arrays["w0"], arrays["T"]).weights(u)
        if weights.shape != (settings.num_weights,):
            raise ValueError(f"it has {weights.shape} weights")
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a saved controller search ({first_line(error)})") from None
    return weights, settings


def initial_weights(path: Path, name: str, settings: SearchSettings, transfer: Transfer) -> np.ndarray:
    """The weights (867,) at which the new search `name` starts.

    Args:
        path: a saved search (.es.npz), which gives its best mean, or a controller file (.json). The weights of a
            controller file that does not name its V and M, as the tutorial's, are taken as they are.
        transfer: gives the weights if V or M is another than that of `settings`.

    Raises:
        UserError: the new search would overwrite the file.
    """
    written = [state_path(name), *(weights_path(name, which) for which in WEIGHTS)]
    if path.resolve() in [file.resolve() for file in written]:
        raise UserError(f"--init_opt {path} would be overwritten by this search: copy it to another name")
    if path.suffix == ".json":
        weights, _, metadata = load(path)
        hashes: dict[str, str] = {key: metadata[key] for key in ("vae", "rnn") if key in metadata}
        form = {key: metadata.get(key, getattr(CAR_FORM, key)) for key in ("actions", "features")}
        env_name = env_of(path, metadata)
    else:
        weights, earlier = best_mean(path)
        hashes = {"vae": earlier.vae_hash, "rnn": earlier.rnn_hash}
        form = {"actions": earlier.actions, "features": earlier.features}
        env_name = earlier.env_name
    check_env(str(path), env_name and (env_name,), settings.env_name, "give another --init_opt")
    of_others = not hashes.items() <= {"vae": settings.vae_hash, "rnn": settings.rnn_hash}.items()
    needed = {"actions": settings.actions} if of_others else {key: getattr(settings, key) for key in form}
    check_same(str(path), form, needed, "give another --init_opt")
    if not of_others:
        return weights
    print(f"{path} is of another V or M: its controller is fitted to these")
    return transfer(path, hashes, weights)
