"""Random agent on CarRacing: the plain environment loop, and the score that every other agent must beat.

    python experiments/baselines/random_car_racing.py
    python experiments/baselines/random_car_racing.py --num_episode 1 --render

Steer, gas and brake are drawn uniformly at every frame. The same command resumes after the last episode. A kill costs
the episode in progress. Output files: baselines/random_car_racing.scores.json and .png (learning curve).
"""

import argparse
from contextlib import nullcontext
from dataclasses import asdict, replace

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from display.play import Display, draw_environment
from display.window import open_window
from experiments.baselines import records
from experiments.plots.baselines import draw_training_scores
from experiments.scores import Scores, read_scores
from pipeline.actions import CAR_ACTIONS
from pipeline.files import check_same, only_one
from pipeline.new_model import check_not_set_aside, forget_previous, until_saved
from pipeline.scores import summary
from simulation.policies import ExplorationPolicy
from simulation.real_world import EnvironmentWorld
from simulation.rollout import RolloutSettings, print_score, rollout

NAME, ENV_NAME = "random_car_racing", "car_racing"
SCORES = records.path(NAME, "scores.json")


def random_action(t: int, action: np.ndarray, rng: np.random.Generator, refresh_rate: int) -> np.ndarray:
    """An exploration policy whose actions, float32 (3,), are uniformly random at every step."""
    return rng.uniform(CAR_ACTIONS.low, CAR_ACTIONS.high).astype(np.float32)


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--num_episode", type=cli.episode_count, default=100, help="episodes in total")
    window = "1: show the episodes in a window; closing it stops the run"
    parser.add_argument("--render", type=int, nargs="?", const=1, choices=(0, 1), default=0, help=window)
    records.add_arguments(parser, config.ENVIRONMENTS[ENV_NAME].max_length)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    world = EnvironmentWorld(ENV_NAME, rows=1, render_mode="rgb_array" if args.render else None)
    policy = ExplorationPolicy(random_action, rows=1)
    settings = RolloutSettings(env=ENV_NAME, seed=args.seed, num_episode=args.num_episode, max_length=args.max_length)
    window = open_window("--render", 600, 400) if args.render else nullcontext()
    with window as show, only_one(records.path(NAME, "lock"), f"running {NAME}"):
        scores: list[float] = []
        if SCORES.exists() and not args.new_model:
            kept = read_scores(SCORES)
            wanted = replace(settings, num_episode=kept.settings.num_episode)  # a run may go on for more episodes
            check_same(str(SCORES), asdict(kept.settings), asdict(wanted), records.REMEDY)
            scores = kept.scores
            print(f"resuming {SCORES} after {len(scores)} episodes")
        elif not args.new_model:
            check_not_set_aside(SCORES)
        display = Display(draw_environment, [show] if show else [])
        with until_saved(SCORES, args.new_model):
            for index, task in list(enumerate(settings.tasks()))[len(scores) :]:
                [result] = rollout(world, policy, [task], callbacks=[display])
                scores.append(result.score)
                Scores(settings=settings, scores=scores, metadata={}).write(SCORES)
                forget_previous(SCORES)
                print_score(index, result)
        draw_training_scores(NAME, scores, records.path(NAME, "png"))
    print(f"{summary(scores)}; scores in {SCORES}, learning curve in {records.path(NAME, 'png')}")


if __name__ == "__main__":
    cli.run(main)
