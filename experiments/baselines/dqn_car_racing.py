"""Deep Q-Learning of CarRacing: from four gray frames to one of five actions.

    python experiments/baselines/dqn_car_racing.py                 # train
    python experiments/baselines/dqn_car_racing.py --final_mode    # score the best weights on 100 unseen tracks

An action (left, right, gas, brake, nothing) is held for four frames; the state is the last four frames acted on. The
replay memory takes 0.8 GB. Rows B5 to B9 of docs/deviations.md compare this with its source. The same command resumes
the training with an empty replay memory. A kill costs the episode in progress. Output files:
baselines/dqn_car_racing_weight.h5 (best evaluation), .state.h5 and .png (learning curve).
"""

import argparse

try:
    from pipeline import cli
except ModuleNotFoundError as error:
    raise SystemExit(f"{error}: run `make setup` and start this with .venv/bin/python") from None

import cv2
import numpy as np

import config
from experiments.baselines import records
from experiments.baselines.q_learning import Problem, Q, Recipe
from simulation.environments import make_env
from simulation.rollout import ROWS, Active, RolloutBatch, Slot, Task, score_unseen_tracks

NAME, ENV_NAME = "dqn_car_racing", "car_racing"
FRAME_SKIP = 4  # frames for which an action is held
MAX_STEPS_WITHOUT_PROGRESS = 100  # frames without a positive reward
REWARD_SCALE, MIN_REWARD = 0.1, -1.0  # of the training reward
MAX_LENGTH = config.ENVIRONMENTS[ENV_NAME].max_length
NO_PROGRESS_REWARD = config.ENVIRONMENTS[ENV_NAME].no_progress_reward

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


class CarRacing(Problem):
    """CarRacing with one action for FRAME_SKIP frames."""

    shape, dtype, stack = config.FRAME_SHAPE[:2], np.uint8, 4
    name, target_score = NAME, np.inf

    def __init__(self, max_length: int = MAX_LENGTH) -> None:
        self.env, self.max_length, self.recipe = make_env(ENV_NAME), max_length, RECIPE
        self.settings = {"max_length": max_length}

    def reset(self, env_seed: int) -> np.ndarray:
        self.score, self.frames, self.frames_without_progress = 0.0, 0, 0
        return gray(self.env.reset(seed=env_seed)[0])

    def explore(self, rng: np.random.Generator) -> int:
        return int(rng.choice(len(ACTIONS), p=EXPLORATION))

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool]:
        reward_sum, done = 0.0, False
        for _ in range(FRAME_SKIP):
            frame, reward, terminal, truncated, _ = self.env.step(ACTIONS[action])
            reward_sum += float(reward)
            self.frames += 1
            self.frames_without_progress = 0 if reward > 0 else self.frames_without_progress + 1
            done = terminal or truncated or self.frames >= self.max_length
            if done:
                break
        self.score += reward_sum
        training_reward = max(MIN_REWARD, REWARD_SCALE * reward_sum)
        if not done and self.frames_without_progress >= MAX_STEPS_WITHOUT_PROGRESS:
            self.score += (self.max_length - self.frames) * NO_PROGRESS_REWARD
            # The discounted rewards of a car that stands still for ever.
            training_reward += REWARD_SCALE * FRAME_SKIP * NO_PROGRESS_REWARD * RECIPE.gamma / (1 - RECIPE.gamma)
            terminal = done = True
        return gray(frame), training_reward, terminal, done

    def make_network(self) -> object:
        """Two convolutions and a dense layer: uint8 (n, 64, 64, 4) -> Q values, float32 (n, 5)."""
        from pipeline.networks import keras

        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input((*self.shape, self.stack), dtype="uint8"),
                layers.Rescaling(1 / 255, name="scaled"),
                layers.Conv2D(16, 8, strides=4, activation="relu", name="conv_1"),
                layers.Conv2D(32, 4, strides=2, activation="relu", name="conv_2"),
                layers.Flatten(name="flat"),
                layers.Dense(256, activation="relu", name="hidden"),
                layers.Dense(len(ACTIONS), name="q"),
            ],
            name=NAME,
        )

    def evaluate(self, q: Q, env_seeds: list[int]) -> list[float]:
        """Scores of the greedy policy; episodes without progress are truncated early and charged."""
        tasks = [Task(None, env_seed, self.max_length) for env_seed in env_seeds]
        return [result.score for result in GreedyRollouts(q, MAX_STEPS_WITHOUT_PROGRESS).run(tasks)]


class GreedyRollouts(RolloutBatch):
    """Rollouts of the greedy policy; one network call serves all slots that need an action."""

    def __init__(self, q: Q, max_steps_without_progress: int | None = None) -> None:
        super().__init__(ENV_NAME, max_steps_without_progress)
        self.q, self.states = q, np.zeros((ROWS, *CarRacing.shape, CarRacing.stack), np.uint8)

    def begin(self, row: int, slot: Slot) -> None:
        self.states[row] = gray(self.frames[row])[..., None]

    def act(self, active: Active) -> None:
        due = [(row, slot) for row, slot in active if slot.steps % FRAME_SKIP == 0]
        for row, slot in due:
            if slot.steps:
                self.states[row, ..., :-1] = self.states[row, ..., 1:]
                self.states[row, ..., -1] = gray(self.frames[row])
        if due:
            best = self.q(self.states).argmax(axis=1)
            for row, slot in due:
                slot.action = ACTIONS[best[row]]


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--max_length", type=cli.positive_int, default=MAX_LENGTH, help="maximal frames per episode")
    records.add_arguments(parser, "episodes", total=3000, eval_steps=50, eval_episode=8)
    return parser.parse_args()


@cli.enough_memory("close other programs: the replay memory takes 0.8 GB")
def main() -> None:
    args = parse_args()
    from experiments.baselines.q_training import QTraining, load_best  # with TensorFlow

    problem = CarRacing(args.max_length)
    if not args.final_mode:
        return QTraining(problem, args).train(args.episodes, args.new_model)
    learner, metadata = load_best(problem, "experiments/baselines/dqn_car_racing.py")
    scores = score_unseen_tracks(GreedyRollouts(learner.q), None, args.seed, args.num_episode, args.max_length)
    frames, parameters = metadata["steps"] * FRAME_SKIP, learner.network.count_params()
    records.keep_scores(NAME, scores, args.seed, metadata, parameters, frames, metadata["seconds"])


if __name__ == "__main__":
    cli.run(main)
