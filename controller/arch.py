"""C, the hand: one linear layer from [z, h] to an action, 867 numbers.

Paper: arXiv 1803.10122, section 2.4 and appendix A.3. The 867 numbers are W (3, 288), row after row, then b (3,).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import config
from rollouts import UserError, read_json, write_json

FEATURES = config.Z_DIM + config.HIDDEN_UNITS
NUM_WEIGHTS = config.ACTION_DIM * (FEATURES + 1)


def squash(x: np.ndarray) -> np.ndarray:
    """Any numbers (..., 3) to actions: steer tanh, gas (tanh + 1) / 2, brake tanh but not below 0."""
    x = np.tanh(x)
    return np.stack([x[..., 0], (x[..., 1] + 1) / 2, np.maximum(x[..., 2], 0)], axis=-1)


def unpack(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split weights (..., 867) into W (..., 3, 288) and b (..., 3)."""
    split = config.ACTION_DIM * FEATURES
    return weights[..., :split].reshape(*weights.shape[:-1], config.ACTION_DIM, FEATURES), weights[..., split:]


def decides_on(action: str) -> np.ndarray:
    """Which of the weights decide on "steer", "gas" or "brake": bool (867,)."""
    mine = np.zeros(NUM_WEIGHTS, bool)
    W, b = unpack(mine)
    i = config.ACTIONS.index(action)
    W[i] = b[i] = True
    return mine


def blind_to_h(weights: np.ndarray) -> np.ndarray:
    """Weights (867,) that see z as these do, and h not at all."""
    weights = weights.copy()
    W, _ = unpack(weights)
    W[:, config.Z_DIM :] = 0
    return weights


def act(W: np.ndarray, b: np.ndarray, z: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Actions of n agents, each by its own weights: W (n, 3, 288), b (n, 3), z (n, 32), h (n, 256) -> float32 (n, 3).

    Every row is summed by itself, so what an agent does never depends on its neighbours, as in a matrix product.

    Raises:
        UserError: an action is no number, as weights near the largest number there is, or damaged ones, make it.
    """
    features = np.concatenate([z, h], axis=1)[:, None, :]
    with np.errstate(over="ignore", invalid="ignore"):
        actions = squash((W * features).sum(axis=2) + b).astype(np.float32)
    if not np.isfinite(actions).all():
        raise UserError("the agent's actions are not numbers: the weights of V, M or C are too large, or damaged")
    return actions


# --- files ------------------------------------------------------------------------------------------------------------
def save(path: Path, weights: np.ndarray, score: float, about: dict) -> None:
    """Write [867 numbers, score, about] as json, as the tutorial did; `about` says what made them."""
    write_json(path, [weights.tolist(), score, about])


def load(path: Path) -> tuple[np.ndarray, float, dict]:
    """Read what `save` wrote; the tutorial's two-element files too. UserError when it is something else."""
    content = read_json(path)
    try:
        weights = np.array(content[0], np.float64)
        score, about = float(content[1]), dict(content[2]) if len(content) > 2 else {}
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        raise UserError(f"{path} is not a controller: need [{NUM_WEIGHTS} numbers, score, ...]") from None
    if weights.shape != (NUM_WEIGHTS,) or not np.isfinite(weights).all():
        raise UserError(f"{path} holds weights of shape {weights.shape}, need {NUM_WEIGHTS} finite numbers")
    return weights, score, about


# --- where the search looks -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Coordinates:
    """The search's own coordinates: weights = w0 + T u, with u (k,), w0 (867,), T (867, k)."""

    w0: np.ndarray
    T: np.ndarray

    def weights(self, u: np.ndarray) -> np.ndarray:
        """Weights (..., 867) of coordinates u (..., k)."""
        return self.w0 + (self.T @ u[..., None])[..., 0]

    def that_move(self, actions: tuple[str, ...]) -> np.ndarray:
        """Which coordinates move any of these actions: bool (k,)."""
        return np.any([(self.T[decides_on(action)] != 0).any(axis=0) for action in actions], axis=0)


def all_weights(w0: np.ndarray) -> Coordinates:
    """Every weight is a coordinate of its own, as in the tutorial."""
    return Coordinates(w0, np.eye(NUM_WEIGHTS))


def principal_subspace(w0: np.ndarray, features: np.ndarray, components: int) -> Coordinates:
    """Coordinates that see only the leading principal components of [z, h], and a bias: 3 * (components + 1).

    What hardly varies cannot steer; leaving it out makes the search a sixth as wide. With eigenvalues lambda_i and
    eigenvectors v_i of the covariance of the features x, each of the three numbers that go into `squash` is
    sum_i u_i lambda_i^(-1/4) v_i (x - mean) + u_k, with coordinates of its own, u (k + 1,), the bias last. The exponent
    -1/2 would give every component the same say, 0 would leave the small ones none.

    Args:
        w0: float64 (867,), where u = 0 is.
        features: (n, 288), [z, h] as met on the road.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(features, rowvar=False, dtype=np.float64))
    leading = slice(-1, -1 - components, -1)  # eigh sorts upwards
    scale = np.maximum(eigenvalues[leading], 1e-12) ** -0.25
    directions = eigenvectors[:, leading] * scale
    # An eigenvector's sign is the library's whim; settled here so that one seed gives one search.
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(components)])
    one_action = np.zeros((FEATURES + 1, components + 1))
    one_action[:FEATURES, :components] = directions
    one_action[FEATURES, :components] = -mean @ directions
    one_action[FEATURES, components] = 1
    T = np.zeros((config.ACTION_DIM, FEATURES + 1, config.ACTION_DIM, components + 1))
    for a in range(config.ACTION_DIM):
        T[a, :, a] = one_action
    T = T.reshape(config.ACTION_DIM, FEATURES + 1, -1)
    return Coordinates(w0, np.concatenate([T[:, :FEATURES].reshape(-1, T.shape[-1]), T[:, FEATURES]]))
