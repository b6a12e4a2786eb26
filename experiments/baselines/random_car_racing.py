"""A random agent on CarRacing: the plain loop that every other agent begins from, and the score that it must beat.

    python experiments/baselines/random_car_racing.py
    python experiments/baselines/random_car_racing.py --num_episode 1 --render

At every frame wheel, gas and brake are drawn anew, each from all it can be. (The random driver of stage 01, whose row
report.py prints, is another one: it pushes off, and presses one thing at a time for a while, to see more of the road.)

It learns nothing, so there are no weights: what is kept is the score of every episode. The same command again goes on
after the last one, --new_model plays all anew. Leaves baselines/random_car_racing.scores.json and .png, the mean of
the last 100 episodes over the episodes. A kill costs at most the episode in progress.
"""

import argparse
from contextlib import nullcontext

import gymnasium as gym
import numpy as np

import config
from display.video import Show
from display.window import open_window
from experiments.baselines import records
from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import check_folder, check_same, only_one, read_json
from pipeline.scores import summary
from pipeline.seeds import env_seed_range, exploration_rng
from simulation.environments import make_env
from simulation.rollout import Result, print_episode

NAME, ENV_NAME = "random_car_racing", "car_racing"
MAX_LENGTH = config.ENVIRONMENTS[ENV_NAME].max_length


def play(env: gym.Env, env_seed: int, max_length: int, show: Show | None) -> Result:
    """One episode, one frame after the other; the actions follow from the track."""
    rng = exploration_rng(env_seed)
    env.reset(seed=env_seed)
    score, steps, done = 0.0, 0, False
    while not done and steps < max_length:
        if show:
            show(env.render())
        action = rng.uniform(config.ACTION_LOW, config.ACTION_HIGH).astype(np.float32)
        _, reward, terminated, truncated, _ = env.step(action)
        score += float(reward)
        steps += 1
        done = terminated or truncated
    return Result(score, steps)


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--num_episode", type=cli.episode_count, default=100, help="episodes, all told, each on its own track"
    )
    parser.add_argument("--max_length", type=cli.positive_int, default=MAX_LENGTH, help="frames an episode")
    parser.add_argument("--render", action="store_true", help="watch in a window; closing it ends the program")
    records.add_arguments(parser)
    return parser.parse_args()


def scores_so_far(args: argparse.Namespace) -> list[float]:
    """The scores that are there; none with --new_model.

    Raises:
        UserError: they are of another seed or length, or the file is damaged.
    """
    path = records.path(NAME, "scores.json")
    if args.new_model or not path.exists():
        return []
    kept = read_json(path)
    try:
        scores = [float(score) for score in kept["scores"]]
        made = {"seed": kept["seed"], "max_length": kept["about"]["max_length"]}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} does not hold scores: add --new_model to start over") from None
    asked = {"seed": args.seed, "max_length": args.max_length}
    check_same(str(path), made, asked, "give the settings of before, or --new_model to start over")
    print(f"going on with {path} after {len(scores)} episodes")
    return scores


def main() -> None:
    args = parse_args()
    check_folder(config.BASELINES_DIR)
    env = make_env(ENV_NAME, "rgb_array" if args.render else None)
    opened = open_window("--render", 600, 400) if args.render else nullcontext()
    with opened as show, only_one(records.path(NAME, "lock"), f"playing {NAME}"):
        scores = scores_so_far(args)
        for index, env_seed in enumerate(env_seed_range("report", args.seed, 0, args.num_episode)):
            if index < len(scores):
                continue
            result = play(env, env_seed, args.max_length, show)
            scores.append(result.score)
            records.keep_scores(NAME, scores, args.seed, {"max_length": args.max_length})
            print_episode(index, result)
        records.draw_learning_curve(NAME, scores)
    print(f"{summary(scores)}; scores in {records.path(NAME, 'scores.json')}, drawn in {records.path(NAME, 'png')}")


if __name__ == "__main__":
    cli.run(main)
