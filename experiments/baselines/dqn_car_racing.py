"""Deep Q-Learning of CarRacing: from four gray frames to one of five actions.

    python experiments/baselines/dqn_car_racing.py                 # train
    python experiments/baselines/dqn_car_racing.py --final_mode    # score the best weights on 100 unseen tracks

An action (left, right, gas, brake, nothing) is held for four frames; the state is the last four frames acted on. The
replay memory takes 0.8 GB. Rows B5 to B9 of docs/deviations.md compare this with its source. The same command resumes
the training with an empty replay memory. A kill costs the episode in progress. Output files:
baselines/dqn_car_racing_weight.h5 (best evaluation), .state.h5 and .png (learning curve).
"""

import argparse
from dataclasses import replace
from functools import partial
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import cv2
import numpy as np

import config
from experiments.baselines import records
from experiments.baselines.q_learning import Problem, Q, Recipe
from experiments.scores import Scores
from pipeline.sizes import CAR
from simulation.real_world import ROWS, EnvironmentWorld
from simulation.rollout import Policy, RolloutSettings, Slot, Task, rollout, score_unseen_tracks

NAME, ENV_NAME = "dqn_car_racing", "car_racing"
FRAME_SKIP = 4  # frames for which an action is held
MAX_STEPS_WITHOUT_PROGRESS = 100  # frames without a positive reward
REWARD_SCALE, MIN_REWARD = 0.1, -1.0  # of the training reward
MAX_LENGTH = config.ENVIRONMENTS[ENV_NAME].max_length
NO_PROGRESS_REWARD = config.ENVIRONMENTS[ENV_NAME].no_progress_reward or 0.0

# Left, right, gas, brake, nothing; their probabilities in exploration (a standing car gives little training signal).
ACTIONS = np.array([(-0.6, 0, 0), (0.6, 0, 0), (0, 0.5, 0), (0, 0, 0.6), (0, 0, 0)], np.float32)
EXPLORATION = (0.2, 0.2, 0.4, 0.05, 0.15)

RECIPE = Recipe(
    gamma=0.97,
    learning_rate=0.00025,
    loss="smooth_l1",
    memory=200_000,
    warm_up=2000,
    target_update_freq=2000,
    epsilon_final=0.05,
    epsilon_step=20_000.0,
)


