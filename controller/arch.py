"""C, the hand: one linear layer from [z, h] to an action, 867 numbers.

Paper: arXiv 1803.10122, section 2.4 and appendix A.3. The 867 numbers are W (3, 288), row after row, then b (3,).
"""

import numpy as np

import config
from pipeline.errors import UserError

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


def is_weight_of(action: str) -> np.ndarray:
    """Which of the weights decide on "steer", "gas" or "brake": bool (867,)."""
    mine = np.zeros(NUM_WEIGHTS, bool)
    W, b = unpack(mine)
    i = config.ACTIONS.index(action)
    W[i] = b[i] = True
    return mine


def without_h(weights: np.ndarray) -> np.ndarray:
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
