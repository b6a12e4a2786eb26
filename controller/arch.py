"""The controller (C): one linear layer from [z, h] to an action, with 867 weights.

Paper: arXiv 1803.10122, section 2.3 and appendix A.3. In memory the weights are W (3, 288), row by row, then b (3,);
controller/files.py has the order of files. These shapes are the car's; the input of C may also be [z, h, c].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError
from pipeline.sizes import CAR

Squash = Callable[[np.ndarray], np.ndarray]  # outputs of the linear layer (..., A) -> actions (..., A)


def squash(x: np.ndarray) -> np.ndarray:
    """Map real numbers (..., 3) to the car's actions: steer tanh(x), gas (tanh(x) + 1) / 2, brake max(tanh(x), 0)."""
    x = np.tanh(x)
    return np.stack([x[..., 0], (x[..., 1] + 1) / 2, np.maximum(x[..., 2], 0)], axis=-1)


@dataclass(frozen=True)
class Form:
    """The form of C for an environment; the defaults are the car's.

    Attributes:
        actions: numbers of an action.
        z, h: numbers of z and of h.
        cell: whether the LSTM's cell state c is an input as well, after h.
        squash: what makes actions of the linear layer's outputs.
    """

    actions: int = CAR.actions
    z: int = CAR.z
    h: int = CAR.h
    cell: bool = False
    squash: Squash = squash

    @property
    def features(self) -> int:
        """The inputs of C."""
        return self.z + self.h * (1 + self.cell)

    @property
    def num_weights(self) -> int:
        """The weights of C."""
        return self.actions * (self.features + 1)


CAR_FORM = Form()
FEATURES, NUM_WEIGHTS = CAR_FORM.features, CAR_FORM.num_weights


def unpack(weights: np.ndarray, actions: int = CAR.actions) -> tuple[np.ndarray, np.ndarray]:
    """Split weights (..., 867) into W (..., 3, 288) and b (..., 3)."""
    split = weights.shape[-1] - actions
    return weights[..., :split].reshape(*weights.shape[:-1], actions, split // actions), weights[..., split:]


def without_h(weights: np.ndarray, actions: int = CAR.actions, z: int = CAR.z) -> np.ndarray:
    """A copy of weights (867,) with those of h set to zero."""
    weights = weights.copy()
    W, _ = unpack(weights, actions)
    W[:, z:] = 0
    return weights


def act(W: np.ndarray, b: np.ndarray, z: np.ndarray, h: np.ndarray, squash: Squash = squash) -> np.ndarray:
    """Actions of n agents with individual weights: W (n, 3, 288), b (n, 3), z (n, 32), h (n, 256) -> float32 (n, 3).

    Args:
        h: M's state, the LSTM's h or [h, c].
        squash: what makes actions of the linear layer's outputs.

    Raises:
        UserError: an action is not finite, because weights are damaged or so large that they overflow.
    """
    features = np.concatenate([z, h], axis=1)[:, None, :]
    with np.errstate(over="ignore", invalid="ignore"):
        # No matrix product: its rounding would make an agent's action depend on the other rows
        # (test_an_action_does_not_depend_on_its_neighbors).
        outputs = (W * features).sum(axis=2) + b
        actions = squash(outputs).astype(np.float32)
    if np.isnan(outputs).any() or not np.isfinite(actions).all():
        raise UserError("the agent's actions are not finite: the weights of V, M or C are too large, or damaged")
    return actions
