"""Evolution strategies behind an ask / tell interface.

    optimizer = OPTIMIZERS["cma"](num_params=867, popsize=32, seed=1)
    while True:
        solutions = optimizer.ask()           # float64 (popsize, num_params)
        optimizer.tell(evaluate(solutions))   # float64 (popsize,), higher is better
        save(optimizer.mean, optimizer.sigma)

An optimizer is a deterministic function of its settings and its fitness values. The state of a search is therefore its
history, the settings and one row of fitness per generation, from which `replay` rebuilds the optimizer. The result is
bit-identical for the same machine, library versions and number of BLAS threads.

Symbols: mu is the mean of the search distribution, sigma its standard deviation, eps a perturbation sampled from it.
"""

from typing import Any, TypeVar

import numpy as np

Seed = int | np.random.Generator  # a generator must be new: a search is rebuilt from its beginning

# --- common interface --------------------------------------------------------------------------------------------


class Optimizer:
    """The interface: ask for a population, tell its fitness, read `mean` and `sigma`.

    Args:
        num_params: length of a solution.
        popsize: solutions per generation, at least 2; may be odd.
        seed: of the optimizer's random stream, or a new generator that is the stream.
        sigma_init: standard deviation of the first population.
        sigma_decay: factor on sigma per generation, which never falls below sigma_limit; None uses the class's default.
        x0: initial mean (num_params,); zeros by default.
    """

    default_sigma_decay = 0.999
    sigma_limit = 0.01
    _mu: np.ndarray
    _sigma: float | np.ndarray  # one for all coordinates, or one for each

    def __init__(
        self,
        num_params: int,
        popsize: int,
        seed: Seed,
        sigma_init: float = 0.1,
        sigma_decay: float | None = None,
        x0: np.ndarray | None = None,
    ) -> None:
        if popsize < 2:
            raise ValueError(f"popsize must be at least 2, not {popsize}")
        if not 0 < sigma_init < np.inf:
            raise ValueError(f"sigma_init must be above zero, not {sigma_init}")
        self.num_params, self.popsize = num_params, popsize
        self.sigma_init = sigma_init
        self.sigma_decay = self.default_sigma_decay if sigma_decay is None else sigma_decay
        self.x0 = np.zeros(num_params) if x0 is None else np.array(x0, np.float64)
        if self.x0.shape != (num_params,) or not np.isfinite(self.x0).all():
            raise ValueError(f"x0 must be {num_params} finite numbers, not shape {self.x0.shape}")
        self.rng = np.random.default_rng(seed)
        self._solutions: np.ndarray | None = None
        self._start()

    def ask(self) -> np.ndarray:
        """Solutions to evaluate, float64 (popsize, num_params); repeated calls before `tell` return the same ones."""
        if self._solutions is None:
            self._solutions = self._sample()
        return self._solutions.copy()

    def tell(self, fitness: np.ndarray) -> None:
        """Update the search distribution with the fitness (popsize,) of the solutions of `ask`; higher is better.

        Raises:
            ValueError: the shape is wrong, a value is not finite, or `ask` was not called before.
        """
        fitness = np.asarray(fitness, np.float64)
        if self._solutions is None:
            raise ValueError("tell without ask: this fitness belongs to no solutions")
        if fitness.shape != (self.popsize,):
            raise ValueError(f"fitness must have shape ({self.popsize},), not {fitness.shape}")
        if not np.isfinite(fitness).all():
            raise ValueError(f"fitness must be finite, not {fitness[~np.isfinite(fitness)][0]}")
        solutions, self._solutions = self._solutions, None
        self._update(solutions, fitness)

    @property
    def mean(self) -> np.ndarray:
        """Mean of the search distribution (num_params,), which is evaluated, saved and reported."""
        return self._mu.copy()

    @property
    def sigma(self) -> float:
        """Standard deviation of the search distribution, averaged over the coordinates."""
        return float(np.mean(self._sigma))

    def _start(self) -> None:
        self._mu, self._sigma = self.x0, self.sigma_init

    def _sample(self) -> np.ndarray:
        raise NotImplementedError

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        raise NotImplementedError

    def _decay(self, sigma: float | np.ndarray) -> float | np.ndarray:
        """The next generation's sigma; a sigma_init below sigma_limit lowers the limit."""
        return np.maximum(min(self.sigma_limit, self.sigma_init), sigma * self.sigma_decay)

    def _normal(self, rows: int) -> np.ndarray:
        return self.rng.standard_normal((rows, self.num_params))


