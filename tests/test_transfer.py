"""Tests of the transfer of a controller to another V and M (05 --init_opt)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import SEARCH, STAGES, run_script

from controller.arch import FEATURES, NUM_WEIGHTS, unpack
from controller.files import load
from controller.fit import RIDGE, fit_weights
from controller.saved_search import load_search
from pipeline.batches import find_batches, open_batch
from pipeline.errors import UserError
from pipeline.sizes import CAR
from simulation.agent import load_networks
from simulation.transfer import transferred_weights

VAE, SERIES, RNN, CONTROLLER = list(STAGES)[1:]


def test_the_fit_minimizes_squared_errors_with_a_penalty() -> None:
    """Against NumPy's least squares, where the penalty is one more row of the data for each weight of W."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1000, FEATURES)), rng.normal(size=(1000, CAR.actions))
    penalty = np.sqrt(RIDGE * len(x)) * np.eye(FEATURES, FEATURES + 1)
    rows = np.vstack([np.column_stack([x, np.ones(len(x))]), penalty])
    expected = np.linalg.lstsq(rows, np.vstack([y, np.zeros((FEATURES, CAR.actions))]), rcond=None)[0]
    W, b = unpack(fit_weights([(x[:300], y[:300]), (x[300:], y[300:])]))
    np.testing.assert_allclose(W, expected[:-1].T, atol=1e-12)
    np.testing.assert_allclose(b, expected[-1], atol=1e-12)


def test_on_the_same_networks_the_controller_acts_as_before(
    finished: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    agent = load_networks(Path())
    weights = np.random.default_rng(0).normal(size=NUM_WEIGHTS) / 10
    path = next(Path("controller").glob("*.best.json")).absolute()
    fitted = transferred_weights(agent, "car_racing", path, agent.hashes, weights)
    latents = open_batch("rnn", find_batches("rnn")[0])
    h = agent.rnn.hidden_states(latents["rnn_input"][:1])[0]
    x = np.concatenate([latents["rnn_output"][0, :, : CAR.z], h], axis=1)
    (W, b), (fitted_W, fitted_b) = unpack(weights), unpack(fitted)
    before, after = x @ W.T + b, x @ fitted_W.T + fitted_b
    assert np.abs(after - before).max() < 0.1 * before.std()
    with pytest.raises(UserError, match="was trained with vae other"):
        transferred_weights(agent, "car_racing", path, {"vae": "other"}, weights)


def test_05_fits_the_controller_to_networks_that_were_trained_further(copy_of: Callable[..., Path]) -> None:
    """The search starts from the fitted weights, not from those of the file."""
    round1 = copy_of("data", "vae", "rnn", "controller")
    folder = round1 / "round2"
    shutil.copytree(round1 / "data", folder / "data")
    run_script(folder, VAE, STAGES[VAE], "--epochs 1 --init_weights ../vae/weights.h5")
    run_script(folder, SERIES)
    run_script(folder, RNN, STAGES[RNN], "--init_weights ../rnn/weights.h5")
    earlier = Path("..", "controller", f"{SEARCH}.best.json")
    done = run_script(folder, CONTROLLER, STAGES[CONTROLLER], f"--init_opt {earlier}")
    assert f"{earlier} is of another V or M: its controller is fitted to these" in done.stdout
    w0 = load_search(folder / "controller" / f"{SEARCH}.es.npz").coordinates["w0"]
    given = load(folder / earlier)[0]
    assert w0.shape == given.shape
    assert np.abs(w0 - given).max() > 1e-3
    shutil.rmtree(round1 / "vae")  # V must be beside the file
    done = run_script(folder, CONTROLLER, STAGES[CONTROLLER], f"--init_opt {earlier} --new_model", ok=False)
    assert "was trained with vae" in done.stderr
