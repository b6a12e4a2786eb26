"""The schedule of a search: on which tracks each generation is scored, with which step limit, and when it is evaluated.

Everything here is a function of the settings and of the number of finished generations.
"""

from dataclasses import dataclass

from controller.settings import SearchSettings
from pipeline.seeds import env_seed_range


@dataclass(frozen=True)
class Schedule:
    """The schedule of a search with these settings; a `generation` argument is the number of finished generations."""

    settings: SearchSettings

    def env_seeds(self, generation: int) -> list[int]:
        """The env_seeds of the next generation, which no other generation uses."""
        count = self.settings.num_episode
        return env_seed_range("search", self.settings.seed, generation * count, count)

    def max_length(self, generation: int, mean_steps: float) -> int:
        """The step limit of episodes; --cap_time limits it by the mean steps of the last generation."""
        capped = self.settings.cap_time and generation
        return min(self.settings.max_length, 2 * int(mean_steps)) if capped else self.settings.max_length

    def evaluation_due(self, generation: int) -> bool:
        """Whether the mean is evaluated before the next generation."""
        return generation > 0 and generation % self.settings.eval_steps == 0

    def evaluation_seeds(self, generation: int) -> list[int]:
        """The unseen env_seeds of an evaluation."""
        count = self.settings.eval_episode
        return env_seed_range("evaluate", self.settings.seed, generation * count, count)
