"""Tests of experiments/ship.py: the agent that it writes is the rounded one, complete, and loads from anywhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import run_script

from experiments.ship import write_rounded
from pipeline.errors import UserError
from pipeline.networks import keras
from simulation.agent import load_agent_and_weights
from simulation.dream import open_initial_z


def test_a_shipped_agent_is_the_rounded_one(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae", "rnn", "controller", "log", "data/initial_z.npz")
    [controller] = sorted((folder / "controller").glob("car_racing.*.best.json"))
    run_script(folder, "experiments/ship.py", f"shipped --filename {controller.relative_to(folder)}")
    shipped = folder / "shipped"
    (agent, weights), (other, other_weights) = (
        load_agent_and_weights(place / "controller" / controller.name) for place in (folder, shipped)
    )
    np.testing.assert_array_equal(weights, other_weights)
    for network in ("vae", "rnn"):
        assert other.hashes[network] != agent.hashes[network]
        size = (shipped / network / "weights.h5").stat().st_size
        assert size < 0.7 * (folder / network / "weights.h5").stat().st_size
    pairs = (getattr(agent.networks, name) + getattr(other.networks, name) for name in ("vae", "rnn"))
    for arrays in pairs:
        half = len(arrays) // 2
        for original, rounded in zip(arrays[:half], arrays[half:], strict=True):
            np.testing.assert_allclose(rounded, original, rtol=2**-11, atol=2**-25)  # half of the last place
            assert rounded.dtype == np.float32
    initial_z, of_other = open_initial_z(agent.hashes["vae"], folder), open_initial_z(other.hashes["vae"], shipped)
    np.testing.assert_array_equal(initial_z[0][: len(of_other[0])], of_other[0])
    logs = {path.name for path in (folder / "log").glob("car_racing.cma.*json")}
    assert logs and logs == {path.name for path in (shipped / "log").iterdir()}
    again = run_script(folder, "experiments/ship.py", f"shipped --filename {controller.relative_to(folder)}", ok=False)
    assert again.returncode == 2 and "shipped/ is not empty: name a new folder" in again.stderr


def test_a_weight_that_is_too_large_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.set_weights([np.full((1, 1), 1e6), np.zeros(1)])
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(UserError, match=r"a weight of .* is too large for half precision"):
        write_rounded(tmp_path / "a.weights.h5", tmp_path / "b.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.weights.h5"]
