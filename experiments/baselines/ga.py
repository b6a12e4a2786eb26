"""A genetic algorithm in the words of the source: ranking, roulette wheel, one-point crossover, mutation, replacement.

Genes are real numbers: the weights of a network. It stands behind ask / tell like the optimisers of es.py, and is saved
as they are, as the fitness it was told. What the source's printed code gets wrong is put right here:

* it swaps parts of two parents that are views of one array, so that one child never changes: children are copies;
* its roulette wheel takes fitness for a probability, which fails when it is negative: the wheel's slots are what an
  individual has more than the worst;
* it always mates the two that rank first: every pair of parents is drawn from the wheel anew.
"""

import numpy as np

from es import Optimizer


def roulette(fitness: np.ndarray) -> np.ndarray:
    """The chance of each individual to be drawn, (n,) -> float64 (n,), in proportion to its fitness above the worst.

    Where all are the same, all have the same chance.
    """
    above = fitness - fitness.min()
    total = above.sum()
    return above / total if total > 0 else np.full(len(fitness), 1 / len(fitness))


def draw_parents(fitness: np.ndarray, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw pairs of two different individuals from the wheel: indices, int (pairs, 2).

    The second is drawn from a wheel without the first: from all others alike where it has no slot left.
    """
    chances = roulette(fitness)
    first = rng.choice(len(fitness), size=pairs, p=chances)
    second = np.empty_like(first)
    for i, taken in enumerate(first):
        left = chances.copy()
        left[taken] = 0
        if not left.sum():
            left = (np.arange(len(fitness)) != taken).astype(float)
        second[i] = rng.choice(len(fitness), p=left / left.sum())
    return np.stack([first, second], axis=1)


def crossover(mothers: np.ndarray, fathers: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Two children of each pair, who swap their genes from a random point on; of a share 1 - rate, each is its parent.

    Args:
        mothers, fathers: float64 (pairs, genes).
    Returns: float64 (2 pairs, genes), the children that begin as their mothers first. No gene is lost, none is new.
    """
    pairs, genes = mothers.shape
    points = rng.integers(1, genes, size=(pairs, 1)) if genes > 1 else np.ones((pairs, 1), int)
    crossed = rng.random((pairs, 1)) < rate
    swapped = crossed & (np.arange(genes) >= points)
    return np.concatenate([np.where(swapped, fathers, mothers), np.where(swapped, mothers, fathers)])


def mutate(genes: np.ndarray, rate: float, size: float, rng: np.random.Generator) -> np.ndarray:
    """A share `rate` of the genes (any shape), drawn one by one, with normal noise of standard deviation `size`."""
    noise = rng.normal(0, size, genes.shape)
    return genes + np.where(rng.random(genes.shape) < rate, noise, 0)


class RouletteGA(Optimizer):
    """The algorithm behind ask / tell. `ask` gives the population and as many children; all are told their fitness.

    A child takes the place of the worst individual that it beats, until none beats any: what remains is the better
    half of both, ranked, the champion first. Parents are scored again with their children because the tracks are
    others in every generation, and scores on different tracks do not compare.

    sigma_init is the standard deviation of the first genes, and of a mutation; it does not change.

    Args:
        popsize: individuals and children: an even number, twice the population.
        crossover_rate: the share of pairs whose children mix their genes.
        mutation_rate: the share of a child's genes that mutate.
    """

    default_sigma_decay = 1.0

    def __init__(
        self,
        num_params: int,
        popsize: int,
        seed: int,
        sigma_init: float = 0.5,
        crossover_rate: float = 0.8,
        mutation_rate: float = 0.1,
    ) -> None:
        if popsize < 4 or popsize % 4:
            raise ValueError(f"popsize must be a multiple of four: a population in pairs, and its children: {popsize}")
        self.crossover_rate, self.mutation_rate = crossover_rate, mutation_rate
        super().__init__(num_params, popsize, seed, sigma_init)

    @property
    def champion(self) -> np.ndarray:
        """The genes that scored best in the last generation (num_params,)."""
        return self._population[0].copy()

    @property
    def fitness(self) -> np.ndarray:
        """What the population that remains was told, (popsize / 2,), best first."""
        return self._fitness.copy()

    def _start(self) -> None:
        super()._start()
        self._population, self._fitness = np.zeros((0, self.num_params)), np.zeros(0)

    def _sample(self) -> np.ndarray:
        if not len(self._population):
            return self.sigma_init * self._normal(self.popsize)
        parents = draw_parents(self._fitness, self.popsize // 4, self.rng)
        children = crossover(*self._population[parents.T], self.crossover_rate, self.rng)
        return np.concatenate([self._population, mutate(children, self.mutation_rate, self.sigma_init, self.rng)])

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        ranking = np.argsort(-fitness, kind="stable")[: self.popsize // 2]
        self._population, self._fitness = solutions[ranking], fitness[ranking]
        self._mu = self._population.mean(axis=0)
