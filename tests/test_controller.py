"""Tests of the controller: its action by a second formula, its files and its subspace."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import controller.arch as arch
from controller import files as controller_files
from controller.coordinates import all_weights, principal_subspace
from pipeline.actions import CAR_ACTIONS
from pipeline.errors import UserError
from pipeline.sizes import CAR

NAME = "car_racing.cma.2.8"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def some_features(n: int, seed: int = 0) -> np.ndarray:
    """Synthetic [z, h] with most of the variance in a few directions, like real ones: float32 (n, 288)."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(arch.FEATURES, arch.FEATURES)) * np.logspace(0, -3, arch.FEATURES)
    return (rng.normal(size=(n, arch.FEATURES)) @ mixing.T + rng.normal(size=arch.FEATURES)).astype(np.float32)


# --- the action ----------------------------------------------------------------------------------------------------


def test_an_action_is_a_squashed_linear_function() -> None:
    rng = np.random.default_rng(0)
    weights, x = rng.normal(0, 0.3, (5, arch.NUM_WEIGHTS)), some_features(5)
    actions = arch.act(*arch.unpack(weights), x[:, : CAR.z], x[:, CAR.z :])
    assert actions.shape == (5, 3)
    assert actions.dtype == np.float32
    for w, features, (steer, gas, brake) in zip(weights, x, actions, strict=True):
        s, g, b = (math.fsum([*(w[288 * a : 288 * (a + 1)] * features), w[864 + a]]) for a in range(3))
        assert steer == pytest.approx(math.tanh(s), abs=1e-6)
        assert gas == pytest.approx(1 / (1 + math.exp(-2 * g)), abs=1e-6)
        assert brake == pytest.approx(max(math.tanh(b), 0), abs=1e-6)


def test_867_weights() -> None:
    assert arch.NUM_WEIGHTS == 867


def test_every_action_lies_within_the_bounds() -> None:
    x = np.array([[-1e9] * 3, [1e9] * 3, [0.0] * 3, [-0.3, 0.2, -0.1]])
    actions = arch.squash(x)
    assert (actions >= CAR_ACTIONS.low).all()
    assert (actions <= CAR_ACTIONS.high).all()
    np.testing.assert_allclose(actions[:3], [[-1, 0, 0], [1, 1, 1], [0, 0.5, 0]])


def test_an_action_does_not_depend_on_its_neighbors() -> None:
    weights, x = np.random.default_rng(0).normal(size=(16, arch.NUM_WEIGHTS)), some_features(16)
    W, b = arch.unpack(weights)
    z, h = x[:, : CAR.z], x[:, CAR.z :]
    together = arch.act(W, b, z, h)
    for i in range(16):
        np.testing.assert_array_equal(together[i], arch.act(W[i : i + 1], b[i : i + 1], z[i : i + 1], h[i : i + 1])[0])


# --- files ---------------------------------------------------------------------------------------------------------


def test_a_controller_file_round_trip() -> None:
    weights = np.random.default_rng(0).normal(size=arch.NUM_WEIGHTS)
    controller_files.save(Path("controller/a.json"), weights, 12.5, {"vae": "1234"})
    loaded, score, metadata = controller_files.load(Path("controller/a.json"))
    np.testing.assert_array_equal(loaded, weights)
    assert (score, metadata) == (12.5, {"vae": "1234", "layout": "tutorial"})
    W, b = arch.unpack(weights)
    saved = json.loads(Path("controller/a.json").read_text())[0]  # the tutorial's order: W (288, 3) row by row, then b
    assert saved == [W[action, feature] for feature in range(288) for action in range(3)] + b.tolist()


def test_the_tutorials_file_of_two_elements_loads() -> None:
    Path("a.json").write_text(json.dumps([[0.5] * 867, 900.1]))
    weights, score, metadata = controller_files.load(Path("a.json"))
    assert weights.tolist() == [0.5] * 867
    assert (score, metadata) == (900.1, {})


BAD_CONTROLLERS = {
    "empty": "",
    "truncated": json.dumps([[0.5] * 867, 900.1])[:500],
    "an object": "{}",
    "a number": "867",
    "weights without a score": json.dumps([[0.5] * 867]),
    "too few": json.dumps([[0.5] * 866, 1.0]),
    "too many": json.dumps([[0.5] * 868, 1.0]),
    "text": json.dumps([["0.5x"] * 867, 1.0]),
    "nan": json.dumps([[0.5] * 866 + [math.nan], 1.0]),
    "infinite": json.dumps([[0.5] * 866 + [math.inf], 1.0]),
    "ragged": json.dumps([[[0.5]] + [0.5] * 866, 1.0]),
    "metadata of another type": json.dumps([[0.5] * 867, 1.0, 3]),
    "not utf-8": "\udcff",
}


@pytest.mark.parametrize("content", BAD_CONTROLLERS)
def test_an_invalid_controller_file_is_refused_in_one_line(content: str) -> None:
    Path("a.json").write_text(BAD_CONTROLLERS[content], errors="surrogateescape")
    with pytest.raises(UserError, match=r"a\.json") as error:
        controller_files.load(Path("a.json"))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"missing\.json is not there"):
        controller_files.load(Path("missing.json"))


# --- the subspace --------------------------------------------------------------------------------------------------


def test_coordinates_of_all_weights() -> None:
    w0, u = np.random.default_rng(0).normal(size=(2, arch.NUM_WEIGHTS))
    np.testing.assert_allclose(all_weights(w0).weights(u), w0 + u, rtol=1e-12)


def test_the_subspace_depends_on_the_principal_components_only() -> None:
    """Second formula: the components by an SVD of the centered features, the action from their projections."""
    k, rng = 6, np.random.default_rng(1)
    features, w0 = some_features(500), rng.normal(size=arch.NUM_WEIGHTS)
    u = rng.normal(size=3 * (k + 1))
    coordinates = principal_subspace(w0, features, k)
    mean = features.astype(np.float64).mean(axis=0)
    _, s, Vt = np.linalg.svd(features - mean, full_matrices=False)
    V = Vt[:k] * np.sign(Vt[np.arange(k), np.abs(Vt[:k]).argmax(axis=1)])[:, None]
    scale = (s[:k] ** 2 / (len(features) - 1)) ** -0.25
    W0, b0 = arch.unpack(w0)
    W, b = arch.unpack(coordinates.weights(u))
    for x in some_features(5, seed=2).astype(np.float64):
        projections = scale * (V @ (x - mean))
        per_action = u.reshape(3, k + 1)
        expected = W0 @ x + b0 + per_action[:, :k] @ projections + per_action[:, k]
        np.testing.assert_allclose(W @ x + b, expected, rtol=1e-6)


def test_batched_coordinates_give_the_same_weights_as_single_ones() -> None:
    coordinates = principal_subspace(np.zeros(arch.NUM_WEIGHTS), some_features(100), 4)
    u = np.random.default_rng(0).normal(size=(7, 15))
    np.testing.assert_allclose(coordinates.weights(u), [coordinates.weights(row) for row in u], rtol=1e-12, atol=1e-15)


def test_constant_features_give_finite_coordinates() -> None:
    features = some_features(50)
    features[:, 10:] = 0.25
    T = principal_subspace(np.zeros(arch.NUM_WEIGHTS), features, 20).T
    assert np.isfinite(T).all()
