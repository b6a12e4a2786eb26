"""Deep Q-Learning without TensorFlow: hyperparameters, the problem to learn, replay memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from experiments.baselines.records import TrainingSettings
from simulation.real_world import EnvironmentWorld
from simulation.rollout import Slot

Q = Callable[[np.ndarray], np.ndarray]  # states (n, ...) -> Q values, float32 (n, actions)


@dataclass(frozen=True, kw_only=True)
class Recipe(TrainingSettings):
    """Hyperparameters of a training; most recipes use the defaults.

    Epsilon, the exploration rate, decays by epsilon_step or by epsilon_decay; the other one is None.
    """

    max_length: int = 0  # frames per episode; 0: set by the environment
    gamma: float  # discount factor of one step
    learning_rate: float = 0.001  # of Adam
    loss: str = "mse"  # of the error to the target: a key of q_training.LOSSES
    memory: int  # observations in the replay memory
    warm_up: int  # transitions in the memory before training begins or resumes
    batch_size: int = 32  # transitions per minibatch
    train_every: int = 2  # environment steps between gradient steps; 0: one at the end of each episode
    target_update_freq: int = 0  # environment steps between updates of the target network; 0: no target network
    double: bool = True  # double Q-learning
    epsilon_start: float = 1.0
    epsilon_final: float
    epsilon_step: float | None = None  # environment steps in which the distance to epsilon_final shrinks to 1 / e
    epsilon_decay: float | None = None  # factor of each gradient step

    def epsilon(self, step: float, updates: int) -> float:
        """The exploration rate after so many environment steps and gradient steps."""
        if self.epsilon_step is not None:
            decay = float(np.exp(-step / self.epsilon_step))
            return self.epsilon_final + (self.epsilon_start - self.epsilon_final) * decay
        return max(self.epsilon_final, self.epsilon_start * (self.epsilon_decay or 1.0) ** updates)


class Problem(Protocol):
    """What a script defines: the world to learn in, network and evaluation."""

    name: str  # of the files
    recipe: Recipe
    shape: tuple[int, ...]  # of an observation
    dtype: type
    stack: int  # observations per state
    target_score: float  # training ends at an evaluation with this mean
    actions: np.ndarray  # (n, ...), as the world takes them
    world: EnvironmentWorld  # of one row
    max_length: int  # steps of the world per episode
    max_steps_without_progress: int  # as for `rollout`

    def observe(self) -> np.ndarray: ...  # the world's observation
    def explore(self, rng: np.random.Generator) -> int: ...  # a random action
    def learn_from(self, slot: Slot) -> tuple[float, bool]: ...  # the training reward; whether the step is terminal
    def make_network(self) -> Any: ...  # a Keras model: states (n, ...) -> Q values, float32 (n, actions)
    def evaluate(self, q: Q, env_seeds: list[int]) -> list[float]: ...  # scores of the greedy policy


class ReplayMemory:
    """A ring buffer of the last `capacity` observations and their transitions; each observation is stored once.

    A state is the last `stack` observations of one episode, oldest first, on a new last axis; before the episode's
    first observation that one is repeated. With a stack of 1 a state is the observation.

    Attributes:
        transitions: how many there are to sample from.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], dtype: type, stack: int = 1) -> None:
        self.capacity, self.stack = capacity, stack
        self.observations: np.ndarray = np.zeros((capacity, *shape), dtype)
        self.ages = np.zeros(capacity, np.int64)  # observations of the same episode before this one
        self.actions, self.has_next = np.zeros(capacity, np.int32), np.zeros(capacity, bool)
        self.rewards, self.terminal = np.zeros((2, capacity), np.float32)
        self.stored = self.transitions = 0  # observations stored since the start

    def begin(self, observation: np.ndarray, age: int = 0) -> None:
        """Store the first observation of an episode."""
        i = self.stored % self.capacity
        self.transitions -= int(self.has_next[i])
        self.observations[i], self.ages[i], self.has_next[i] = observation, age, False
        self.stored += 1

    def add(self, action: int, reward: float, terminal: bool, observation: np.ndarray) -> None:
        """Store the transition from the newest observation to `observation`."""
        i = (self.stored - 1) % self.capacity
        self.actions[i], self.rewards[i], self.terminal[i], self.has_next[i] = action, reward, terminal, True
        self.transitions += 1
        self.begin(observation, self.ages[i] + 1)

    def newest(self) -> np.ndarray:
        """The newest state, (1, ...)."""
        return self._states(np.array([self.stored - 1]))

    def sample(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Sample transitions uniformly with replacement.

        Returns states (n, ...), actions int32 (n,), rewards float32 (n,), terminal float32 (n,), next states (n, ...).
        """
        if not self.transitions:
            raise ValueError("there is no transition to sample")
        oldest, drawn = max(0, self.stored - self.capacity), np.zeros(0, np.int64)
        while len(drawn) < size:  # the last observation of an episode has no transition
            indices = rng.integers(oldest, self.stored, size)
            drawn = np.concatenate([drawn, indices[self.has_next[indices % self.capacity]]])
        indices = drawn[:size]
        i = indices % self.capacity
        return self._states(indices), self.actions[i], self.rewards[i], self.terminal[i], self._states(indices + 1)

    def _states(self, indices: np.ndarray) -> np.ndarray:
        """The states at indices, int64 (n,), counted from the first observation ever stored."""
        oldest = max(0, self.stored - self.capacity)
        available = np.minimum(self.ages[indices % self.capacity], indices - oldest)
        shown = [indices - np.minimum(back, available) for back in range(self.stack)]
        observations = [self.observations[i % self.capacity] for i in reversed(shown)]
        return np.stack(observations, axis=-1) if self.stack > 1 else observations[0]
