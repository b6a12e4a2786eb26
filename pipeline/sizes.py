"""The sizes of V and M, from which the shapes of their weights follow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of V and M; the defaults are the car's, which files of earlier versions do not state.

    Attributes:
        z: latent dimensions of a frame.
        actions: numbers of an action.
        h: LSTM units.
        mixtures: Gaussians per latent dimension.
    """

    z: int = 32
    actions: int = 3
    h: int = 256
    mixtures: int = 5

    @property
    def inputs(self) -> int:
        """M's inputs at a step: z, action, positive reward."""
        return self.z + self.actions + 1

    @property
    def mixture_outputs(self) -> int:
        """M's outputs for the next z: log_pi, mu and log_sigma of every Gaussian."""
        return 3 * self.mixtures * self.z

    @property
    def outputs(self) -> int:
        """M's outputs at a step: those of the next z, and the reward's logit."""
        return self.mixture_outputs + 1

    @property
    def noise(self) -> int:
        """The random numbers of a dreamt step, see rnn.arch.dream_noise."""
        return 2 * self.z + 1


CAR = Sizes()
