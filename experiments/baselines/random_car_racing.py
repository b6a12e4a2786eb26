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

import gymnasium as gym
import numpy as np

import config
from display.video import Show
from display.window import open_window
from experiments.baselines import records
from pipeline.errors import UserError
from pipeline.files import check_same, only_one, read_json
from pipeline.scores import summary
from pipeline.seeds import env_seed_range, rng
from simulation.environments import make_env
from simulation.rollout import Result, print_episode

NAME, ENV_NAME = "random_car_racing", "car_racing"
SCORES = records.path(NAME, "scores.json")


def play(env: gym.Env, env_seed: int, max_length: int, show: Show | None) -> Result:
    """Run one episode; its actions are a function of the env_seed."""
    stream = rng("exploration", env_seed)
    env.reset(seed=env_seed)
    score, steps, done = 0.0, 0, False
    while not done and steps < max_length:
        if show:
            show(env.render())
        action = stream.uniform(config.ACTION_LOW, config.ACTION_HIGH).astype(np.float32)
        _, reward, terminated, truncated, _ = env.step(action)
        score, steps, done = score + float(reward), steps + 1, terminated or truncated
    return Result(score, steps)


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    max_length = config.ENVIRONMENTS[ENV_NAME].max_length
    parser.add_argument("--num_episode", type=cli.episode_count, default=100, help="episodes in total")
    parser.add_argument("--max_length", type=cli.positive_int, default=max_length, help="maximal frames per episode")
    parser.add_argument("--render", action="store_true", help="show the episodes in a window; closing it stops the run")
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
    env = make_env(ENV_NAME, "rgb_array" if args.render else None)
    window = open_window("--render", 600, 400) if args.render else nullcontext()
    with window as show, only_one(records.path(NAME, "lock"), f"running {NAME}"):
        scores = saved_scores(args)
        env_seeds = env_seed_range("report", args.seed, 0, args.num_episode)
        for index in range(len(scores), args.num_episode):
            result = play(env, env_seeds[index], args.max_length, show)
            scores.append(result.score)
            records.keep_scores(NAME, scores, args.seed, {"max_length": args.max_length})
            print_episode(index, result)
        records.draw_learning_curve(NAME, scores)
    print(f"{summary(scores)}; scores in {SCORES}, learning curve in {records.path(NAME, 'png')}")


if __name__ == "__main__":
    cli.run(main)
