"""The controller (C): one linear layer from [z, h] to an action, with 867 weights.

Paper: arXiv 1803.10122, section 2.3 and appendix A.3. In memory the weights are W (3, 288), row by row, then b (3,);
controller/files.py has the order of files.
"""

import numpy as np

from pipeline.errors import UserError
from pipeline.sizes import CAR

FEATURES = CAR.z + CAR.h
NUM_WEIGHTS = CAR.actions * (FEATURES + 1)


def squash(x: np.ndarray) -> np.ndarray:
    """Map real numbers (..., 3) to actions: steer tanh(x), gas (tanh(x) + 1) / 2, brake max(tanh(x), 0)."""
    x = np.tanh(x)
    return np.stack([x[..., 0], (x[..., 1] + 1) / 2, np.maximum(x[..., 2], 0)], axis=-1)


def unpack(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split weights (..., 867) into W (..., 3, 288) and b (..., 3)."""
    split = CAR.actions * FEATURES
    return weights[..., :split].reshape(*weights.shape[:-1], CAR.actions, FEATURES), weights[..., split:]


def without_h(weights: np.ndarray) -> np.ndarray:
    """A copy of weights (867,) with those of h set to zero."""
    weights = weights.copy()
    W, _ = unpack(weights)
    W[:, CAR.z :] = 0
    return weights


def act(W: np.ndarray, b: np.ndarray, z: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Actions of n agents with individual weights: W (n, 3, 288), b (n, 3), z (n, 32), h (n, 256) -> float32 (n, 3).

    Raises:
        UserError: an action is not finite, because weights are damaged or so large that they overflow.
    """
    features = np.concatenate([z, h], axis=1)[:, None, :]
    with np.errstate(over="ignore", invalid="ignore"):
        # No matrix product: its rounding would make an agent's action depend on the other rows
        # (test_an_action_does_not_depend_on_its_neighbors).
        actions = squash((W * features).sum(axis=2) + b).astype(np.float32)
    if not np.isfinite(actions).all():
        raise UserError("the agent's actions are not finite: the weights of V, M or C are too large, or damaged")
    return actions
