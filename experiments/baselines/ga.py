"""Genetic algorithm: roulette-wheel selection, one-point crossover, mutation, elitist replacement.

Genes are real numbers, the weights of a network. Rows B10 to B14 of docs/deviations.md list the differences from the
source's code.
"""

import numpy as np

from es import Optimizer


def roulette(fitness: np.ndarray) -> np.ndarray:
    """Selection probabilities (n,) -> float64 (n,), proportional to the fitness above the minimum; uniform if equal."""
    above = fitness - fitness.min()
    total = above.sum()
    return above / total if total > 0 else np.full(len(fitness), 1 / len(fitness))


def draw_parents(fitness: np.ndarray, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw pairs of two different individuals by roulette: indices, int (pairs, 2).

    The second parent is drawn without the first; uniformly where no other individual has a positive probability.
    """
    chances = roulette(fitness)
    first = rng.choice(len(fitness), size=pairs, p=chances)
    second = np.empty_like(first)
    for i, taken in enumerate(first):
        others = chances.copy()
        others[taken] = 0
        if not others.sum():
            others = (np.arange(len(fitness)) != taken).astype(float)
        second[i] = rng.choice(len(fitness), p=others / others.sum())
    return np.stack([first, second], axis=1)


def crossover(mothers: np.ndarray, fathers: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """One-point crossover of a share `rate` of the pairs, float64 (pairs, genes) each; the others' children are copies.

    Returns float64 (2 pairs, genes): the children that begin with their mother's genes, then the others.
    """
    pairs, genes = mothers.shape
    points = rng.integers(1, genes, size=(pairs, 1)) if genes > 1 else np.ones((pairs, 1), int)
    crossed = rng.random((pairs, 1)) < rate
    swapped = crossed & (np.arange(genes) >= points)
    return np.concatenate([np.where(swapped, fathers, mothers), np.where(swapped, mothers, fathers)])


def mutate(genes: np.ndarray, rate: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise of standard deviation `sigma` to a share `rate` of the genes (any shape)."""
    noise = rng.normal(0, sigma, genes.shape)
    return genes + np.where(rng.random(genes.shape) < rate, noise, 0)


class RouletteGA(Optimizer):
    """The algorithm behind ask / tell.

    `ask` returns the population and as many children; the better half of both survives. Parents are evaluated again
    because every generation has other tracks, and scores on different tracks do not compare.

    Attributes:
        population, fitness: float64 (popsize / 2, num_params) and (popsize / 2,), the survivors; the first is the best.

    Args:
        popsize: individuals and children together: twice the population, whose size is even.
        sigma_init: standard deviation of the initial genes and of a mutation; constant.
        rates: share of the pairs that cross over, and of a child's genes that mutate.
    """

    default_sigma_decay = 1.0

    def __init__(
        self, num_params: int, popsize: int, seed: int, sigma_init: float = 0.5, rates: tuple = (0.8, 0.1)
    ) -> None:
        if popsize < 4 or popsize % 4:
            raise ValueError(f"popsize must be a multiple of four, twice an even population, not {popsize}")
        self.crossover_rate, self.mutation_rate = rates
        super().__init__(num_params, popsize, seed, sigma_init)

    def _start(self) -> None:
        super()._start()
        self.population, self.fitness = np.zeros((0, self.num_params)), np.zeros(0)

    def _sample(self) -> np.ndarray:
        if not len(self.population):
            return self.sigma_init * self._normal(self.popsize)
        parents = draw_parents(self.fitness, self.popsize // 4, self.rng)
        children = crossover(*self.population[parents.T], self.crossover_rate, self.rng)
        return np.concatenate([self.population, mutate(children, self.mutation_rate, self.sigma_init, self.rng)])

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        ranking = np.argsort(-fitness, kind="stable")[: self.popsize // 2]
        self.population, self.fitness = solutions[ranking], fitness[ranking]
        self._mu = self.population.mean(axis=0)
