"""The length of a training of stage 02 or 04, and its batches: in which order, and which are validated on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.seeds import rng

VALIDATION_BATCHES = 4  # of a checkpoint, for its cost see docs/speed.md


@dataclass(frozen=True)
class Schedule:
    """The length of a training: at most `epochs` epochs and `steps` gradient steps in total; None means no limit."""

    steps_per_epoch: int
    epochs: int | None
    steps: int | None
    checkpoint_steps: int  # gradient steps between checkpoints

    @property
    def goal(self) -> int:
        """The gradient steps in total."""
        limits = [self.epochs and self.epochs * self.steps_per_epoch, self.steps]
        return min(limit for limit in limits if limit is not None)

    def is_checkpoint(self, step: int) -> bool:
        """Whether everything is saved after so many gradient steps."""
        return step % self.checkpoint_steps == 0 or step == self.goal

    def end(self, step: int) -> str:
        """Which limit ended the training after `step` steps, and what continues it."""
        if self.steps is not None and step >= self.steps:
            return f"ended by --steps {self.steps}; a larger one continues"
        goal = f" of --steps {self.steps}" if self.steps is not None else ""
        return f"ended by --epochs {self.epochs}, after {step} steps{goal}; a larger one continues"


def shuffled(samples: np.ndarray, batch_size: int, seed: int, epoch: int, first: int = 0) -> Iterator[np.ndarray]:
    """Yield the batches of an epoch from batch `first` on, in an order that depends on (seed, epoch).

    An incomplete last batch is dropped.
    """
    order = rng("batch_order", seed, epoch).permutation(len(samples))
    for i in range(first * batch_size, len(samples) - batch_size + 1, batch_size):
        yield samples[order[i : i + batch_size]]


def spread(samples: np.ndarray, batch_size: int) -> np.ndarray:
    """The fixed part of the held-out samples on which a checkpoint validates: VALIDATION_BATCHES batches at most."""
    count = min(len(samples), VALIDATION_BATCHES * batch_size)
    return samples[np.arange(count) * len(samples) // count]


def in_order(samples: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield all samples in batches, in their order; the last batch may be shorter."""
    for i in range(0, len(samples), batch_size):
        yield samples[i : i + batch_size]
