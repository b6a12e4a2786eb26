"""Genetic algorithm on CarRacing: it searches the 1,091 weights of a network of 64-16-3 units.

    python experiments/baselines/ga_car_racing.py                 # search
    python experiments/baselines/ga_car_racing.py --final_mode    # score the best champion on 100 unseen tracks

The network sees the green channel, where road and grass differ most, averaged over 8 x 8 pixels, and acts every four
frames. A generation's row is its number, wall time (s), min, mean and max score of the survivors, and frames since the
start. Every --eval_steps generations the champion (the best survivor) is evaluated on unseen tracks. Episodes run over
MPI as in stage 05. The same command resumes after the last generation. A kill costs the generation in progress. Output
files: baselines/ga_car_racing.es.npz and .png. Rows B10 to B14 of docs/deviations.md compare this with its source.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import ClassVar

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from controller.arch import squash
from controller.generation import Evaluate
from controller.saved_search import load_search, save_search
from es import Optimizer, Seed, replay_into
from experiments.baselines import records
from experiments.plots.canvas import save_figure
from experiments.plots.controller import draw_learning_curve
from experiments.scores import Scores
from pipeline.errors import UserError
from pipeline.seeds import env_seed_range, rng
from pipeline.settings import read_settings
from pipeline.sizes import CAR
from simulation import launch as mpi
from simulation.ranks import Ranks
from simulation.real_world import ROWS, EnvironmentWorld
from simulation.rollout import Policy, RolloutSettings, Slot, evaluator, rollout, score_unseen_tracks

NAME, ENV_NAME = "ga_car_racing", "car_racing"
GRID, HIDDEN = 8, 16  # averages per side of the frame; hidden units
FRAME_SKIP = 4  # frames for which an action is held
SHAPES = ((HIDDEN, GRID**2), (HIDDEN,), (CAR.actions, HIDDEN), (CAR.actions,))
GENES = sum(int(np.prod(shape)) for shape in SHAPES)


@dataclass(frozen=True, kw_only=True)
class GASettings(records.TrainingSettings):
    """Settings of a search; --help says what they do."""

    RENAMED: ClassVar = {
        "patience": "max_steps_without_progress",
        "tracks": "episodes_per_candidate",
    }  # of version 0.1.0

    population: int
    episodes_per_candidate: int
    max_length: int
    max_steps_without_progress: int
    crossover: float
    mutation: float
    sigma: float


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
    points = rng.integers(1, genes, size=(pairs, 1))
    swapped = (rng.random((pairs, 1)) < rate) & (np.arange(genes) >= points)
    return np.concatenate([np.where(swapped, fathers, mothers), np.where(swapped, mothers, fathers)])


def mutate(genes: np.ndarray, rate: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise of standard deviation `sigma` to a share `rate` of the genes (any shape)."""
    noise = rng.normal(0, sigma, genes.shape)
    return genes + np.where(rng.random(genes.shape) < rate, noise, 0)


