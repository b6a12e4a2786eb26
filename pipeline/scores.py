"""The summary line of scores over many episodes."""

from collections.abc import Sequence

import numpy as np


def summary(scores: Sequence[float] | np.ndarray, what: str = "tracks") -> str:
    """Mean ± standard deviation, number and minimum of scores."""
    return f"{np.mean(scores):.1f} ± {np.std(scores):.1f} over {len(scores)} {what}, min {min(scores):.1f}"