def centered_ranks(fitness: np.ndarray) -> np.ndarray:
    """Ranks of fitness (n,) scaled to -0.5 … 0.5; ties share their average rank (Salimans et al. 2017, section 2.1)."""
    _, group, size = np.unique(fitness, return_inverse=True, return_counts=True)
    average_rank = np.cumsum(size) - (size + 1) / 2
    return average_rank[group] / (len(fitness) - 1) - 0.5


class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1) for gradient ascent."""

    def __init__(self, num_params: int, alpha: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.alpha, self.beta1, self.beta2 = alpha, beta1, beta2
        self.t, self.m, self.v = 0, np.zeros(num_params), np.zeros(num_params)

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """The step to add to the parameters, (num_params,)."""
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * gradient
        self.v = self.beta2 * self.v + (1 - self.beta2) * gradient**2
        m_hat = self.m / (1 - self.beta1**self.t)
        v_hat = self.v / (1 - self.beta2**self.t)
        return self.alpha * m_hat / (np.sqrt(v_hat) + 1e-8)


# --- the optimizers ----------------------------------------------------------------------------------------------


class CMAES(Optimizer):
    """CMA-ES (Hansen 2016, arXiv 1604.00772) by pycma; sigma_decay multiplies the adapted step size.

    `sigma` is the standard deviation of a coordinate, step size included, averaged over the coordinates.
    """

    default_sigma_decay = 1.0
    sigma_limit = 0.02  # limits sigma_decay alone; without a decay the step size adapts freely

    def _start(self) -> None:
        import cma  # takes half a second, and only rank 0 needs it

        options = {
            "popsize": self.popsize,
            "seed": np.nan,  # pycma does not seed NumPy's global random state
            "randn": lambda *shape: self.rng.standard_normal(shape),
            "verbose": -10,  # no output, and no reading of a cma_signals.in in the working directory
            "verb_log": 0,  # no log files
        }
        self._strategy: Any = cma.CMAEvolutionStrategy(self.x0, self.sigma_init, options)

    def _sample(self) -> np.ndarray:
        return np.array(self._strategy.ask())

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        self._strategy.tell(list(solutions), (-fitness).tolist())  # pycma minimizes
        if self.sigma_decay != 1:
            self._strategy.sigma = float(self._decay(self._strategy.sigma))

    @property
    def mean(self) -> np.ndarray:
        return np.array(self._strategy.mean)

    @property
    def sigma(self) -> float:
        return float(np.mean(self._strategy.stds))


class OpenES(Optimizer):
    """Evolution strategies with mirrored samples, centered ranks and Adam (Salimans et al. 2017, arXiv 1703.03864).

    In an odd population the last perturbation has no mirrored counterpart.
    """

    learning_rate = 0.01

    def _start(self) -> None:
        super()._start()
        self._adam = Adam(self.num_params, self.learning_rate)

    def _sample(self) -> np.ndarray:
        eps = self._normal((self.popsize + 1) // 2)
        self._eps = np.concatenate([eps, -eps])[: self.popsize]
        return self._mu + self._sigma * self._eps

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        # Algorithm 1, line 6: the gradient of the expected fitness is estimated by 1/(n sigma) Σ F_i eps_i.
        gradient = centered_ranks(fitness) @ self._eps / (self.popsize * self._sigma)
        self._mu = self._mu + self._adam.step(gradient)
        self._sigma = self._decay(self._sigma)


class PEPG(Optimizer):
    """Parameter-exploring policy gradients with symmetric samples (Sehnke et al. 2010, Neural Networks 23(4)).

    Every coordinate has its own sigma. Rewards r are centered ranks, so their baseline b is 0; Adam scales the steps of
    mu, and a sigma changes by at most 20 % per generation. In an odd population the last solution is mu itself.
    """

    learning_rate = 0.01
    sigma_rate = 0.2
    sigma_max_change = 0.2

    def _start(self) -> None:
        self._mu, self._sigma = self.x0, np.full(self.num_params, self.sigma_init)
        self._adam = Adam(self.num_params, self.learning_rate)

    def _sample(self) -> np.ndarray:
        self._eps = self._sigma * self._normal(self.popsize // 2)
        zero = np.zeros((self.popsize % 2, self.num_params))
        solutions: np.ndarray = self._mu + np.concatenate([self._eps, -self._eps, zero])
        return solutions

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        pairs = self.popsize // 2
        r = centered_ranks(fitness)
        r_plus, r_minus = r[:pairs], r[pairs : 2 * pairs]
        # Symmetric sampling: the gradient of mu uses the difference within a pair, that of sigma the pair's average.
        mu_gradient = (r_plus - r_minus) / 2 @ self._eps / pairs
        sigma_gradient = (r_plus + r_minus) / 2 @ ((self._eps**2 - self._sigma**2) / self._sigma) / pairs
        limit = self.sigma_max_change * self._sigma
        self._mu = self._mu + self._adam.step(mu_gradient / self._sigma)
        self._sigma = self._decay(self._sigma + np.clip(self.sigma_rate * sigma_gradient, -limit, limit))


class SimpleES(Optimizer):
    """(mu/mu, lambda)-ES (Beyer & Schwefel 2002): the next mean is the average of the best quarter; sigma decays."""

    elite_ratio = 0.25

    def _sample(self) -> np.ndarray:
        return self._mu + self._sigma * self._normal(self.popsize)

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        self._mu = _elite(solutions, fitness, self.elite_ratio).mean(axis=0)
        self._sigma = self._decay(self._sigma)


class SimpleGA(Optimizer):
    """A genetic algorithm: uniform crossover of two elite parents plus Gaussian mutation of standard deviation sigma.

    Parents come from the best tenth of the last generation only, because fitness measured on the tracks of different
    generations is not comparable. `mean` is the mean of the elite, which is the expected value of its children.
    """

    elite_ratio = 0.1

    def _start(self) -> None:
        super()._start()
        self._elites = self.x0[None]

    def _sample(self) -> np.ndarray:
        mother, father = self._elites[self.rng.integers(len(self._elites), size=(2, self.popsize))]
        from_mother = self.rng.random((self.popsize, self.num_params)) < 0.5
        children: np.ndarray = np.where(from_mother, mother, father) + self._sigma * self._normal(self.popsize)
        return children

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        self._elites = _elite(solutions, fitness, self.elite_ratio)
        self._mu = self._elites.mean(axis=0)
        self._sigma = self._decay(self._sigma)


def _elite(solutions: np.ndarray, fitness: np.ndarray, ratio: float) -> np.ndarray:
    """The best `ratio` of the solutions, at least one, best first; ties keep their order."""
    return solutions[np.argsort(-fitness, kind="stable")[: max(1, round(ratio * len(solutions)))]]


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "cma": CMAES,
    "openes": OpenES,
    "pepg": PEPG,
    "ses": SimpleES,
    "ga": SimpleGA,
}


# --- replay of a history -----------------------------------------------------------------------------------------

Some = TypeVar("Some", bound=Optimizer)


def replay(name: str, settings: dict[str, Any], fitness: np.ndarray) -> Optimizer:
    """An optimizer after the generations of `fitness` (generations, popsize); `settings` are its arguments."""
    return replay_into(OPTIMIZERS[name](**settings), fitness)


def replay_into(optimizer: Some, fitness: np.ndarray) -> Some:
    """Replay `fitness` (generations, popsize) into a new optimizer and return it."""
    for row in fitness:
        optimizer.ask()
        optimizer.tell(row)
    return optimizer
