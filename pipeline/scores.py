"""Scores over many episodes as text: the one place that formats mean ± standard deviation."""

from collections.abc import Sequence

import numpy as np


def mean_std(scores: Sequence[float] | np.ndarray) -> str:
    """Mean ± standard deviation of scores."""
    return f"{np.mean(scores):.1f} ± {np.std(scores):.1f}"


def summary(scores: Sequence[float] | np.ndarray, what: str = "tracks") -> str:
    """Mean ± standard deviation, number and minimum of scores."""
    return f"{mean_std(scores)} over {len(scores)} {what}, min {min(scores):.1f}"
