"""Deep Q-Learning of CartPole: a pole on a cart, four numbers to see, two actions, 500 steps at most.

    python experiments/baselines/dqn_cartpole.py             # as the source has it
    python experiments/baselines/dqn_cartpole.py --stable    # until it is solved: a mean of 475 over 100 episodes
    python experiments/baselines/dqn_cartpole.py --stable --final_mode

The network is 24-24 relu with a linear output, one Q value an action: what an action will bring, all told. Plainly
started, it learns as the source does: replay memory 2,000, gamma 0.95, Adam 0.001 on the mean squared error, one
minibatch of 32 after each episode, and exploration 1.0 shrinking by 0.995 a minibatch down to 0.01. Minibatches are the
source's but for their cost: one network call each, where the source makes two a sample.

That falls short of solving it: targets move with the network that they teach, and the memory forgets what falling was
like. --stable mends this: a target network refreshed every 500 steps, a memory of 50,000, a minibatch of 64 every
second step, double-Q, gamma 0.99; what the network sees is scaled to about one; the end of time (500 steps) is not
taken for a fall; and a fall is worth -1, all else nothing. (With a reward of 1 a step, a fall T steps ahead makes Q =
(1 - gamma^T) / (1 - gamma); now Q = -gamma^T. One is the other moved and scaled, but to a new network, whose Q is near
0, everything is a fall in the first case and nothing is in the second.)

The same command again goes on from weights, optimizer and the number of steps; in the manner of the source with
exploration at its minimum. The replay memory is not kept: it fills anew before learning goes on. Leaves
baselines/cartpole_weight.h5 (the best evaluation's), cartpole.state.h5 and cartpole.png; with --stable,
cartpole_stable*. A kill costs at most the episode in progress.
"""

import argparse
from typing import TYPE_CHECKING

import gymnasium as gym
import numpy as np

from experiments.baselines import records
from experiments.baselines.q_training import add_arguments, train
from experiments.baselines.recipe import Problem, Q, Recipe
from pipeline import cli
from pipeline.scores import summary
from pipeline.seeds import env_seed_range

if TYPE_CHECKING:
    from pipeline.networks import keras

ENV_ID, STATE, ACTIONS = "CartPole-v1", 4, 2
REACH = (2.4, 2.0, 0.2, 2.0)  # of the four numbers before it falls: the first and third are the rules', in m and rad
SOLVED = 475.0  # Gymnasium's own reward threshold
ENOUGH = 495.0  # on the tracks of an evaluation; other tracks may be harder

SOURCE = Recipe(
    gamma=0.95,
    learning_rate=0.001,
    loss="mse",
    memory=2000,
    warm_up=32,
    batch_size=32,
    train_every=0,
    target_update_freq=0,
    double=False,
    epsilon_start=1.0,
    epsilon_final=0.01,
    epsilon_decay=0.995,
)
STABLE = Recipe(
    gamma=0.99,
    learning_rate=0.001,
    loss="mse",
    memory=50_000,
    warm_up=500,
    batch_size=64,
    train_every=2,
    target_update_freq=500,
    double=True,
    epsilon_start=1.0,
    epsilon_final=0.02,
    epsilon_step=3000.0,
)


class CartPole:
    """CartPole-v1 as a world to learn in."""

    shape, dtype, stack = (STATE,), np.float32, 1

    def __init__(self, stable: bool) -> None:
        """`stable`: a fall is -1, and the end of time none; else a step is 1, and the end of time a fall."""
        self.env, self.stable, self.score = gym.make(ENV_ID), stable, 0.0

    def reset(self, env_seed: int) -> np.ndarray:
        self.score = 0.0
        return self.env.reset(seed=env_seed)[0]

    def explore(self, rng: np.random.Generator) -> int:
        return int(rng.integers(ACTIONS))

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool]:
        observation, reward, fell, timeout, _ = self.env.step(action)
        self.score += float(reward)
        if self.stable:
            return observation, -float(fell), fell, fell or timeout
        return observation, float(reward), fell or timeout, fell or timeout


def make_network(stable: bool) -> "keras.Model":
    """Position, speed, angle and angular speed, float32 (n, 4), to a value for each action, float32 (n, 2)."""
    from pipeline.networks import keras

    dense, scale = keras.layers.Dense, [1 / reach for reach in REACH]
    scaled = [keras.layers.Rescaling(scale, name="scaled")] if stable else []
    hidden = [dense(24, activation="relu", name=f"hidden_{i}") for i in (1, 2)]
    return keras.Sequential([keras.Input((STATE,)), *scaled, *hidden, dense(ACTIONS, name="q")], name="cartpole")


def evaluate(q: Q, tracks: list[int]) -> list[float]:
    """Scores of the best actions by `q` on tracks, side by side: one network call a step serves them all."""
    envs = [gym.make(ENV_ID) for _ in tracks]
    states = np.array([env.reset(seed=env_seed)[0] for env, env_seed in zip(envs, tracks, strict=True)])
    scores, going = np.zeros(len(tracks)), set(range(len(tracks)))
    while going:
        actions = q(states).argmax(axis=1)
        for i in sorted(going):
            states[i], reward, terminated, truncated, _ = envs[i].step(int(actions[i]))
            scores[i] += float(reward)
            if terminated or truncated:
                going.remove(i)
    return scores.tolist()


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--stable", action="store_true", help="the settings that solve it, in place of the source's")
    add_arguments(parser, episodes=1000, eval_steps=20, eval_episode=100)
    return parser.parse_args()


def make_problem(stable: bool) -> Problem:
    """CartPole, as the source or as --stable learns it."""
    name = "cartpole_stable" if stable else "cartpole"
    return Problem(name, lambda: CartPole(stable), lambda: make_network(stable), evaluate, ENOUGH)


def main() -> None:
    args = parse_args()
    problem, recipe = make_problem(args.stable), STABLE if args.stable else SOURCE
    if not args.final_mode:
        return train(problem, recipe, args)
    from experiments.baselines.q_state import load_best

    learner, metadata = load_best(problem, recipe, "experiments/baselines/dqn_cartpole.py")
    scores = evaluate(learner.q, env_seed_range("report", args.seed, 0, args.num_episode))
    verdict = "solved" if np.mean(scores) >= SOLVED else f"not solved, which takes {SOLVED:.0f}"
    print(f"{summary(scores, 'episodes')}: {verdict}")
    records.keep_scores(problem.name, scores, args.seed, metadata)


if __name__ == "__main__":
    cli.run(main)
