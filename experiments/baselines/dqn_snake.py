"""Deep Q-Learning of Snake from pixels: from one frame to one of four directions.

    python experiments/baselines/dqn_snake.py                 # train
    python experiments/baselines/dqn_snake.py --final_mode    # score the best weights on 100 unseen seeds

The network is that of dqn_car_racing.py on one frame in color, which shows all there is to see. The replay memory takes
0.4 GB. The same command resumes the training with an empty replay memory. A kill costs the episode in progress. Output
files: baselines/dqn_snake_weight.h5 (best evaluation), .state.h5 and .png (learning curve).
"""

import argparse
from functools import partial
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from experiments.baselines import records
from experiments.baselines.q_learning import Problem, Q, Recipe
from experiments.scores import Scores
from simulation.policies import FunctionPolicy
from simulation.real_world import EnvironmentWorld
from simulation.rollout import RolloutSettings, Slot, Task, rollout, score_unseen_tracks

NAME, ENV_NAME = "dqn_snake", "snake"
MAX_LENGTH = config.ENVIRONMENTS[ENV_NAME].max_length
ACTIONS = np.eye(4, dtype=np.float32)

RECIPE = Recipe(
    gamma=0.95,
    learning_rate=0.00025,
    loss="smooth_l1",
    memory=30_000,
    warm_up=1000,
    target_update_freq=1000,
    epsilon_final=0.02,
    epsilon_step=5_000.0,
)


class Snake(Problem):
    """Snake, in which every step is an action."""

    shape, dtype, stack = config.FRAME_SHAPE, np.uint8, 1
    name, recipe, target_score, actions = NAME, RECIPE, np.inf, ACTIONS
    max_length, max_steps_without_progress = MAX_LENGTH, 0

    def __init__(self) -> None:
        self.world = EnvironmentWorld(ENV_NAME, rows=1)

    def observe(self) -> np.ndarray:
        return self.world.frames[0]

    def explore(self, rng: np.random.Generator) -> int:
        return int(rng.integers(len(ACTIONS)))

    def learn_from(self, slot: Slot) -> tuple[float, bool]:
        return slot.reward, slot.done

    def make_network(self) -> Any:
        """Two convolutions and a dense layer: uint8 (n, 64, 64, 3) -> Q values, float32 (n, 4)."""
        from pipeline.networks import keras

        conv, dense = partial(keras.layers.Conv2D, activation="relu"), keras.layers.Dense
        layers = [keras.Input(self.shape, dtype="uint8"), keras.layers.Rescaling(1 / 255, name="scaled")]
        layers += [conv(16, 8, strides=4, name="conv_1"), conv(32, 4, strides=2, name="conv_2")]
        layers += [keras.layers.Flatten(name="flat"), dense(256, activation="relu", name="hidden")]
        return keras.Sequential([*layers, dense(len(ACTIONS), name="q")], name=NAME)

    def evaluate(self, q: Q, env_seeds: list[int]) -> list[float]:
        """Scores of the greedy policy."""
        tasks = [Task(env_seed, MAX_LENGTH) for env_seed in env_seeds]
        return [result.score for result in rollout(EnvironmentWorld(ENV_NAME), greedy(q), tasks)]


def greedy(q: Q) -> FunctionPolicy[EnvironmentWorld]:
    """The policy that takes the action with the highest Q value; one network call serves all episodes."""
    return FunctionPolicy(lambda world, slots: ACTIONS[q(np.stack(world.frames)).argmax(axis=1)])


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    records.add_arguments(parser, 0, "episodes", episodes=2000, eval_steps=100, eval_episode=32)
    return parser.parse_args()


@cli.enough_memory("close other programs: the replay memory takes 0.4 GB")
def main() -> None:
    args = parse_args()
    from experiments.baselines.q_training import QTraining, load_best  # with TensorFlow

    problem = Snake()
    if not args.final_mode:
        return QTraining(problem, args).train(args.episodes, args.new_model)
    learner, metadata = load_best(problem, "experiments/baselines/dqn_snake.py")
    settings = RolloutSettings(env=ENV_NAME, seed=args.seed, num_episode=args.num_episode, max_length=MAX_LENGTH)
    scores = score_unseen_tracks(EnvironmentWorld(ENV_NAME), greedy(learner.q), settings)
    cost = {"parameters": learner.network.count_params(), "agent_steps": metadata["steps"]}
    kept = Scores(settings=settings, scores=scores, metadata=metadata, **cost, seconds=metadata["seconds"])
    kept.write(records.path(NAME, "scores.json"))


if __name__ == "__main__":
    cli.run(main)
