"""One search for a controller: its history, kept in one file, and the files that follow from it.

controller/NAME.es.npz is the only commit point: written whole after every generation and every evaluation, it holds the
settings, the search's coordinates, every row printed and what the optimizer was told since it was started. The search
is rebuilt from it by telling it all again.
"""

from pathlib import Path

import numpy as np

import config
import controller.arch as arch
from controller import files as controller_files
from controller.coordinates import Coordinates
from controller.evaluations import EVALUATION, Evaluations
from controller.files import state_path, weights_path
from controller.saved_search import load_search, save_search
from controller.schedule import actions_at, first_sigma, turn_begins
from es import replay
from pipeline.errors import UserError, first_line
from pipeline.files import check_same, write_json
from pipeline.seeds import env_seed_range
from pipeline.weights import training_settings

ROW = ("generation", "seconds", "mean", "min", "max", "std", "sigma", "mean steps", "max steps", "episodes")
RENAMED_SETTINGS = {"patience": "max_steps_without_progress"}  # of searches saved by 0.1.0
HARD_TRACKS = 8  # of an evaluation


class ControllerSearch:
    """A search that is starting, or going on.

    Attributes:
        rows: float64 (generations, 10), see ROW.
        fitness: float64 (generations, members), what the optimizer was told since it was started.
        road, dream: what its mean scored on the road and, of a search that dreams, in dreams.
        hard_tracks: int64 (HARD_TRACKS,) or (0,), seeds of the tracks that the mean drove worst when last evaluated.
        start_u, start_sigma, start_generation: where, how wide and when the optimizer was started; it starts anew with
            every turn, and with --retrain.
    """

    def __init__(self, name: str, settings: dict, coordinates: Coordinates) -> None:
        """A new search from u = 0; `settings` are what a later resume must share."""
        self.name, self.settings, self.coordinates = name, settings, coordinates
        dimensions = coordinates.T.shape[1]
        self.fitness = np.zeros((0, settings["population"]))
        self.rows = np.zeros((0, len(ROW)))
        self.real, self.dream = Evaluations(dimensions), Evaluations(dimensions)
        self.hard_tracks = np.zeros(0, np.int64)
        self.start_generation, self.start_u, self.start_sigma = 0, np.zeros(dimensions), first_sigma(settings, 0)
        self.optimizer = self._rebuilt()

    @classmethod
    def load(cls, path: Path) -> "ControllerSearch":
        """The search that `save` kept, ready to go on; UserError when its file is damaged or replays differently."""
        kept = load_search(path)
        settings = {RENAMED_SETTINGS.get(key, key): value for key, value in kept.settings.items()}
        arrays = kept.coordinates
        try:
            _check_shapes(arrays, len(kept.fitness))
            _check_turns(settings, int(arrays["start_generation"]), *kept.fitness.shape)
            coordinates = Coordinates(arrays["w0"], arrays["T"])
            search = cls(path.name.removesuffix(".es.npz"), settings, coordinates)
            search.fitness, search.rows = kept.fitness, arrays["rows"]
            if (np.sum([coordinates.that_move((action,)) for action in config.ACTIONS], axis=0) != 1).any():
                raise ValueError("its coordinates move several actions, or none")
            search.real.restore(arrays, "")
            search.dream.restore(arrays, "dream_")
            search.hard_tracks = arrays["hard_tracks"]
            search.start_generation, search.start_u = int(arrays["start_generation"]), arrays["start_u"]
            search.start_sigma = float(arrays["start_sigma"])
            if not settings["sigma_decay"] > 0:  # a turn does not ask for it
                raise ValueError("its sigma_decay is not above 0")
            wide = first_sigma(settings, search.start_generation)
            if search.start_sigma != wide and not (settings["retrain"] and search.start_generation):
                raise ValueError(f"its sigma was {wide} or {search.start_sigma} at first")
            search.optimizer = search._rebuilt()
            same = np.allclose(search.mean_u, arrays["mean_u"], rtol=1e-9, atol=1e-12)
        except Exception as error:  # nonsense in its settings makes an optimiser raise whatever it likes
            what = f"{path} is not a saved search of a controller, or one of another revision ({first_line(error)})"
            raise UserError(f"{what}: --new_model starts over") from None
        if not same:
            made = settings.get("versions")
            raise UserError(f"{path}, made with {made}, replays to another search here: go on there, or --new_model")
        return search

    def save(self) -> None:
        """Write the search, then what follows from it."""
        arrays = {
            "w0": self.coordinates.w0,
            "T": self.coordinates.T,
            "rows": self.rows,
            "hard_tracks": self.hard_tracks,
            "start_generation": np.array(self.start_generation),
            "start_u": self.start_u,
            "start_sigma": np.array(self.start_sigma),
            "mean_u": self.mean_u,
        }
        arrays |= self.real.arrays("") | self.dream.arrays("dream_")
        save_search(state_path(self.name), self.settings, arrays, self.fitness)
        self.write_reports()

    def write_reports(self) -> None:
        """The files for people and for model.py: weights, history, evaluations, settings."""
        names = ("vae", "rnn", "seed", "max_length", "sample_z", "previous_action")
        metadata = {key: self.settings[key] for key in names}
        if self.generation:
            current = metadata | {"generation": self.generation, "score_is": "mean of the population"}
            controller_files.save(weights_path(self.name, "current"), self.mean_weights, self.rows[-1, 2], current)
        self._write_best("best", self.real, metadata | {"score_is": "mean over unseen tracks"})
        self._write_best("dream_best", self.dream, metadata | {"score_is": "mean over unseen dreams"})
        write_json(config.LOG_DIR / f"{self.name}.hist.json", _table(ROW, self.rows))
        write_json(config.LOG_DIR / f"{self.name}.log.json", _table(EVALUATION, self.real.rows))
        if self.settings["dream_mode"]:
            write_json(config.LOG_DIR / f"{self.name}.dream_log.json", _table(EVALUATION, self.dream.rows))
        write_json(config.LOG_DIR / f"{self.name}.json", self.settings)

    def _write_best(self, which: str, evaluations: Evaluations, metadata: dict) -> None:
        path = weights_path(self.name, which)
        if not len(evaluations.rows):
            return path.unlink(missing_ok=True)  # of a search that --new_model replaced
        generation, mean, std, low = evaluations.rows[evaluations.best].tolist()
        metadata = metadata | {"generation": int(generation), "std": std, "min": low}
        controller_files.save(path, self.coordinates.weights(evaluations.best_u), mean, metadata)

    # --- one generation -----------------------------------------------------------------------------------------------
    @property
    def generation(self) -> int:
        """Generations told so far."""
        return len(self.rows)

    @property
    def evaluation_due(self) -> bool:
        """Whether the last generation is one to be evaluated, and has not been."""
        evaluated = self.generation in self.real.rows[:, 0]
        return self.generation > 0 and self.generation % self.settings["eval_steps"] == 0 and not evaluated

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions whose weights are searched at present."""
        return actions_at(self.settings, self.generation)

    @property
    def mean_u(self) -> np.ndarray:
        """The coordinates (k,) at the mean of the search distribution."""
        return self._with_the_rest(self.optimizer.mean)

    @property
    def mean_weights(self) -> np.ndarray:
        """The 867 weights at the mean of the search distribution."""
        return self.coordinates.weights(self.mean_u)

    @property
    def best_weights(self) -> np.ndarray:
        """The 867 weights that scored best when evaluated, in dreams if it dreams; the mean's if none were."""
        return self.coordinates.weights(self._led_by.best_u) if len(self._led_by.rows) else self.mean_weights

    @property
    def _led_by(self) -> Evaluations:
        return self.dream if self.settings["dream_mode"] else self.real  # the road must not lead a search that dreams

    @property
    def free(self) -> np.ndarray:
        """Which coordinates the optimizer searches, bool (k,); the others stay as they are in start_u."""
        return self.coordinates.that_move(actions_at(self.settings, self.start_generation))

    def _with_the_rest(self, free: np.ndarray) -> np.ndarray:
        """All coordinates (..., k) of those that the optimizer searches."""
        u = np.tile(self.start_u, (*free.shape[:-1], 1))
        u[..., self.free] = free
        return u

    def next_env_seeds(self) -> list[int]:
        """Seeds of the tracks of the next generation: new ones, but for a half that are hard if there are such."""
        count = self.settings["num_episode"]
        half = count // 2 if len(self.hard_tracks) else 0
        hard = np.roll(self.hard_tracks, -self.generation * half)[:half].tolist()
        return env_seed_range("search", self.settings["seed"], self.generation * count, count - len(hard)) + hard

    def note_hard_tracks(self, seeds: list[int], scores: np.ndarray) -> None:
        """Keep the seeds of the tracks on which the mean scored worst; scores (tracks,) of an evaluation.

        No evaluation meets a track again, so none is biased by what the search has seen of another's.
        """
        if self.settings["hard_tracks"] and not self.settings["dream_mode"]:  # the road must not lead a dreaming search
            self.hard_tracks = np.array(seeds, np.int64)[np.argsort(scores, kind="stable")[:HARD_TRACKS]]

    def ask(self) -> np.ndarray:
        """The population's weights, (population, 867)."""
        return self.coordinates.weights(self._with_the_rest(self.optimizer.ask()))

    def tell(self, scores: np.ndarray, steps: np.ndarray, seconds: float) -> tuple:
        """Learn from the scores and steps of a generation, (population, tracks) each; returns its row, see ROW."""
        members = scores.mean(axis=1)
        self.optimizer.tell(members)
        self.fitness = np.vstack([self.fitness, members])
        spread = (members.mean(), members.min(), members.max(), members.std())
        row = (self.generation + 1, seconds, *spread, self.optimizer.sigma, steps.mean(), steps.max(), steps.size)
        self.rows = np.vstack([self.rows, row])
        if turn_begins(self.settings, self.generation):
            self._start_anew(self.mean_u, first_sigma(self.settings, self.generation))
        return tuple(map(float, row))

    def evaluated(self, scores: np.ndarray, dreamt: np.ndarray | None = None) -> bool:
        """Note the scores (tracks,) of the mean on unseen tracks, and perhaps in unseen dreams (dreams,).

        Returns whether it is the best so far on the road.
        """
        better = self.real.note(self.generation, scores, self.mean_u)
        if dreamt is not None:
            self.dream.note(self.generation, dreamt, self.mean_u)
        if self.settings["retrain"] and self._led_by.best < len(self._led_by.rows) - 1:
            self._start_anew(self._led_by.best_u, self.optimizer.sigma)
        return better

    def _start_anew(self, u: np.ndarray, sigma: float) -> None:
        """Search on from coordinates u (k,) by a new optimizer."""
        self.start_generation, self.start_u, self.start_sigma = self.generation, u, sigma
        self.fitness = self.fitness[:0]
        self.optimizer = self._rebuilt()

    def _rebuilt(self) -> object:
        """The optimizer as its history makes it."""
        in_turn = actions_at(self.settings, self.start_generation) != config.ACTIONS
        settings = {
            "num_params": int(self.free.sum()),
            "popsize": self.fitness.shape[1],
            "seed": [self.settings["seed"], self.start_generation],
            "sigma_init": self.start_sigma,
            "sigma_decay": 1.0 if in_turn else self.settings["sigma_decay"],  # a turn is too short to narrow
            "x0": self.start_u[self.free],
        }
        return replay(self.settings["optimizer"], settings, self.fitness)


