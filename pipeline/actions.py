"""The actions of an environment as the numbers that M is conditioned on: those of a Box, or one-hot choices."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Actions:
    """The actions of an environment, each as `count` numbers.

    Attributes:
        names: what figures call the numbers.
        low, high: bounds of each number.
        first: of a Discrete space, its first choice, and the numbers are one-hot; None: the space is a Box.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    first: int | None = None

    @property
    def count(self) -> int:
        """The numbers of an action."""
        return len(self.low)

    def taken(self, numbers: np.ndarray) -> np.ndarray:
        """What the environment takes, (n, count) of a Box or integers (n,), for the numbers of n actions."""
        return numbers if self.first is None else np.asarray(numbers.argmax(axis=1) + self.first)

    def numbers(self, taken: np.ndarray) -> np.ndarray:
        """The inverse of `taken`: the numbers of actions as the environment takes them.

        Raises:
            ValueError: the space is Discrete, and they are not choices of it, integers (n,).
        """
        if self.first is None:
            return np.asarray(taken)
        choices = np.asarray(taken) - self.first
        if choices.ndim != 1 or choices.dtype.kind != "i" or not np.isin(choices, range(self.count)).all():
            last = self.first + self.count - 1
            raise ValueError(f"actions are integers from {self.first} to {last}, of shape (T,)")
        return np.asarray(np.eye(self.count, dtype=np.float32)[choices])

    def squash(self, x: np.ndarray) -> np.ndarray:
        """Map real numbers (..., count) to actions: into the bounds, by tanh, or the largest one-hot."""
        if self.first is not None:
            return np.asarray(np.arange(self.count) == x.argmax(axis=-1)[..., None], np.float32)
        low, high = np.array(self.low), np.array(self.high)
        return np.asarray(low + (np.tanh(x) + 1) / 2 * (high - low))


CAR_ACTIONS = Actions(names=("steer", "gas", "brake"), low=(-1.0, 0.0, 0.0), high=(1.0, 1.0, 1.0))
