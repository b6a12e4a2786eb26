"""The schedule of a search: what each generation searches, with which sigma, on which tracks, and when it is evaluated.

Everything here is a function of the settings and of the number of finished generations. What depends on scores, the
hard tracks and the restarts of --retrain, is in controller/search.py.
"""

from dataclasses import dataclass

import numpy as np

import config
from controller.settings import SearchSettings
from pipeline.seeds import env_seed_range

# The block-coordinate phases in their order: action -> initial sigma as a multiple of --turn_sigma.
PHASES = {"gas": 2.0, "brake": 1.0, "steer": 1.0}
HARD_TRACKS = 8  # tracks that an evaluation contributes to the hard-example replay


@dataclass(frozen=True)
class Schedule:
    """The schedule of a search with these settings; a `generation` argument is the number of finished generations."""

    settings: SearchSettings

    # --- the optimizer ------------------------------------------------------------------------------------------------
    def phase(self, generation: int) -> str | None:
        """The action whose block-coordinate phase the next generation belongs to; None: all weights are searched.

        Searching all weights together finds a policy that stays on the road fastest. Late in training, most variance
        between candidates comes from crashes. Perturbing one action's weights, a third of the dimensions, keeps
        candidates on the road at a larger sigma, so fitness measures speed again. The gas tolerates the largest
        perturbations.
        """
        phase_generation = generation - self.settings.joint_steps
        if phase_generation < 0:
            return None
        return tuple(PHASES)[phase_generation // self.settings.turn_steps % len(PHASES)]

    def actions(self, generation: int) -> tuple[str, ...]:
        """The actions whose weights the next generation searches."""
        phase = self.phase(generation)
        return config.ACTIONS if phase is None else (phase,)

    def phase_begins(self, generation: int) -> bool:
        """Whether the next generation searches other weights than the one before, with a new optimizer."""
        return self.phase(generation) != self.phase(generation - 1)

    def initial_sigma(self, generation: int) -> float:
        """The initial sigma of an optimizer that is started for the next generation, except by --retrain."""
        phase = self.phase(generation)
        return self.settings.sigma_init if phase is None else PHASES[phase] * self.settings.turn_sigma

    def sigma_decay(self, generation: int) -> float:
        """The factor on sigma per generation of an optimizer that is started for the next generation."""
        return self.settings.sigma_decay if self.phase(generation) is None else 1.0  # a phase is too short for a decay

    # --- the tracks of the next generation ----------------------------------------------------------------------------
    def env_seeds(self, generation: int, hard_tracks: np.ndarray) -> list[int]:
        """Unseen env_seeds and, with hard-example replay, up to half hard ones.

        Args:
            hard_tracks: env_seeds of the worst tracks of the last evaluation, int64 (n,); (0,) without replay.
        """
        count = self.settings.num_episode
        half = count // 2 if len(hard_tracks) else 0
        hard: list[int] = np.roll(hard_tracks, -generation * half)[:half].tolist()
        return env_seed_range("search", self.settings.seed, generation * count, count - len(hard)) + hard

    @property
    def replays_hard_tracks(self) -> bool:
        """Whether an evaluation contributes hard tracks: real scores must not influence a search in dreams."""
        return self.settings.hard_tracks and not self.settings.dream_mode

    def max_length(self, generation: int, mean_steps: float) -> int:
        """The step limit of episodes; --cap_time limits it by the mean steps of the last generation."""
        capped = self.settings.cap_time and generation
        return min(self.settings.max_length, 2 * int(mean_steps)) if capped else self.settings.max_length

    # --- evaluations --------------------------------------------------------------------------------------------------
    def evaluation_due(self, generation: int) -> bool:
        """Whether the mean is evaluated before the next generation."""
        return generation > 0 and generation % self.settings.eval_steps == 0

    def evaluation_seeds(self, generation: int) -> list[int]:
        """The unseen env_seeds of an evaluation."""
        count = self.settings.eval_episode
        return env_seed_range("evaluate", self.settings.seed, generation * count, count)
