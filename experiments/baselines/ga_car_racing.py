"""A genetic algorithm on CarRacing: a hundred small networks, of whom the better ones have children.

    python experiments/baselines/ga_car_racing.py                 # search, or go on searching
    python experiments/baselines/ga_car_racing.py --final_mode    # the champion's mean over 100 unseen tracks

An individual is a network of 64-16-3, its genes the 1,091 weights. It sees the green of the frame, where road and grass
differ most, averaged over 8 x 8 fields (the lowest row of them is the bar, with the speed in it), and sets wheel, gas
and brake for four frames. In a generation parents are drawn two by two on a roulette wheel, have two children by
one-point crossover (0.8), whose genes mutate (0.1), and all drive the same tracks, parents too. A child takes the place
of the worst individual that it beats. In the words of the source that is ranking, roulette-wheel selection, crossover,
mutation and elitist replacement; what its printed code does otherwise is said in baselines/ga.py. A row is

    generation, seconds, min, mean, max, steps

of the population's scores after the replacement, each averaged over the generation's tracks, and of the frames driven
since the start. Every --eval_steps generations the champion drives unseen tracks, and the best one is kept.

Individuals drive in lanes, sixteen to a process, over MPI as in stage 05; any number of processes gives the same
numbers. The same command again goes on after the last generation. Leaves baselines/ga_car_racing.es.npz (settings,
every fitness told, the best champion's genes) and ga_car_racing.png. A kill costs the generation in progress.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

import config
from controller.arch import squash
from experiments.baselines import records
from experiments.baselines.ga_search import GASearch, best_genes
from pipeline import cli
from pipeline.files import check_folder, only_one
from pipeline.scores import summary
from pipeline.seeds import env_seed_range
from simulation import launch as mpi
from simulation.ranks import Ranks
from simulation.rollout import Active, Result, RolloutBatch, Slot, Task, score_unseen_tracks

NAME, ENV_NAME = "ga_car_racing", "car_racing"
FIELDS, HIDDEN = 8, 16
HOLD = 4  # frames an action is held
SHAPES = ((HIDDEN, FIELDS**2), (HIDDEN,), (config.ACTION_DIM, HIDDEN), (config.ACTION_DIM,))
GENES = sum(int(np.prod(shape)) for shape in SHAPES)
MAX_LENGTH = config.ENVIRONMENTS[ENV_NAME].max_length


def look(frames: np.ndarray) -> np.ndarray:
    """What the networks see: the green of frames, uint8 (n, 64, 64, 3), averaged over fields -> (n, 64), -1..1."""
    side = frames.shape[1] // FIELDS
    green = frames[..., 1].reshape(-1, FIELDS, side, FIELDS, side)
    return green.mean(axis=(2, 4)).reshape(len(frames), -1) / 127.5 - 1


def unpack(genes: np.ndarray) -> list[np.ndarray]:
    """Genes (..., 1091) as W1 (..., 16, 64), b1 (..., 16), W2 (..., 3, 16), b2 (..., 3)."""
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1]
    parts = np.split(genes, ends, axis=-1)
    return [part.reshape(*genes.shape[:-1], *shape) for part, shape in zip(parts, SHAPES, strict=True)]


def decide(layers: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Actions of n individuals, each by its own layers, who see x (n, 64) -> float32 (n, 3).

    Every row is summed by itself: what an individual does never depends on its neighbours.
    """
    W1, b1, W2, b2 = layers
    hidden = np.tanh((W1 * x[:, None]).sum(axis=2) + b1)
    return squash((W2 * hidden[:, None]).sum(axis=2) + b2).astype(np.float32)


class Individuals(RolloutBatch):
    """Drives by genes: those of each task."""

    def __init__(self, max_steps_without_progress: int | None = None) -> None:
        super().__init__(ENV_NAME, max_steps_without_progress)
        self.layers = unpack(np.zeros((len(self.frames), GENES)))

    def begin(self, row: int, slot: Slot) -> None:
        for layer, own in zip(self.layers, unpack(slot.task.weights), strict=True):
            layer[row] = own

    def act(self, active: Active) -> None:
        due = [(row, slot) for row, slot in active if slot.steps % HOLD == 0]
        if due:
            rows = [row for row, _ in due]
            actions = decide([layer[rows] for layer in self.layers], look(self.frames[rows]))
            for action, (_, slot) in zip(actions, due, strict=True):
                slot.action = action


