"""Deep Q-Learning of CarRacing: from four grey frames to one of five things to do with wheel and pedals.

    python experiments/baselines/dqn_car_racing.py                 # learn, or go on learning
    python experiments/baselines/dqn_car_racing.py --final_mode    # the mean over 100 unseen tracks

An action (left, right, gas, brake, nothing) is held for four frames; a step here is those four. What the agent sees are
the last four frames that it acted on, grey, 64 x 64. A convolutional network gives each action a value Q: the rewards
to come, a reward one step later being worth gamma. It acts by the best value or, for a share epsilon of its steps, at
random:

    epsilon = epsilon_final + (epsilon_start - epsilon_final) * exp(-step / epsilon_step)

Every second step it learns from 32 transitions of a replay memory of 200,000 (0.8 GB): Q(state, action) is pulled,
by the smooth L1 loss, towards reward + gamma * Q(next state, best action), without the second term where the episode
ended. That best action is the learning network's choice and is valued by a target network, a copy refreshed every 2,000
steps (double-Q learning). Rewards are learned from at a tenth of their size, and no step costs more than one.

An episode without gain for 100 frames is given up, which is taken for an end, charged with what idling on would have
cost. Every 50 episodes the network drives 8 unseen tracks without exploring, and the best one is kept.

The same command again goes on from weights, optimizer, target network and the number of steps. The replay memory is not
kept: after a stop, 2,000 steps of driving fill it anew before learning goes on, and older ones are lost. Leaves
baselines/dqn_car_racing_weight.h5 (the best evaluation's), .state.h5 and .png. A kill costs the episode in progress.
"""

import argparse
from typing import TYPE_CHECKING

import cv2
import numpy as np

import config
from experiments.baselines import records
from experiments.baselines.q_training import add_arguments, train
from experiments.baselines.recipe import Problem, Q, Recipe
from pipeline import cli
from simulation.environments import make_env
from simulation.rollout import ROWS, Active, RolloutBatch, Slot, Task, score_unseen_tracks

if TYPE_CHECKING:
    from pipeline.networks import keras

NAME, ENV_NAME = "dqn_car_racing", "car_racing"
HOLD = 4  # frames an action is held
STACK = 4  # frames a state
MAX_STEPS_WITHOUT_PROGRESS = 100  # frames without gain
REWARD_SCALE, LOWEST_REWARD = 0.1, -1.0
MAX_LENGTH = config.ENVIRONMENTS[ENV_NAME].max_length
NO_PROGRESS_REWARD = config.ENVIRONMENTS[ENV_NAME].no_progress_reward

# Left, right, gas, brake, nothing: what each does, and how often exploring does it. A car that stands teaches little.
ACTIONS = np.array([(-0.6, 0, 0), (0.6, 0, 0), (0, 0.5, 0), (0, 0, 0.6), (0, 0, 0)], np.float32)
EXPLORE = (0.2, 0.2, 0.4, 0.05, 0.15)

RECIPE = Recipe(
    gamma=0.97,
    learning_rate=0.00025,
    loss="smooth_l1",
    memory=200_000,
    warm_up=2000,
    batch_size=32,
    train_every=2,
    target_update_freq=2000,
    double=True,
    epsilon_start=1.0,
    epsilon_final=0.05,
    epsilon_step=20_000.0,
)


