"""A least-squares fit of C: it acts on the z and h of one V and M as another agent does on its own."""

from collections.abc import Iterable

import numpy as np

RIDGE = 1e-4  # on W, relative to the number of samples: features that hardly vary get no large weights


def fit_weights(samples: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The weights, float64 (867,) for the car, with which C comes closest to given inputs of `squash`.

    Ridge regression: W and b minimize the mean over the samples of |W x + b - y|^2, plus RIDGE |W|^2.

    Args:
        samples: parts of the data: x = [z, h] (n, 288) and y, inputs of `squash` (n, 3).
    """
    gram, cross = np.zeros(()), np.zeros(())
    for features, targets in samples:
        x = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
        gram = gram + x.T @ x
        cross = cross + x.T @ targets
    count = gram[-1, -1]
    penalty = np.full(len(gram), RIDGE * count)
    penalty[-1] = 0
    solution = np.linalg.solve(gram + np.diag(penalty), cross)
    return np.concatenate([solution[:-1].T.ravel(), solution[-1]])
