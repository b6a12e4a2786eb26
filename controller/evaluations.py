"""The evaluations of a search's mean, and the best of them."""

import numpy as np

EVALUATION = ("generation", "mean", "std", "min")


class Evaluations:
    """Scores of the mean of a search distribution, in the real environment or in dreams.

    Attributes:
        rows: float64 (evaluations, 4), see EVALUATION.
        best, best_u: index of the evaluation with the highest mean score, and the coordinates (k,) evaluated in it.
    """

    def __init__(self, dimensions: int) -> None:
        self.rows, self.best, self.best_u = np.zeros((0, len(EVALUATION))), 0, np.zeros(dimensions)

    def record(self, generation: int, scores: np.ndarray, u: np.ndarray) -> bool:
        """Record the scores (tracks,) of coordinates u (k,); returns whether they are the best so far."""
        self.rows = np.vstack([self.rows, (generation, scores.mean(), scores.std(), scores.min())])
        better = len(self.rows) == 1 or bool(scores.mean() > self.rows[self.best, 1])
        if better:
            self.best, self.best_u = len(self.rows) - 1, u
        return better

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays to save, with names that begin with `prefix`."""
        return {f"{prefix}evaluations": self.rows, f"{prefix}best": np.array(self.best), f"{prefix}best_u": self.best_u}

    def restore(self, arrays: dict[str, np.ndarray], prefix: str) -> None:
        """Restore from the result of `arrays`; ValueError if it is inconsistent."""
        rows, best, best_u = (arrays[prefix + name] for name in ("evaluations", "best", "best_u"))
        if rows.shape[1:] != self.rows.shape[1:] or best_u.shape != self.best_u.shape:
            raise ValueError(f"its {prefix}evaluations have shapes {rows.shape} and {best_u.shape}")
        if not 0 <= best < max(len(rows), 1):
            raise ValueError(f"its {prefix}best is {best}, of {len(rows)} evaluations")
        self.rows, self.best, self.best_u = rows, int(best), best_u