def weights_to_start_from(path: Path, name: str, settings: dict) -> np.ndarray:
    """The best mean (867,) of a saved search; UserError when it is the one to be replaced, or of other networks.

    It may be of the networks that these have learned on from: z and h have moved a little, and so must the weights.
    """
    if path.resolve() == state_path(name).resolve():
        raise UserError(f"--init_opt {path} would be overwritten by this search: copy it to another name")
    earlier = ControllerSearch.load(path)
    folders = {"vae": config.VAE_DIR, "rnn": config.RNN_DIR}
    before = {key: training_settings(folder / "weights.h5").get("init_weights") for key, folder in folders.items()}
    same = {key: settings[key] for key in folders if earlier.settings[key] != before[key]}
    check_same(str(path), earlier.settings, same, "its weights mean nothing to these networks")
    return earlier.best_weights


def check_settings(search: ControllerSearch, settings: dict) -> None:
    """Refuse to go on with a search under other settings than its own."""
    remedy = "give the settings of before, or --new_model to start over"
    asked = {key: value for key, value in settings.items() if key != "versions"}
    check_same(str(state_path(search.name)), search.settings, asked, remedy)


def _check_shapes(arrays: dict[str, np.ndarray], told: int) -> None:
    """Refuse, with a ValueError, arrays that no search could have left, its optimizer told of so many generations."""
    [dimensions] = arrays["start_u"].shape
    generations = int(arrays["start_generation"]) + told
    shapes = {"w0": (arch.NUM_WEIGHTS,), "T": (arch.NUM_WEIGHTS, dimensions), "rows": (generations, len(ROW))}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")
    hard = arrays["hard_tracks"]
    if hard.dtype != np.int64 or hard.ndim != 1 or (hard < 0).any():
        raise ValueError("its hard tracks are not seeds")


def _check_turns(settings: dict, start: int, told: int, members: int) -> None:
    """Refuse, with a ValueError, generations since `start` that no single optimizer can have been told."""
    if members != settings["population"]:
        raise ValueError(f"a generation is {settings['population']} or {members} members")
    if any(turn_begins(settings, generation) for generation in range(start + 1, start + told + 1)):
        raise ValueError(f"its optimizer went on from generation {start} to {start + told} through another turn")


def _table(names: tuple[str, ...], rows: np.ndarray) -> list[dict]:
    table = [dict(zip(names, row, strict=True)) for row in rows.tolist()]
    return [row | {"generation": int(row["generation"])} for row in table]
