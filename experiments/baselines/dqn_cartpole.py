"""Deep Q-Learning of CartPole-v1: 4 observations, 2 actions, at most 500 steps per episode.

    python experiments/baselines/dqn_cartpole.py             # with the source's hyperparameters
    python experiments/baselines/dqn_cartpole.py --stable    # until it is solved: mean 475 over 100 episodes
    python experiments/baselines/dqn_cartpole.py --stable --final_mode

The source's hyperparameters do not solve it; docs/deviations.md (B1 to B4) says why and lists what --stable changes.
The same command resumes the training, except that the replay memory starts empty and, with the source's
hyperparameters, epsilon at its minimum. A kill costs the episode in progress. Output files:
baselines/cartpole_weight.h5 (best evaluation), .state.h5 and .png; with --stable cartpole_stable*.
"""

import argparse
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import gymnasium as gym
import numpy as np

from experiments.baselines import records
from experiments.baselines.q_learning import Problem, Q, Recipe
from experiments.scores import Scores
from pipeline.scores import summary
from simulation.policies import FunctionPolicy
from simulation.real_world import EnvironmentWorld
from simulation.rollout import RolloutSettings, Slot, Task, rollout

ENV_ID, MAX_LENGTH, SOLVED = "CartPole-v1", 500, 475.0  # Gymnasium's time limit and reward threshold
OBSERVATION_SCALE = (2.4, 2.0, 0.2, 2.0)  # typical size of each observation; 2.4 m and 0.2 rad end an episode

SOURCE = Recipe(
    gamma=0.95, memory=2000, warm_up=32, train_every=0, double=False, epsilon_final=0.01, epsilon_decay=0.995
)
STABLE = Recipe(
    gamma=0.99, memory=50_000, warm_up=500, batch_size=64, target_update_freq=500, epsilon_final=0.02, epsilon_step=3e3
)


class CartPoles(EnvironmentWorld):
    """World with a CartPole-v1 in every row; its frames are observations, float32 (rows, 4)."""

    def make_env(self, render_mode: str | None = None) -> gym.Env:
        return gym.make(ENV_ID)


class CartPole(Problem):
    """CartPole-v1 with the source's training reward and end or, if `stable`, those of --stable.

    The source's reward is 1 a step, and the time limit is terminal. That of --stable is -1 for a fall and 0 otherwise:
    then Q = -gamma^T for a fall T steps ahead, which is close to the 0 that an untrained network outputs.
    """

    shape, dtype, stack, actions = (4,), np.float32, 1, np.arange(2)
    target_score = 495.0  # above SOLVED because other episodes may be harder than those of an evaluation
    max_length, max_steps_without_progress = MAX_LENGTH, 0

    def __init__(self, stable: bool) -> None:
        self.name, self.recipe = ("cartpole_stable", STABLE) if stable else ("cartpole", SOURCE)
        self.stable, self.world = stable, CartPoles(ENV_ID, rows=1)

    def observe(self) -> np.ndarray:
        return self.world.frames[0]

    def explore(self, rng: np.random.Generator) -> int:
        return int(rng.integers(2))

    def learn_from(self, slot: Slot) -> tuple[float, bool]:
        fell = self.world.terminated[0]
        return (-float(fell), fell) if self.stable else (slot.reward, slot.done)

    def make_network(self) -> Any:
        """Two hidden layers: float32 (n, 4) -> Q values, float32 (n, 2)."""
        from pipeline.networks import keras

        dense, scale = keras.layers.Dense, [1 / size for size in OBSERVATION_SCALE]
        scaled = [keras.layers.Rescaling(scale, name="scaled")] if self.stable else []
        hidden = [dense(24, activation="relu", name=f"hidden_{i}") for i in (1, 2)]
        return keras.Sequential([keras.Input(self.shape), *scaled, *hidden, dense(2, name="q")], name="cartpole")

    def evaluate(self, q: Q, env_seeds: list[int]) -> list[float]:
        """Scores of the greedy policy; one network call per step serves all episodes."""

        def act(world: CartPoles, slots: list[Slot]) -> np.ndarray:
            return q(np.stack(world.frames)).argmax(axis=1)

        tasks = [Task(env_seed, MAX_LENGTH) for env_seed in env_seeds]
        return [result.score for result in rollout(CartPoles(ENV_ID, len(tasks)), FunctionPolicy(act), tasks)]


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--stable", action="store_true", help="use the hyperparameters that solve CartPole")
    records.add_arguments(parser, 0, "episodes", episodes=1000, eval_steps=20, eval_episode=100)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from experiments.baselines.q_training import QTraining, load_best  # with TensorFlow

    problem = CartPole(args.stable)
    if not args.final_mode:
        return QTraining(problem, args).train(args.episodes, args.new_model)
    learner, metadata = load_best(problem, "experiments/baselines/dqn_cartpole.py")
    settings = RolloutSettings(env=ENV_ID, seed=args.seed, num_episode=args.num_episode, max_length=MAX_LENGTH)
    scores = problem.evaluate(learner.q, [task.env_seed for task in settings.tasks()])
    verdict = "solved" if np.mean(scores) >= SOLVED else f"not solved, which takes {SOLVED:.0f}"
    print(f"{summary(scores, 'episodes')}: {verdict}")
    Scores(settings=settings, scores=scores, metadata=metadata).write(records.path(problem.name, "scores.json"))


if __name__ == "__main__":
    cli.run(main)