class RouletteGA(Optimizer):
    """The algorithm behind ask / tell: `ask` returns the population and as many children; the better half survives.

    Parents are evaluated again with their children, because scores on different tracks do not compare. The survivors
    are `population`, float64 (popsize / 2, num_params), with `fitness`, (popsize / 2,), best first. `sigma_init` is the
    standard deviation of the initial genes and of a mutation; `rates` are the share of the pairs that cross over and of
    a child's genes that mutate.
    """

    default_sigma_decay = 1.0

    def __init__(
        self, num_params: int, popsize: int, seed: Seed, sigma_init: float = 0.5, rates: Sequence[float] = (0.8, 0.1)
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
        mothers, fathers = self.population[parents.T]
        children = crossover(mothers, fathers, self.crossover_rate, self.rng)
        return np.concatenate([self.population, mutate(children, self.mutation_rate, self.sigma_init, self.rng)])

    def _update(self, solutions: np.ndarray, fitness: np.ndarray) -> None:
        ranking = np.argsort(-fitness, kind="stable")[: self.popsize // 2]
        self.population, self.fitness = solutions[ranking], fitness[ranking]
        self._mu = self.population.mean(axis=0)


def observe(frames: np.ndarray) -> np.ndarray:
    """Inputs of the network: the green of frames, uint8 (n, 64, 64, 3), averaged on a grid -> (n, 64), -1..1."""
    side = frames.shape[1] // GRID
    green = frames[..., 1].reshape(-1, GRID, side, GRID, side)
    return green.mean(axis=(2, 4)).reshape(len(frames), -1) / 127.5 - 1


def unpack(genes: np.ndarray) -> list[np.ndarray]:
    """Split genes (..., 1091) into W1 (..., 16, 64), b1 (..., 16), W2 (..., 3, 16), b2 (..., 3)."""
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1]
    parts = np.split(genes, ends, axis=-1)
    return [part.reshape(*genes.shape[:-1], *shape) for part, shape in zip(parts, SHAPES, strict=True)]


def forward(layers: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Actions, float32 (n, 3), of n networks `layers` on inputs x (n, 64).

    Sums run over one row at a time, so that an action does not depend on the other rows.
    """
    W1, b1, W2, b2 = layers
    hidden = np.tanh((W1 * x[:, None]).sum(axis=2) + b1)
    return squash((W2 * hidden[:, None]).sum(axis=2) + b2).astype(np.float32)


class GenePolicy(Policy[EnvironmentWorld]):
    """The policy of the networks whose genes are the weights of the tasks."""

    def __init__(self) -> None:
        self.layers = unpack(np.zeros((ROWS, GENES)))
        self.actions = np.zeros((ROWS, CAR.actions), np.float32)

    def reset(self, slot: Slot) -> None:
        for layer, own in zip(self.layers, unpack(slot.task.weights), strict=True):
            layer[slot.row] = own

    def act(self, world: EnvironmentWorld, slots: list[Slot]) -> np.ndarray:
        rows = [slot.row for slot in slots if slot.steps % FRAME_SKIP == 0]
        if rows:
            inputs = observe(np.stack([world.frames[row] for row in rows]))
            self.actions[rows] = forward([layer[rows] for layer in self.layers], inputs)
        return self.actions


class GASearch(records.Training):
    """One search; the settings and the fitness history in baselines/ga_car_racing.es.npz rebuild it."""

    columns, unit = ("generation", "seconds", "min", "mean", "max", "steps"), "generations"

    settings: GASettings

    def __init__(self, settings: GASettings, evaluate: Evaluate | None = None) -> None:
        super().__init__(NAME, "es.npz", settings)
        self.evaluate_candidates = evaluate
        self.best_genes = np.zeros(GENES)  # of the champion with the best evaluation
        self.fitness = np.zeros((0, 2 * settings.population))  # of all individuals and children, by generation
        stream, rates = rng("genetic_algorithm", settings.seed), (settings.crossover, settings.mutation)
        self.optimizer = RouletteGA(GENES, self.fitness.shape[1], stream, settings.sigma, rates)

    def save(self) -> None:
        tables = {"rows": self.rows, "evaluations": self.evaluations}
        arrays = {**tables, "best": self.best_genes, "champion": self.optimizer.population[0]}
        save_search(self.path, asdict(self.settings), arrays, self.fitness)

    def restore(self, replay: bool = True) -> None:
        kept = load_search(self.path)
        self.check_settings(kept.settings)
        self.fitness, arrays = kept.fitness, kept.coordinates
        self.rows, self.evaluations, self.best_genes = arrays["rows"], arrays["evaluations"], arrays["best"]
        if self.best_genes.shape != (GENES,):
            what = f"{self.path} holds {self.best_genes.shape} genes, this network has {GENES}"
            raise UserError(f"{what}: --new_model starts over")
        if replay and not np.array_equal(replay_into(self.optimizer, self.fitness).population[0], arrays["champion"]):
            raise UserError(f"{self.path} replays to another search here: resume it where it was made, or --new_model")

    def advance(self) -> tuple[float, ...]:
        """Ask, evaluate, tell; the row's min, mean and max are those of the survivors."""
        settings, count = self.settings, self.settings.episodes_per_candidate
        env_seeds = [env_seed_range("search", settings.seed, len(self.rows) * count, count)]
        assert self.evaluate_candidates is not None  # best_genes makes a search without it, which is not run
        candidates = self.optimizer.ask()
        scores, steps = self.evaluate_candidates(candidates, env_seeds * len(candidates), settings.max_length)
        self.fitness = np.vstack([self.fitness, scores.mean(axis=1)])
        self.optimizer.tell(self.fitness[-1])
        survivors = self.optimizer.fitness
        return survivors.min(), survivors.mean(), survivors.max(), self.last("steps") + steps.sum()

    def report(self) -> None:
        generation, seconds, *spread, steps = self.rows[-1].tolist()
        self.log(f"{NAME} {int(generation), int(seconds), *(round(score, 1) for score in spread), int(steps)}")

    def score(self, env_seeds: list[int]) -> list[float]:
        assert self.evaluate_candidates is not None
        scores, _ = self.evaluate_candidates(self.optimizer.population[:1], [env_seeds], self.settings.max_length)
        return scores[0].tolist()

    def keep_best(self) -> None:
        self.best_genes = self.optimizer.population[0]

    def draw(self) -> None:
        save_figure(draw_learning_curve(NAME, *self.as_dicts(), evaluated="champion"), records.path(NAME, "png"))


def best_genes() -> tuple[np.ndarray, dict]:
    """The best champion of the saved search, float64 (genes,), and its metadata; UserError when there is none."""
    path = records.path(NAME, "es.npz")
    search = GASearch(read_settings(GASettings, load_search(path).settings, str(path), records.REMEDY))
    search.restore(replay=False)
    if not len(search.evaluations):
        raise UserError(f"{search.path} holds no champion yet: --eval_steps generations come before the first one")
    return search.best_genes, search.metadata()


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("-n", "--num_worker", type=cli.positive_int, default=cli.cores(), help="processes (MPI ranks)")
    add("--population", type=cli.episode_count, default=100, help="individuals, an even number")
    add("--episodes_per_candidate", type=cli.episode_count, default=2, help="tracks per generation, for all candidates")
    no_progress = "frames without a positive reward after which an episode is truncated early; 0: never"
    add("--max_steps_without_progress", type=cli.count, default=100, help=no_progress)
    add("--crossover", type=cli.share, default=0.8, help="share of the pairs that cross over, 0..1")
    add("--mutation", type=cli.share, default=0.1, help="share of a child's genes that mutate, 0..1")
    add("--sigma", type=cli.positive_float, default=0.3, help="standard deviation of initial genes and of a mutation")
    max_length = config.ENVIRONMENTS[ENV_NAME].max_length
    records.add_arguments(parser, max_length, "generations", generations=100, eval_steps=10, eval_episode=16)
    args = parser.parse_args()
    if args.population % 2:
        parser.error(f"argument --population: must be even, not {args.population}")
    return args


@cli.enough_memory("lower --population")
def main() -> None:
    args = parse_args()
    if not args.final_mode:
        mpi.launch(min(args.num_worker, cli.cores()))
    world, policy = EnvironmentWorld(ENV_NAME), GenePolicy()
    if args.final_mode:
        genes, metadata = best_genes()
        tracks = {"seed": args.seed, "num_episode": args.num_episode, "max_length": args.max_length}
        settings = RolloutSettings(env=ENV_NAME, **tracks)
        scores = score_unseen_tracks(world, policy, settings, genes)
        cost = {"parameters": GENES, "agent_steps": int(metadata["steps"]), "seconds": metadata["seconds"]}
        kept = Scores(settings=settings, scores=scores, metadata=metadata, **cost)
        return kept.write(records.path(NAME, "scores.json"))
    with Ranks() as ranks:
        limit = args.max_steps_without_progress
        ranks.functions["real"] = partial(rollout, world, policy, max_steps_without_progress=limit)
        if ranks.rank > 0:
            return ranks.serve()
        names = {field.name for field in fields(GASettings)} & vars(args).keys()
        search = GASearch(GASettings(**{name: getattr(args, name) for name in names}), evaluator(ranks.map))
        search.train(args.generations, args.new_model)


if __name__ == "__main__":
    cli.run(main)