Drive = Callable[[list[Task]], list[Result]]


def run_generation(search: GASearch, args: argparse.Namespace, drive: Drive, started: float) -> None:
    """Ask, drive, tell, save; prints the generation's row."""
    tracks = env_seed_range("search", args.seed, search.generation * args.tracks, args.tracks)
    results = drive([Task(genes, env_seed, args.max_length) for genes in search.optimizer.ask() for env_seed in tracks])
    scores = np.array([result.score for result in results]).reshape(-1, len(tracks))
    row = search.tell(scores.mean(axis=1), sum(result.steps for result in results), time.monotonic() - started)
    search.save()
    print(NAME, (int(row[0]), int(row[1]), *(round(number, 1) for number in row[2:5]), int(row[5])), flush=True)


def evaluate(search: GASearch, args: argparse.Namespace, drive: Drive) -> None:
    """Score the champion on tracks that no search meets, and keep it if it is the best so far; saves."""
    first = search.generation * args.eval_episode
    tracks = env_seed_range("evaluate", args.seed, first, args.eval_episode)
    scores = [
        result.score for result in drive([Task(search.champion, env_seed, args.max_length) for env_seed in tracks])
    ]
    mark = ", the best so far" if search.evaluated(scores) else ""
    search.save()
    print(f"champion: {summary(scores, 'unseen tracks')}{mark}", flush=True)


def search_on(args: argparse.Namespace, drive: Drive) -> None:
    """Search until there are enough generations."""
    names = ("seed", "population", "tracks", "max_length", "max_steps_without_progress", "eval_steps", "eval_episode")
    names += ("crossover", "mutation", "sigma")
    search = GASearch.start_or_resume(NAME, {name: getattr(args, name) for name in names}, GENES, args.new_model)
    started = time.monotonic() - search.seconds
    while True:
        if search.evaluation_due:  # first: the last run may have been stopped in the middle of it
            evaluate(search, args, drive)
            search.draw()
        if search.generation >= args.generations:
            search.draw()
            return print(f"{search.generation} generations; learning curve in {records.path(NAME, 'png')}")
        run_generation(search, args, drive, started)


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("-n", "--num_worker", type=cli.positive_int, default=cli.cores(), help="processes side by side")
    add("--generations", type=cli.positive_int, default=100, help="stop after so many, all told")
    add("--population", type=cli.episode_count, default=100, help="individuals, an even number; as many children")
    add("--tracks", type=cli.episode_count, default=2, help="tracks a generation, the same for all")
    add("--max_length", type=cli.positive_int, default=MAX_LENGTH, help="frames an episode")
    add(
        "--max_steps_without_progress",
        type=cli.count,
        default=100,
        help="truncate an episode after; 0: never",
    )
    add("--crossover", type=cli.share, default=0.8, help="share of the pairs whose children mix their genes")
    add("--mutation", type=cli.share, default=0.1, help="share of a child's genes that mutate")
    add("--sigma", type=cli.positive_float, default=0.3, help="standard deviation of first genes, and of a mutation")
    add("--eval_steps", type=cli.positive_int, default=10, help="generations between evaluations of the champion")
    add("--eval_episode", type=cli.episode_count, default=16, help="unseen tracks an evaluation")
    records.add_arguments(parser)
    records.add_final_arguments(parser)
    args = parser.parse_args()
    if args.population < 2 or args.population % 2:
        parser.error(f"argument --population: must be even, and at least 2, not {args.population}")
    return args


@cli.enough_memory("lower --population")
def main() -> None:
    args = parse_args()
    if args.final_mode:
        genes, metadata = best_genes(NAME, GENES)
        scores = score_unseen_tracks(Individuals(), genes, args.seed, args.num_episode, args.max_length)
        return records.keep_scores(NAME, scores, args.seed, metadata, GENES, metadata["steps"], metadata["seconds"])
    mpi.launch(min(args.num_worker, cli.cores()))
    with Ranks() as ranks:
        driver = Individuals(args.max_steps_without_progress)
        if ranks.rank > 0:
            return ranks.serve(driver.run)
        check_folder(config.BASELINES_DIR)
        with only_one(records.path(NAME, "lock"), f"searching {NAME}"):
            search_on(args, partial(ranks.map, driver.run))


if __name__ == "__main__":
    cli.run(main)
