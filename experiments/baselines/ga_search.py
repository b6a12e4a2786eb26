"""One genetic search: its history, kept in one file, from which it is rebuilt by telling it all again."""

import numpy as np

from controller.saved_search import Search, load_search, save_search
from es import retold
from experiments.baselines import records
from experiments.baselines.ga import RouletteGA
from experiments.plots.controller import draw_learning_curve
from pipeline.errors import UserError, first_line
from pipeline.files import check_same

ROW = ("generation", "seconds", "min", "mean", "max", "steps")
EVALUATION = ("generation", "mean", "std", "min")


class GASearch:
    """A search that is starting, or going on.

    Attributes:
        rows: float64 (generations, 6), see ROW.
        evaluations: float64 (evaluations, 4), see EVALUATION.
        best_genes: float64 (genes,), those of the champion that scored highest in an evaluation.
    """

    def __init__(self, name: str, settings: dict, genes: int) -> None:
        """A new search; `settings` are what a later resume must share."""
        self.name, self.settings = name, settings
        self.rows, self.evaluations = np.zeros((0, len(ROW))), np.zeros((0, len(EVALUATION)))
        self.best_genes = np.zeros(genes)
        self._fitness = np.zeros((0, 2 * settings["population"]))
        self.optimizer = RouletteGA(
            genes,
            2 * settings["population"],
            settings["seed"],
            settings["sigma"],
            settings["crossover"],
            settings["mutation"],
        )

    @classmethod
    def start_or_resume(cls, name: str, settings: dict, genes: int, new_model: bool) -> "GASearch":
        """The search that is there, or a new one.

        Raises:
            UserError: the one that is there has other settings, or its file is damaged.
        """
        path = records.path(name, "es.npz")
        if new_model or not path.exists():
            records.remove(name)
            return cls(name, settings, genes)
        kept = load_search(path)
        check_same(str(path), kept.settings, settings, "give the settings of before, or --new_model to start over")
        search = cls(name, settings, genes)
        search._go_on(kept)
        print(f"going on with {path} after generation {search.generation}", flush=True)
        return search

    def _go_on(self, kept: Search) -> None:
        path = records.path(self.name, "es.npz")
        try:
            rows, evaluations = kept.coordinates["rows"], kept.coordinates["evaluations"]
            if rows.shape != (len(kept.fitness), len(ROW)) or evaluations.shape[1:] != (len(EVALUATION),):
                raise ValueError(f"{len(kept.fitness)} generations and tables of {rows.shape}, {evaluations.shape}")
            retold(self.optimizer, kept.fitness)
        except Exception as error:  # nonsense in it makes its readers raise whatever they like
            raise UserError(f"{path} is not a saved search: {first_line(error)}") from None
        if len(rows) and not np.array_equal(self.optimizer.champion, kept.coordinates.get("champion")):
            raise UserError(f"{path} replays to another search here: go on where it was made, or --new_model")
        self._fitness, self.rows, self.evaluations = kept.fitness, rows, evaluations
        self.best_genes = _genes(path, kept, self.optimizer.num_params)

    def save(self) -> None:
        """Write the search, whole."""
        champion = self.champion if self.generation else self.best_genes
        arrays = {"rows": self.rows, "evaluations": self.evaluations, "best": self.best_genes, "champion": champion}
        save_search(records.path(self.name, "es.npz"), self.settings, arrays, self._fitness)

    def draw(self) -> None:
        """Population and champions by generation, into a picture."""
        rows = [dict(zip(ROW, row, strict=True)) for row in self.rows.tolist()]
        evaluations = [dict(zip(EVALUATION, row, strict=True)) for row in self.evaluations.tolist()]
        draw_learning_curve(self.name, rows, evaluations, records.path(self.name, "png"), evaluated="the champion")

    @property
    def generation(self) -> int:
        """Generations told so far."""
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """How long they took."""
        return float(self.rows[-1, ROW.index("seconds")]) if self.generation else 0.0

    @property
    def champion(self) -> np.ndarray:
        """The genes that scored best in the last generation."""
        return self.optimizer.champion

    @property
    def evaluation_due(self) -> bool:
        """Whether the last generation is one to be evaluated, and has not been."""
        done = self.generation in self.evaluations[:, 0]
        return self.generation > 0 and self.generation % self.settings["eval_steps"] == 0 and not done

    def tell(self, fitness: np.ndarray, steps: int, seconds: float) -> tuple:
        """Learn from the fitness of all individuals and children, (2 population,); returns the row, see ROW."""
        self.optimizer.tell(fitness)
        self._fitness = np.vstack([self._fitness, fitness])
        remain = self.optimizer.fitness
        before = self.rows[-1, ROW.index("steps")] if self.generation else 0
        row = (self.generation + 1, seconds, remain.min(), remain.mean(), remain.max(), before + steps)
        self.rows = np.vstack([self.rows, row])
        return tuple(map(float, row))

    def evaluated(self, scores: list[float]) -> bool:
        """Note the champion's scores on unseen tracks; returns whether it is the best so far."""
        best = self.evaluations[:, 1].max(initial=-np.inf)
        row = (self.generation, np.mean(scores), np.std(scores), min(scores))
        self.evaluations = np.vstack([self.evaluations, row])
        if np.mean(scores) <= best:
            return False
        self.best_genes = self.champion
        return True


def best_genes(name: str, genes: int) -> tuple[np.ndarray, dict]:
    """The best champion that a search left, float64 (genes,), and what is known of it.

    Raises:
        UserError: there is none, or the file is damaged.
    """
    path = records.path(name, "es.npz")
    kept = load_search(path)
    evaluations = kept.coordinates.get("evaluations", np.zeros(0))
    if evaluations.ndim != 2 or not evaluations.size:
        raise UserError(f"{path} holds no champion yet: it is evaluated every --eval_steps generations")
    row = dict(zip(EVALUATION, evaluations[evaluations[:, 1].argmax()].tolist(), strict=True))
    metadata = {"settings": kept.settings, "evaluation": row}
    try:
        spent = dict(zip(ROW, kept.coordinates["rows"][int(row["generation"]) - 1].tolist(), strict=True))
    except (KeyError, IndexError, ValueError, TypeError):
        raise UserError(f"{path} has no row of generation {row['generation']}: --new_model starts over") from None
    return _genes(path, kept, genes), metadata | {name: spent[name] for name in ("steps", "seconds")}


def _genes(path: object, kept: Search, genes: int) -> np.ndarray:
    best = kept.coordinates.get("best", np.zeros(0))
    if best.shape != (genes,):
        raise UserError(f"{path} holds {best.shape} genes, this network has {genes}: --new_model starts over")
    return best
