"""Random agent on CarRacing: the plain environment loop, and the score that every other agent must beat.

    python experiments/baselines/random_car_racing.py
    python experiments/baselines/random_car_racing.py --num_episode 1 --render

Steer, gas and brake are drawn uniformly at every frame. The same command resumes after the last episode. A kill costs
the episode in progress. Output files: baselines/random_car_racing.scores.json and .png (learning curve).
"""

import argparse
from contextlib import nullcontext

try:
    from pipeline import cli
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: run `make setup` and start this with .venv/bin/python") from None

import numpy as np

import config
from display.play import Display, draw_environment
from display.window import open_window
from experiments.baselines import records
from experiments.plots.baselines import draw_training_scores
from pipeline.errors import UserError
from pipeline.files import check_same, only_one, read_json
from pipeline.scores import summary
from pipeline.seeds import env_seed_range
from simulation.policies import ExplorationPolicy
from simulation.real_world import EnvironmentWorld
from simulation.rollout import Task, print_score, rollout

NAME, ENV_NAME = "random_car_racing", "car_racing"
SCORES = records.path(NAME, "scores.json")


def random_action(t: int, action: np.ndarray, rng: np.random.Generator, refresh_rate: int) -> np.ndarray:
    """An exploration policy whose actions, float32 (3,), are uniformly random at every step."""
    return rng.uniform(config.ACTION_LOW, config.ACTION_HIGH).astype(np.float32)


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    max_length = config.ENVIRONMENTS[ENV_NAME].max_length
    parser.add_argument("--num_episode", type=cli.episode_count, default=100, help="episodes in total")
    parser.add_argument("--max_length", type=cli.positive_int, default=max_length, help="maximal frames per episode")
    window = "1: show the episodes in a window; closing it stops the run"
    parser.add_argument("--render", type=int, nargs="?", const=1, choices=(0, 1), default=0, help=window)
    records.add_arguments(parser)
    return parser.parse_args()


def saved_scores(args: argparse.Namespace) -> list[float]:
    """The scores of an earlier run; UserError when its settings differ or its file is damaged."""
    if args.new_model or not SCORES.exists():
        return []
    kept = read_json(SCORES)
    try:
        made, scores = {"seed": kept["seed"], **kept["about"]}, [float(score) for score in kept["scores"]]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{SCORES} does not hold scores: --new_model starts over") from None
    check_same(str(SCORES), made, {"seed": args.seed, "max_length": args.max_length}, records.REMEDY)
    print(f"resuming {SCORES} after {len(scores)} episodes")
    return scores


def main() -> None:
    args = parse_args()
    world = EnvironmentWorld(ENV_NAME, rows=1, render_mode="rgb_array" if args.render else None)
    policy = ExplorationPolicy(random_action, rows=1)
    window = open_window("--render", 600, 400) if args.render else nullcontext()
    with window as show, only_one(records.path(NAME, "lock"), f"running {NAME}"):
        scores = saved_scores(args)
        env_seeds = env_seed_range("report", args.seed, 0, args.num_episode)
        display = Display(draw_environment, [show] if show else [])
        for index in range(len(scores), args.num_episode):
            task = Task(env_seeds[index], args.max_length)
            [result] = rollout(world, policy, [task], callbacks=[display])
            scores.append(result.score)
            records.keep_scores(NAME, scores, args.seed, {"max_length": args.max_length})
            print_score(index, result)
        draw_training_scores(NAME, scores, records.path(NAME, "png"))
    print(f"{summary(scores)}; scores in {SCORES}, learning curve in {records.path(NAME, 'png')}")


if __name__ == "__main__":
    cli.run(main)
