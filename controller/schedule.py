"""The schedule of a search: on which tracks each generation is scored, with which step limit, and when it is evaluated.

Everything here is a function of the settings and of the number of finished generations.
"""

from dataclasses import dataclass

import numpy as np

from controller.groups import groups_of, number_of_groups
from controller.settings import SearchSettings
from pipeline.seeds import env_seed_range


@dataclass(frozen=True)
class Schedule:
    """The schedule of a search with these settings; a `generation` argument is the number of finished generations."""

    settings: SearchSettings

    def env_seeds(self, generation: int) -> list[list[int]]:
        """The env_seeds of every candidate of the next generation, which no other group and no generation uses."""
        population, shape = self.settings.population, (-1, self.settings.num_episode)
        count = number_of_groups(population) * self.settings.num_episode
        env_seeds = env_seed_range("search", self.settings.seed, generation * count, count)
        by_candidate: list[list[int]] = np.reshape(env_seeds, shape)[groups_of(population)].tolist()
        return by_candidate

    def max_length(self, generation: int, mean_steps: float) -> int:
        """The step limit of episodes; --cap_time limits it by the mean steps of the last generation."""
        longest = self.evaluation_length(bool(self.settings.dream_mode))
        return min(longest, 2 * int(mean_steps)) if self.settings.cap_time and generation else longest

    def evaluation_length(self, dream: bool) -> int:
        """The step limit of the episodes, or dreams, of an evaluation."""
        short = self.settings.dream_length if dream else 0
        return short or self.settings.max_length

    def evaluation_due(self, generation: int) -> bool:
        """Whether the mean is evaluated before the next generation."""
        return generation > 0 and generation % self.settings.eval_steps == 0

    def evaluation_seeds(self, generation: int) -> list[int]:
        """The unseen env_seeds of an evaluation."""
        count = self.settings.eval_episode
        return env_seed_range("evaluate", self.settings.seed, generation * count, count)
