"""What Deep Q-Learning is told: how to learn, and what in.

Nothing here needs TensorFlow: a script says what it does before that is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from pipeline.networks import keras


def epsilon_by_step(step: int, start: float, final: float, scale: float) -> float:
    """The share of random actions at a step: it decays exponentially from `start` towards `final`."""
    return final + (start - final) * float(np.exp(-step / scale))


def epsilon_by_update(updates: int, start: float, final: float, decay: float) -> float:
    """The share of random actions after so many minibatches, each of which shrinks it by a factor, down to `final`."""
    return max(final, start * decay**updates)


@dataclass(frozen=True)
class Recipe:
    """How to learn. A resumed training must share all of it.

    Of epsilon_step (see `epsilon_by_step`) and epsilon_decay (see `epsilon_by_update`) one is given, the other None.
    """

    gamma: float  # what a reward is worth one step later
    learning_rate: float  # of Adam
    loss: str  # "mse" or "smooth_l1", of the difference to the target
    memory: int  # observations that the replay memory holds
    warm_up: int  # transitions in the memory before learning begins, or goes on
    batch_size: int  # transitions a minibatch
    train_every: int  # steps between minibatches; 0: one at the end of each episode
    target_update_freq: int  # steps between refreshments of the target network; 0: there is none
    double: bool  # double-Q learning
    epsilon_start: float
    epsilon_final: float
    epsilon_step: float | None = None
    epsilon_decay: float | None = None

    def epsilon(self, step: int, updates: int) -> float:
        """The share of random actions at a step, after so many minibatches."""
        if self.epsilon_step is not None:
            return epsilon_by_step(step, self.epsilon_start, self.epsilon_final, self.epsilon_step)
        return epsilon_by_update(updates, self.epsilon_start, self.epsilon_final, self.epsilon_decay)


class World(Protocol):
    """What an agent learns in; `score` is that of the episode so far."""

    shape: tuple[int, ...]  # of an observation
    dtype: type
    stack: int  # observations a state
    score: float

    def reset(self, env_seed: int) -> np.ndarray:
        """The first observation of an episode."""

    def explore(self, rng: np.random.Generator) -> int:
        """A random action."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool]:
        """The next observation, the reward to learn from, whether nothing comes after it, whether the episode ends."""


Q = Callable[[np.ndarray], np.ndarray]  # states (n, ...) -> values, float32 (n, actions)


@dataclass(frozen=True)
class Problem:
    """What is to be learned."""

    name: str  # of its files
    make_world: Callable[[], World]
    make_network: "Callable[[], keras.Model]"
    evaluate: Callable[[Q, list[int]], list[float]]  # scores, without exploring, on tracks
    enough: float  # training ends at an evaluation as good as this
    settings: dict = field(default_factory=dict)  # what a resumed training must share besides the recipe
