"""Optimisers behind ask / tell, and their saved state.

    search = OPTIMIZERS["cma"](num_params=867, popsize=32, seed=1)
    while True:
        solutions = search.ask()              # float64 (popsize, num_params)
        search.tell(evaluate(solutions))      # float64 (popsize,), higher is better
        keep(search.mean, search.sigma)

An optimiser is a deterministic function of its settings and of the fitness it was told. So the state of a search is
its history: the settings and one row of fitness a generation, and `replay` turns that back into the optimiser. The
same fitness gives the same bits on the same machine, libraries and number of BLAS threads.

Symbols: mu mean of the search distribution, sigma its standard deviation, eps a perturbation drawn from it.
"""

import numpy as np

# --- what all optimisers share -----------------------------------------------------------------------------------


class Optimizer:
    """The interface: ask for a population, tell its fitness, read `mean`, `sigma` and `best`.

    num_params: length of a solution. popsize: solutions a generation, at least 2, odd ones welcome.
    sigma_init: standard deviation of the first population. sigma_decay: what sigma is multiplied by each generation,
    never below sigma_limit; None is the optimiser's own choice. x0: where the search begins, zeros by default.
    weight_decay: the search maximises fitness - weight_decay * mean(solution²), so large weights cost.
    """

    default_sigma_decay = 0.999
    sigma_limit = 0.01

    def __init__(
        self,
        num_params: int,
        popsize: int,
        seed: int,
        sigma_init: float = 0.1,
        sigma_decay: float | None = None,
        x0: np.ndarray | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        if popsize < 2:
            raise ValueError(f"popsize must be at least 2, not {popsize}")
        if not 0 < sigma_init < np.inf:
            raise ValueError(f"sigma_init must be above zero, not {sigma_init}")
        self.num_params, self.popsize = num_params, popsize
        self.sigma_init, self.weight_decay = sigma_init, weight_decay
        self.sigma_decay = self.default_sigma_decay if sigma_decay is None else sigma_decay
        self.x0 = np.zeros(num_params) if x0 is None else np.array(x0, np.float64)
        if self.x0.shape != (num_params,) or not np.isfinite(self.x0).all():
            raise ValueError(f"x0 must be {num_params} finite numbers, not shape {self.x0.shape}")
        self.rng = np.random.default_rng(seed)
        self.best: tuple[np.ndarray, float] = (self.x0.copy(), -np.inf)  # the luckiest sample seen, for reference
        self._solutions: np.ndarray | None = None
        self._start()

    def ask(self) -> np.ndarray:
        """Solutions to evaluate, float64 (popsize, num_params); asking again before telling gives the same ones."""
        if self._solutions is None:
            self._solutions = self._sample()
        return self._solutions.copy()

    def tell(self, fitness: np.ndarray) -> None:
        """Learn from the fitness (popsize,) of the solutions last asked for; higher is better."""
        fitness = np.asarray(fitness, np.float64)
        if self._solutions is None:
            raise ValueError("tell without ask: there are no solutions that this fitness could belong to")
        if fitness.shape != (self.popsize,):
            raise ValueError(f"fitness must have shape ({self.popsize},), not {fitness.shape}")
        if not np.isfinite(fitness).all():
            raise ValueError(f"fitness must be finite, not {fitness[~np.isfinite(fitness)][0]}")
        solutions, self._solutions = self._solutions, None
        luckiest = fitness.argmax()
        if fitness[luckiest] > self.best[1]:
            self.best = (solutions[luckiest], float(fitness[luckiest]))
        self._update(solutions, fitness - self.weight_decay * np.mean(solutions**2, axis=1))

    @property
    def mean(self) -> np.ndarray:
        """Mean of the search distribution (num_params,): what is evaluated, kept and reported."""
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
        """The next generation's sigma; a search that began below the limit stays where it began."""
        return np.maximum(min(self.sigma_limit, self.sigma_init), sigma * self.sigma_decay)

    def _normal(self, rows: int) -> np.ndarray:
        return self.rng.standard_normal((rows, self.num_params))


def centred_ranks(fitness: np.ndarray) -> np.ndarray:
    """Ranks of fitness (n,) scaled to -0.5 … 0.5; ties share their average rank (Salimans et al. 2017, section 2.1)."""
    _, group, size = np.unique(fitness, return_inverse=True, return_counts=True)
    average_rank = np.cumsum(size) - (size + 1) / 2
    return average_rank[group] / (len(fitness) - 1) - 0.5


class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1), going uphill."""

    def __init__(self, num_params: int, alpha: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.alpha, self.beta1, self.beta2 = alpha, beta1, beta2
        self.t, self.m, self.v = 0, np.zeros(num_params), np.zeros(num_params)

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """What to add to the parameters (num_params,)."""
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * gradient
        self.v = self.beta2 * self.v + (1 - self.beta2) * gradient**2
        m_hat = self.m / (1 - self.beta1**self.t)
        v_hat = self.v / (1 - self.beta2**self.t)
        return self.alpha * m_hat / (np.sqrt(v_hat) + 1e-8)


# --- the optimisers ----------------------------------------------------------------------------------------------


class CMAES(Optimizer):
    """CMA-ES (Hansen 2016, arXiv 1604.00772) by pycma. Sigma adapts itself; sigma_decay narrows it besides.

    `sigma` is the step size times the coordinates' standard deviations, averaged: what a solution really varies by.
    """

    default_sigma_decay = 1.0
    sigma_limit = 0.02  # of a decay; by itself CMA-ES may become as narrow as it likes

    def _start(self) -> None:
        import cma  # half a second, and only the rank that searches needs it

        options = {
            "popsize": self.popsize,
            "seed": np.nan,  # leaves NumPy's global random state alone
            "randn": lambda *shape: self.rng.standard_normal(shape),
            "verbose": -10,  # silent, and blind to a cma_signals.in in the working directory
            "verb_log": 0,  # no files
        }
        self._strategy = cma.CMAEvolutionStrategy(self.x0, self.sigma_init, options)

    def _sample(self) -> np.ndarray:
        return np.array(self._strategy.ask())

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        self._strategy.tell(list(solutions), (-fitness).tolist())  # pycma minimises
        if self.sigma_decay != 1:
            self._strategy.sigma = float(self._decay(self._strategy.sigma))

    @property
    def mean(self) -> np.ndarray:
        return np.array(self._strategy.mean)

    @property
    def sigma(self) -> float:
        return float(np.mean(self._strategy.stds))


class OpenES(Optimizer):
    """Evolution strategies with mirrored samples, centred ranks and Adam (Salimans et al. 2017, arXiv 1703.03864).

    An odd population's last perturbation goes without its mirror image.
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
        gradient = centred_ranks(fitness) @ self._eps / (self.popsize * self._sigma)
        self._mu = self._mu + self._adam.step(gradient)
        self._sigma = self._decay(self._sigma)


