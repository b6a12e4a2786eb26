"""The start of a search: resumed from its file, or new from zeros or from the best mean of an earlier search."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

import config
from controller.arch import NUM_WEIGHTS
from controller.coordinates import Coordinates, HiddenStates, new_coordinates
from controller.files import WEIGHTS, load, state_path, weights_path
from controller.saved_search import load_search
from controller.search import ControllerSearch
from controller.settings import SearchSettings
from pipeline.errors import UserError, first_line
from pipeline.files import check_same
from pipeline.new_model import check_not_set_aside
from pipeline.settings import read_settings
from pipeline.weights import training_settings


def start_or_resume(
    name: str, settings: SearchSettings, hidden_states: HiddenStates, new_model: bool, init_opt: Path | None
) -> ControllerSearch:
    """Resume the saved search `name`, or start a new one if there is none or with `new_model`.

    Args:
        settings: the settings that a resumed search must share, except its library versions.
        hidden_states: M as a function of series, for the coordinates of a new search.
        init_opt: file with which a new search starts, see `initial_weights`; None starts with zeros.

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
    w0 = initial_weights(init_opt, name, settings) if init_opt else np.zeros(NUM_WEIGHTS)
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
        if weights.shape != (NUM_WEIGHTS,):
            raise ValueError(f"it has {weights.shape} weights")
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a saved controller search ({first_line(error)})") from None
    return weights, settings


def initial_weights(path: Path, name: str, settings: SearchSettings) -> np.ndarray:
    """The weights (867,) at which the new search `name` starts.

    Args:
        path: a saved search (.es.npz), which gives its best mean, or a controller file (.json). Its V and M may be
            those of `settings` or those from which they were trained on (--init_weights): further training changes z
            and h only a little. A controller file that does not name its V and M, as the tutorial's, is not checked.

    Raises:
        UserError: the new search would overwrite the file, or the file is of other networks.
    """
    written = [state_path(name), *(weights_path(name, which) for which in WEIGHTS)]
    if path.resolve() in [file.resolve() for file in written]:
        raise UserError(f"--init_opt {path} would be overwritten by this search: copy it to another name")
    if path.suffix == ".json":
        weights, _, metadata = load(path)
        networks = {f"{network}_hash": metadata[network] for network in ("vae", "rnn") if network in metadata}
    else:
        weights, earlier = best_mean(path)
        networks = {"vae_hash": earlier.vae_hash, "rnn_hash": earlier.rnn_hash}
    trainings = {
        "vae_hash": training_settings(config.VAE_DIR / "weights.h5"),
        "rnn_hash": training_settings(config.RNN_DIR / "weights.h5"),
    }
    current = asdict(settings)
    for key, network in networks.items():
        training = trainings[key]
        if training is None or network != training.init_weights:
            check_same(str(path), networks, {key: current[key]}, "its weights do not fit these networks")
    return weights
