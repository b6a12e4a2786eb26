"""Replay memory: a ring of observations from which minibatches of transitions are drawn.

Mnih et al. 2015 (Nature 518, 529), Methods: "the agent's experiences at each time step are stored". An observation is
kept once, however many stacked states show it.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Minibatch:
    """Transitions: states (n, ...) and next states, actions int32 (n,), rewards float32 (n,), terminal float32 (n,)."""

    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray
    next_state: np.ndarray


class Replay:
    """The last `capacity` observations, and what was done and gained at each.

    A state is the last `stack` observations of one episode, on a new last axis, oldest first; the episode's first
    observation stands for those before it. With a stack of 1 a state is the observation.

    Attributes:
        transitions: how many there are to draw from.

    Args:
        capacity: observations kept; the arrays are reserved now.
        shape, dtype: of an observation.
        stack: observations a state.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], dtype: np.dtype, stack: int = 1) -> None:
        self.capacity, self.stack = capacity, stack
        self.observations = np.zeros((capacity, *shape), dtype)
        self.actions, self.rewards = np.zeros(capacity, np.int32), np.zeros(capacity, np.float32)
        self.terminal, self.leads_on = np.zeros((2, capacity), bool)
        self.episodes = np.full(capacity, -1, np.int64)
        self.stored = self.episode = self.transitions = 0  # observations and episodes ever stored; transitions now

    def begin(self, observation: np.ndarray) -> None:
        """The first observation of an episode."""
        self.episode += 1
        self._store(observation)

    def add(self, action: int, reward: float, terminal: bool, observation: np.ndarray) -> None:
        """What was done at the newest observation, and what came of it.

        Args:
            terminal: nothing comes after: no value of the next state is to be learned from.
        """
        slot = (self.stored - 1) % self.capacity
        self.actions[slot], self.rewards[slot], self.terminal[slot] = action, reward, terminal
        self.leads_on[slot] = True
        self.transitions += 1
        self._store(observation)

    def newest(self) -> np.ndarray:
        """The state that the newest observation completes, (1, ...)."""
        return self._states(np.array([self.stored - 1]))

    def sample(self, size: int, rng: np.random.Generator) -> Minibatch:
        """Draw transitions, all with equal chances and with replacement."""
        if not self.transitions:
            raise ValueError("there is no transition to draw")
        low, drawn = max(0, self.stored - self.capacity), np.zeros(0, np.int64)
        while len(drawn) < size:  # the last observation of an episode leads nowhere
            places = rng.integers(low, self.stored, size)
            drawn = np.concatenate([drawn, places[self.leads_on[places % self.capacity]]])
        places = drawn[:size]
        slots = places % self.capacity
        terminal = self.terminal[slots].astype(np.float32)
        return Minibatch(
            self._states(places), self.actions[slots], self.rewards[slots], terminal, self._states(places + 1)
        )

    def _store(self, observation: np.ndarray) -> None:
        slot = self.stored % self.capacity
        self.transitions -= int(self.leads_on[slot])
        self.observations[slot], self.episodes[slot], self.leads_on[slot] = observation, self.episode, False
        self.stored += 1

    def _states(self, places: np.ndarray) -> np.ndarray:
        """The states at places, int64 (n,), counted from the first observation ever stored."""
        if self.stack == 1:
            return self.observations[places % self.capacity]
        oldest, shown = max(0, self.stored - self.capacity), [places]
        for back in range(1, self.stack):
            before = places - back
            same = self.episodes[before % self.capacity] == self.episodes[places % self.capacity]
            shown.append(np.where(same & (before >= oldest), before, shown[-1]))
        return np.stack([self.observations[place % self.capacity] for place in shown[::-1]], axis=-1)
