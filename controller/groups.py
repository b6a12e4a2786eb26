"""Groups of candidates that drive the same tracks.

Scores on the same tracks can be compared, but all candidates on the same few tracks move the search towards what suits
these tracks. A population of 32 or more is therefore divided into groups of at least 16. Each group has tracks of its
own, and the fitness of its candidates is corrected for how easy these are. For the same number of episodes a generation
is scored on as many times more tracks as there are groups (deviation 12).
"""

import numpy as np

SIZE = 16  # enough candidates for the mean of a group to tell how easy its tracks are


def number_of_groups(population: int) -> int:
    """Number of groups: population // 16, and at least one."""
    return max(1, population // SIZE)


def groups_of(population: int) -> np.ndarray:
    """The group of every candidate, int (population,); in an even population both of a mirrored pair are in one."""
    half = (population + 1) // 2
    return np.arange(population) % half % number_of_groups(population)


def corrected_fitness(scores: np.ndarray) -> np.ndarray:
    """The scores less the amount by which the mean of the candidate's group is above that of the population.

    Args:
        scores: mean score of every candidate on the tracks of its group, float64 (population,).

    Returns: the fitness, float64 (population,); with one group the scores themselves.
    """
    group = groups_of(len(scores))
    means = np.array([scores[group == number].mean() for number in range(group.max() + 1)])
    fitness: np.ndarray = scores - (means - scores.mean())[group]
    return fitness
