"""The search for a controller: its history, which is saved in one file, and the files derived from it.

controller/NAME.es.npz is the only commit point, rewritten after every generation and every evaluation. It holds the
settings, the coordinates of the search, all rows, and the fitness of every generation since the optimizer was started.
Replaying this fitness rebuilds the optimizer.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import config
from controller import files as controller_files
from controller.coordinates import Coordinates
from controller.evaluations import EVALUATION, Evaluations
from controller.files import state_path, weights_path
from controller.groups import corrected_fitness
from controller.saved_search import load_search, save_search
from controller.schedule import Schedule
from controller.settings import SearchSettings
from es import Optimizer, replay
from pipeline.errors import UserError, first_line
from pipeline.files import write_json
from pipeline.new_model import forget_previous
from pipeline.seeds import rng
from pipeline.settings import read_settings

ROW = ("generation", "seconds", "mean", "min", "max", "std", "sigma", "mean steps", "max steps", "episodes")


class ControllerSearch:
    """A search for the weights of a controller.

    Attributes:
        rows: float64 (generations, 10), see ROW.
        fitness: float64 (generations, population), the fitness since the optimizer was started, see groups.py.
        real, dream: evaluations of the mean in the real environment and, in a search in dreams, in dreams.
        start_u, start_sigma, start_generation: mean (k,), sigma and generation at which the optimizer was started;
            --retrain restarts it.
    """

    def __init__(self, name: str, settings: SearchSettings, coordinates: Coordinates) -> None:
        """A new search from u = 0; a resumed search must share its `settings`."""
        self.name, self.settings, self.coordinates = name, settings, coordinates
        self.schedule = Schedule(settings)
        dimensions = coordinates.T.shape[1]
        self.fitness = np.zeros((0, settings.population))
        self.rows = np.zeros((0, len(ROW)))
        self.real, self.dream = Evaluations(dimensions), Evaluations(dimensions)
        self.start_generation, self.start_u = 0, np.zeros(dimensions)
        self.start_sigma = settings.sigma_init
        self.optimizer = self._rebuild_optimizer()

    @classmethod
    def load(cls, path: Path) -> "ControllerSearch":
        """Load a saved search; UserError if the file is damaged, or if its replay gives another mean."""
        saved = load_search(path)
        if removed := [name for name in SearchSettings.REMOVED if name in saved.settings]:
            remedy = "--new_model starts over, with --init_opt and a copy of this file from its best mean"
            raise UserError(f"{path} was made with {removed[0]}, which this version no longer has: {remedy}")
        settings = read_settings(SearchSettings, saved.settings, str(path), "--new_model starts over")
        arrays = saved.coordinates
        try:
            _check_shapes(arrays, len(saved.fitness), settings.num_weights)
            if saved.fitness.shape[1] != settings.population:
                raise ValueError(f"its fitness is of {saved.fitness.shape[1]} candidates, not {settings.population}")
            coordinates = Coordinates(arrays["w0"], arrays["T"])
            search = cls(path.name.removesuffix(".es.npz"), settings, coordinates)
            search.fitness, search.rows = saved.fitness, arrays["rows"]
            if not coordinates.T.any(axis=0).all():
                raise ValueError("a coordinate affects no weight")
            search.real.restore(arrays, "")
            search.dream.restore(arrays, "dream_")
            search.start_generation, search.start_u = int(arrays["start_generation"]), arrays["start_u"]
            search.start_sigma = float(arrays["start_sigma"])
            if not settings.sigma_decay > 0:  # an optimizer without generations would not notice
                raise ValueError("its sigma_decay is not above 0")
            if search.start_sigma != settings.sigma_init and not search.start_generation:
                raise ValueError(f"its start_sigma is {search.start_sigma}, not {settings.sigma_init}")
            if search.start_generation and not settings.retrain:
                raise ValueError("its optimizer was restarted, without --retrain")
            search.optimizer = search._rebuild_optimizer()
            same = np.allclose(search.mean_u, arrays["mean_u"], rtol=1e-9, atol=1e-12)
        except Exception as error:  # an optimizer raises many types of error on invalid settings
            what = f"{path} is not a saved controller search, or of an incompatible version ({first_line(error)})"
            raise UserError(f"{what}: --new_model starts over") from None
        if not same:
            what = f"{path}, saved with {settings.versions}, does not replay to the same mean here"
            raise UserError(f"{what}: resume it with those versions, or start over with --new_model")
        return search

    def save(self) -> None:
        """Write the state of the search, then the files derived from it."""
        arrays = {
            "w0": self.coordinates.w0,
            "T": self.coordinates.T,
            "rows": self.rows,
            "start_generation": np.array(self.start_generation),
            "start_u": self.start_u,
            "start_sigma": np.array(self.start_sigma),
            "mean_u": self.mean_u,
        }
        arrays |= self.real.arrays("") | self.dream.arrays("dream_")
        save_search(state_path(self.name), asdict(self.settings), arrays, self.fitness)
        self.write_reports()

    def write_reports(self) -> None:
        """Write the files derived from the state: controllers, history, evaluations and settings.

        Then no earlier state is needed that --new_model has set aside.
        """
        settings = self.settings
        metadata = {
            "vae": settings.vae_hash,
            "rnn": settings.rnn_hash,
            "seed": settings.seed,
            "max_length": settings.max_length,
            "sample_z": settings.sample_z,
            "previous_action": settings.previous_action,
            "env": settings.env_name,
            "actions": settings.actions,
            "features": settings.features,
        }
        if self.generation:
            current = metadata | {"generation": self.generation, "score_is": "mean of the population"}
            controller_files.save(weights_path(self.name, "current"), self.mean_weights, self.rows[-1, 2], current)
        self._write_best("best", self.real, metadata | {"score_is": "mean over unseen tracks"})
        self._write_best("dream_best", self.dream, metadata | {"score_is": "mean over unseen dreams"})
        write_json(config.LOG_DIR / f"{self.name}.hist.json", _table(ROW, self.rows))
        write_json(config.LOG_DIR / f"{self.name}.log.json", _table(EVALUATION, self.real.rows))
        if settings.dream_mode:
            write_json(config.LOG_DIR / f"{self.name}.dream_log.json", _table(EVALUATION, self.dream.rows))
        write_json(config.LOG_DIR / f"{self.name}.json", asdict(settings))
        forget_previous(state_path(self.name))

    def _write_best(self, which: str, evaluations: Evaluations, metadata: dict[str, Any]) -> None:
        path = weights_path(self.name, which)
        if not len(evaluations.rows):
            return path.unlink(missing_ok=True)  # the file of a search that --new_model replaces
        generation, mean, std, minimum = evaluations.rows[evaluations.best].tolist()
        metadata = metadata | {"generation": int(generation), "std": std, "min": minimum}
        controller_files.save(path, self.coordinates.weights(evaluations.best_u), mean, metadata)

    # --- one generation -----------------------------------------------------------------------------------------------
    @property
    def generation(self) -> int:
        """Number of finished generations."""
        return len(self.rows)

    @property
    def evaluation_due(self) -> bool:
        """Whether the mean is to be evaluated after this generation, and has not been."""
        evaluated = self.generation in self.real.rows[:, 0]
        return self.schedule.evaluation_due(self.generation) and not evaluated

    @property
    def mean_u(self) -> np.ndarray:
        """The coordinates (k,) at the mean of the search distribution."""
        return self.optimizer.mean

    @property
    def mean_weights(self) -> np.ndarray:
        """The weights (867,) at the mean of the search distribution."""
        return self.coordinates.weights(self.mean_u)

    @property
    def _selection(self) -> Evaluations:
        """The evaluations by which the search selects weights: real scores must not influence a search in dreams."""
        return self.dream if self.settings.dream_mode else self.real

    def next_env_seeds(self) -> list[list[int]]:
        """The env_seeds of every candidate of the next generation."""
        return self.schedule.env_seeds(self.generation)

    def ask(self) -> np.ndarray:
        """The weights of the candidates of the next generation, (population, 867)."""
        return self.coordinates.weights(self.optimizer.ask())

    def tell(self, scores: np.ndarray, steps: np.ndarray, seconds: float) -> tuple[float, ...]:
        """Update the search with the scores and steps of the candidates of `ask`; returns the row, see ROW.

        Args:
            scores, steps: (population, tracks) each.
            seconds: wall time since the start of the search.
        """
        means = scores.mean(axis=1)
        fitness = corrected_fitness(means)
        self.optimizer.tell(fitness)
        self.fitness = np.vstack([self.fitness, fitness])
        statistics = (means.mean(), means.min(), means.max(), means.std())
        row = (self.generation + 1, seconds, *statistics, self.optimizer.sigma, steps.mean(), steps.max(), steps.size)
        self.rows = np.vstack([self.rows, row])
        return tuple(map(float, row))

    def record_evaluation(self, scores: np.ndarray, dream_scores: np.ndarray | None = None) -> bool:
        """Record the scores (tracks,) of the mean on unseen tracks and, in dreams, its dream_scores (dreams,).

        Returns whether the real scores are the best so far.
        """
        better = self.real.record(self.generation, scores, self.mean_u)
        if dream_scores is not None:
            self.dream.record(self.generation, dream_scores, self.mean_u)
        if self.settings.retrain and self._selection.best < len(self._selection.rows) - 1:
            self._restart_optimizer(self._selection.best_u, self.optimizer.sigma)
        return better

    def _restart_optimizer(self, u: np.ndarray, sigma: float) -> None:
        """Continue from coordinates u (k,) with a new optimizer."""
        self.start_generation, self.start_u, self.start_sigma = self.generation, u, sigma
        self.fitness = self.fitness[:0]
        self.optimizer = self._rebuild_optimizer()

    def _rebuild_optimizer(self) -> Optimizer:
        """The optimizer after the fitness history since its start."""
        settings = {
            "num_params": len(self.start_u),
            "popsize": self.fitness.shape[1],
            "seed": rng("search", self.settings.seed, self.start_generation),
            "sigma_init": self.start_sigma,
            "sigma_decay": self.settings.sigma_decay,
            "x0": self.start_u,
        }
        return replay(self.settings.optimizer, settings, self.fitness)


def _check_shapes(arrays: dict[str, np.ndarray], since_start: int, num_weights: int) -> None:
    """Raise ValueError unless the arrays fit a search with `since_start` generations since its optimizer's start."""
    [dimensions] = arrays["start_u"].shape
    generations = int(arrays["start_generation"]) + since_start
    shapes = {"w0": (num_weights,), "T": (num_weights, dimensions), "rows": (generations, len(ROW))}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")


def _table(names: tuple[str, ...], rows: np.ndarray) -> list[dict[str, float]]:
    table = [dict(zip(names, row, strict=True)) for row in rows.tolist()]
    return [row | {"generation": int(row["generation"])} for row in table]
