"""The sizes of V and M, from which the shapes of their weights follow, and what M models of rewards."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sizes:
    """The sizes of V and M; the defaults are the car's, which files of earlier versions do not state.

    Attributes:
        z: latent dimensions of a frame.
        actions: numbers of an action.
        h: LSTM units.
        mixtures: Gaussians per latent dimension.
        done: whether M predicts the end of an episode.
        reward: None: M models whether a reward is positive; (a, b): the value r of a reward a * r + b.
    """

    z: int = 32
    actions: int = 3
    h: int = 256
    mixtures: int = 5
    done: bool = False
    reward: tuple[float, ...] | None = None

    @property
    def inputs(self) -> int:
        """M's inputs at a step: z, action, modeled reward."""
        return self.z + self.actions + 1

    @property
    def mixture_outputs(self) -> int:
        """M's outputs for the next z: log_pi, mu and log_sigma of every Gaussian."""
        return 3 * self.mixtures * self.z

    @property
    def outputs(self) -> int:
        """M's outputs at a step: those of the next z, the reward and, where M predicts it, the end of the episode."""
        return self.mixture_outputs + 1 + self.done

    @property
    def noise(self) -> int:
        """The random numbers of a dreamt step, see rnn.arch.dream_noise."""
        return 2 * self.z + 1 + self.done

    def modeled_reward(self, reward: np.ndarray) -> np.ndarray:
        """What M models of rewards, (any shape) -> float32: 1.0 where they are above zero, else 0.0; or their value."""
        if self.reward is None:
            return (reward > 0).astype(np.float32)
        a, b = self.reward
        return ((reward - b) / a).astype(np.float32)


CAR = Sizes()