class PEPG(Optimizer):
    """Parameter-exploring policy gradients with symmetric samples (Sehnke et al. 2010, Neural Networks 23(4)).

    Every coordinate has a sigma of its own. Rewards r are centred ranks, so their baseline b is 0; Adam scales the
    steps of mu, and a sigma changes by 20% a generation at most. An odd population spends its last solution on mu.
    """

    learning_rate = 0.01
    sigma_rate = 0.2
    sigma_max_change = 0.2

    def _start(self) -> None:
        self._mu, self._sigma = self.x0, np.full(self.num_params, self.sigma_init)
        self._adam = Adam(self.num_params, self.learning_rate)

    def _sample(self) -> np.ndarray:
        self._eps = self._sigma * self._normal(self.popsize // 2)
        centre = np.zeros((self.popsize % 2, self.num_params))
        return self._mu + np.concatenate([self._eps, -self._eps, centre])

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        pairs = self.popsize // 2
        r = centred_ranks(fitness)
        r_plus, r_minus = r[:pairs], r[pairs : 2 * pairs]
        # Both gradients by symmetric sampling: mu from the difference within a pair, sigma from the pair's average.
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
    """A genetic algorithm: every child takes each gene from one of two elite parents, plus noise of width sigma.

    Parents are drawn from the best tenth of the last generation alone: fitness of different generations, measured on
    different tracks, does not compare. `mean` is the mean of the elite, which is the mean of the children to come.
    """

    elite_ratio = 0.1

    def _start(self) -> None:
        super()._start()
        self._elites = self.x0[None]

    def _sample(self) -> np.ndarray:
        mother, father = self._elites[self.rng.integers(len(self._elites), size=(2, self.popsize))]
        from_mother = self.rng.random((self.popsize, self.num_params)) < 0.5
        return np.where(from_mother, mother, father) + self._sigma * self._normal(self.popsize)

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        self._elites = _elite(solutions, fitness, self.elite_ratio)
        self._mu = self._elites.mean(axis=0)
        self._sigma = self._decay(self._sigma)


def _elite(solutions: np.ndarray, fitness: np.ndarray, ratio: float) -> np.ndarray:
    """The best solutions, best first; never none, and of equal ones the first."""
    return solutions[np.argsort(-fitness, kind="stable")[: max(1, round(ratio * len(solutions)))]]


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "cma": CMAES,
    "openes": OpenES,
    "pepg": PEPG,
    "ses": SimpleES,
    "ga": SimpleGA,
}


# --- replaying a history -----------------------------------------------------------------------------------------


def replay(name: str, settings: dict, fitness: np.ndarray) -> Optimizer:
    """The optimiser as it was after being told `fitness` (generations, popsize); `settings` are its arguments."""
    return retold(OPTIMIZERS[name](**settings), fitness)


def retold(optimizer: Optimizer, fitness: np.ndarray) -> Optimizer:
    """A fresh optimiser after being told `fitness` (generations, popsize)."""
    for row in fitness:
        optimizer.ask()
        optimizer.tell(row)
    return optimizer