def gray(frame: np.ndarray) -> np.ndarray:
    """A frame, uint8 (64, 64, 3), in gray, uint8 (64, 64): road, grass and curbs still differ."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


class HeldActions(EnvironmentWorld):
    """World of one car in which a step is FRAME_SKIP frames, up to max_frames an episode."""

    def __init__(self, max_frames: int) -> None:
        super().__init__(ENV_NAME, rows=1)
        self.no_progress_reward, self.max_frames = FRAME_SKIP * NO_PROGRESS_REWARD, max_frames

    def reset(self, row: int, seed: int) -> None:
        super().reset(row, seed)
        self.frames_left = self.max_frames

    def step(self, actions: np.ndarray, rows: list[int]) -> tuple[list[float], list[bool]]:
        reward_sum = 0.0
        for _ in range(min(FRAME_SKIP, self.frames_left)):
            [reward], done = super().step(actions, rows)
            reward_sum += reward
            self.frames_left -= 1
            if done[0]:
                break
        return [reward_sum], done


class CarRacing(Problem):
    """CarRacing with one action for FRAME_SKIP frames."""

    shape, dtype, stack = config.FRAME_SHAPE[:2], np.uint8, 4
    name, target_score, actions = NAME, np.inf, ACTIONS
    max_steps_without_progress = MAX_STEPS_WITHOUT_PROGRESS // FRAME_SKIP

    def __init__(self, max_length: int = MAX_LENGTH) -> None:
        self.world, self.recipe = HeldActions(max_length), replace(RECIPE, max_length=max_length)
        self.max_length = -(-max_length // FRAME_SKIP)  # rounded up: the last action may be held for fewer frames

    def observe(self) -> np.ndarray:
        return gray(self.world.frames[0])

    def explore(self, rng: np.random.Generator) -> int:
        return int(rng.choice(len(ACTIONS), p=EXPLORATION))

    def learn_from(self, slot: Slot) -> tuple[float, bool]:
        reward = max(MIN_REWARD, REWARD_SCALE * slot.reward)
        no_progress = slot.steps_without_progress >= self.max_steps_without_progress
        if no_progress and not slot.done and slot.steps < self.max_length:
            # The discounted rewards of a car that stands still for ever.
            return reward + REWARD_SCALE * FRAME_SKIP * NO_PROGRESS_REWARD * RECIPE.gamma / (1 - RECIPE.gamma), True
        return reward, slot.done

    def make_network(self) -> Any:
        """Two convolutions and a dense layer: uint8 (n, 64, 64, 4) -> Q values, float32 (n, 5)."""
        from pipeline.networks import keras

        conv, dense = partial(keras.layers.Conv2D, activation="relu"), keras.layers.Dense
        layers = [keras.Input((*self.shape, self.stack), dtype="uint8"), keras.layers.Rescaling(1 / 255, name="scaled")]
        layers += [conv(16, 8, strides=4, name="conv_1"), conv(32, 4, strides=2, name="conv_2")]
        layers += [keras.layers.Flatten(name="flat"), dense(256, activation="relu", name="hidden")]
        return keras.Sequential([*layers, dense(len(ACTIONS), name="q")], name=NAME)

    def evaluate(self, q: Q, env_seeds: list[int]) -> list[float]:
        """Scores of the greedy policy; episodes without progress are truncated early and charged."""
        tasks = [Task(env_seed, self.recipe.max_length) for env_seed in env_seeds]
        results = rollout(EnvironmentWorld(ENV_NAME), Greedy(q), tasks, MAX_STEPS_WITHOUT_PROGRESS)
        return [result.score for result in results]


class Greedy(Policy[EnvironmentWorld]):
    """The policy that takes the action with the highest Q value; one network call serves all slots that need one."""

    def __init__(self, q: Q) -> None:
        self.q, self.states = q, np.zeros((ROWS, *CarRacing.shape, CarRacing.stack), np.uint8)
        self.actions = np.zeros((ROWS, CAR.actions), np.float32)

    def act(self, world: EnvironmentWorld, slots: list[Slot]) -> np.ndarray:
        due = [slot for slot in slots if slot.steps % FRAME_SKIP == 0]
        for slot in due:
            state, frame = self.states[slot.row], gray(world.frames[slot.row])
            state[..., :-1] = state[..., 1:] if slot.steps else frame[..., None]
            state[..., -1] = frame
        if due:
            rows = [slot.row for slot in due]
            self.actions[rows] = ACTIONS[self.q(self.states).argmax(axis=1)[rows]]
        return self.actions


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    records.add_arguments(parser, MAX_LENGTH, "episodes", episodes=3000, eval_steps=50, eval_episode=8)
    return parser.parse_args()


@cli.enough_memory("close other programs: the replay memory takes 0.8 GB")
def main() -> None:
    args = parse_args()
    from experiments.baselines.q_training import QTraining, load_best  # with TensorFlow

    problem = CarRacing(args.max_length)
    if not args.final_mode:
        return QTraining(problem, args).train(args.episodes, args.new_model)
    learner, metadata = load_best(problem, "experiments/baselines/dqn_car_racing.py")
    settings = RolloutSettings(env=ENV_NAME, seed=args.seed, num_episode=args.num_episode, max_length=args.max_length)
    scores = score_unseen_tracks(EnvironmentWorld(ENV_NAME), Greedy(learner.q), settings)
    cost = {"parameters": learner.network.count_params(), "agent_steps": metadata["steps"] * FRAME_SKIP}
    kept = Scores(settings=settings, scores=scores, metadata=metadata, **cost, seconds=metadata["seconds"])
    kept.write(records.path(NAME, "scores.json"))


if __name__ == "__main__":
    cli.run(main)