def grey(frame: np.ndarray) -> np.ndarray:
    """A frame, uint8 (64, 64, 3), without its colours, uint8 (64, 64): road, grass and kerbs still differ."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


class Road:
    """CarRacing as a world to learn in: an action for every HOLD frames, and an end to what leads nowhere."""

    shape, dtype, stack = config.FRAME_SHAPE[:2], np.uint8, STACK

    def __init__(self, max_length: int = MAX_LENGTH) -> None:
        self.env, self.max_length = make_env(ENV_NAME), max_length
        self.score, self.frames, self.steps_without_progress = 0.0, 0, 0

    def reset(self, env_seed: int) -> np.ndarray:
        self.score, self.frames, self.steps_without_progress = 0.0, 0, 0
        return grey(self.env.reset(seed=env_seed)[0])

    def explore(self, rng: np.random.Generator) -> int:
        return int(rng.choice(len(ACTIONS), p=EXPLORE))

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool]:
        gained, terminal, over = 0.0, False, False
        for _ in range(HOLD):
            frame, reward, terminal, truncated, _ = self.env.step(ACTIONS[action])
            gained += float(reward)
            self.frames += 1
            self.steps_without_progress = 0 if reward > 0 else self.steps_without_progress + 1
            over = truncated or self.frames >= self.max_length
            if terminal or over:
                break
        self.score += gained
        learned = max(LOWEST_REWARD, REWARD_SCALE * gained)
        given_up = self.steps_without_progress >= MAX_STEPS_WITHOUT_PROGRESS and not (terminal or over)
        if given_up:
            self.score += (self.max_length - self.frames) * NO_PROGRESS_REWARD
            learned += REWARD_SCALE * HOLD * NO_PROGRESS_REWARD * RECIPE.gamma / (1 - RECIPE.gamma)  # idling for ever
        return grey(frame), learned, terminal or given_up, terminal or over or given_up


def make_network() -> "keras.Model":
    """Four grey frames, uint8 (n, 64, 64, 4), to a value for each action, float32 (n, 5)."""
    from pipeline.networks import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((*Road.shape, STACK), dtype="uint8"),
            layers.Rescaling(1 / 255, name="scaled"),
            layers.Conv2D(16, 8, strides=4, activation="relu", name="conv_1"),
            layers.Conv2D(32, 4, strides=2, activation="relu", name="conv_2"),
            layers.Flatten(name="flat"),
            layers.Dense(256, activation="relu", name="hidden"),
            layers.Dense(len(ACTIONS), name="q"),
        ],
        name=NAME,
    )


class Greedy(RolloutBatch):
    """Drives by the best actions of a Q network; lanes that are due for one share a call."""

    def __init__(self, q: Q, max_steps_without_progress: int | None = None) -> None:
        super().__init__(ENV_NAME, max_steps_without_progress)
        self.q, self.states = q, np.zeros((ROWS, *Road.shape, STACK), np.uint8)

    def begin(self, row: int, slot: Slot) -> None:
        self.states[row] = grey(self.frames[row])[..., None]

    def act(self, active: Active) -> None:
        due = [(row, slot) for row, slot in active if slot.steps % HOLD == 0]
        for row, slot in due:
            if slot.steps:
                self.states[row, ..., :-1] = self.states[row, ..., 1:]
                self.states[row, ..., -1] = grey(self.frames[row])
        if due:
            best = self.q(self.states).argmax(axis=1)
            for row, slot in due:
                slot.action = ACTIONS[best[row]]


def evaluate(q: Q, tracks: list[int], max_length: int = MAX_LENGTH) -> list[float]:
    """Scores of the best actions by `q` on tracks; hopeless episodes are given up, and charged for it."""
    results = Greedy(q, MAX_STEPS_WITHOUT_PROGRESS).run([Task(None, env_seed, max_length) for env_seed in tracks])
    return [result.score for result in results]


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--max_length", type=cli.positive_int, default=MAX_LENGTH, help="frames an episode")
    add_arguments(parser, episodes=3000, eval_steps=50, eval_episode=8)
    return parser.parse_args()


@cli.enough_memory("close other programs: the replay memory takes 0.8 GB")
def main() -> None:
    args = parse_args()
    problem = Problem(
        NAME,
        lambda: Road(args.max_length),
        make_network,
        lambda q, tracks: evaluate(q, tracks, args.max_length),
        enough=np.inf,
        settings={"max_length": args.max_length},
    )
    if not args.final_mode:
        return train(problem, RECIPE, args)
    from experiments.baselines.q_state import load_best

    learner, metadata = load_best(problem, RECIPE, "experiments/baselines/dqn_car_racing.py")
    scores = score_unseen_tracks(Greedy(learner.q), None, args.seed, args.num_episode, args.max_length)
    parameters = learner.network.count_params()
    records.keep_scores(NAME, scores, args.seed, metadata, parameters, metadata["steps"] * HOLD, metadata["seconds"])


if __name__ == "__main__":
    cli.run(main)
