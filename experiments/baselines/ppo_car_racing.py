"""PPO of Stable-Baselines3 on CarRacing, in this project's environment: what a reader would pick instead.

    python experiments/baselines/ppo_car_racing.py --minutes 12    # train for as long as make demo takes
    python experiments/baselines/ppo_car_racing.py --final_mode    # score the best agent on 100 unseen tracks

Needs PyTorch's CPU build, then `pip install -e '.[compare]'`. Hyperparameters are those published for CarRacing in
rl-baselines3-zoo (hyperparams/ppo.yml). An iteration is 512 steps of two frames in each of eight environments, then ten
epochs of gradient steps; its row is its number, wall time (s), frames since the start, and the mean score of the last
100 episodes. A resumed training begins new episodes. A kill costs the iteration in progress. Output files:
baselines/ppo_car_racing.state.h5 and .png.
"""

import argparse
from dataclasses import asdict, dataclass
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import GrayscaleObservation

import config
from experiments.baselines import records
from experiments.plots.baselines import draw_scores_by_time
from experiments.scores import Scores
from pipeline.errors import UserError
from pipeline.seeds import rng
from pipeline.sizes import CAR
from pipeline.training_state import check_arrays, read_state, write_state
from simulation.real_world import EnvironmentWorld
from simulation.rollout import Policy, RolloutSettings, Slot, Task, rollout, score_unseen_tracks

NAME, ENV_NAME = "ppo_car_racing", "car_racing"
ENVIRONMENT = config.ENVIRONMENTS[ENV_NAME]
FRAME_SKIP = 2  # frames for which an action is held
STACK = 2  # gray frames that the networks see
ENVS, STEPS = 8, 512  # an iteration's environments, and steps in each
LEARNING_RATE, TOTAL_STEPS = 1e-4, 4_000_000  # it falls linearly to zero
GRAY = np.array((0.2125, 0.7154, 0.0721))  # Gymnasium's weights of red, green and blue
RECIPE: dict[str, Any] = {
    "batch_size": 128,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "use_sde": True,
    "sde_sample_freq": 4,
}


@dataclass(frozen=True, kw_only=True)
class PPOSettings(records.TrainingSettings):
    """Settings of a training; --help says what they do."""

    max_length: int


class FrameSkip(gym.Wrapper):
    """Holds an action for FRAME_SKIP frames; the reward is their sum, the observation the last one."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        total = 0.0
        for _ in range(FRAME_SKIP):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


def make_model(seed: int, max_length: int) -> Any:
    """An untrained model of Stable-Baselines3 with its eight environments; UserError if the library is not there."""
    try:
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
        from torch.nn import GELU
    except ImportError as error:
        remedy = "install PyTorch's CPU build, then run `pip install -e '.[compare]'`"
        raise UserError(f"{NAME} needs stable_baselines3 ({error}): {remedy}") from None

    def wrap(env: gym.Env) -> gym.Env:
        return GrayscaleObservation(FrameSkip(env), keep_dim=True)

    limit = {"max_episode_steps": max_length}
    envs = VecFrameStack(make_vec_env(ENVIRONMENT.id, ENVS, wrapper_class=wrap, env_kwargs=limit), STACK)
    network = {"log_std_init": -2, "ortho_init": False, "activation_fn": GELU, "net_arch": {"pi": [256], "vf": [256]}}
    model = PPO(
        "CnnPolicy", VecNormalize(envs, norm_obs=False), n_steps=STEPS, seed=seed, policy_kwargs=network, **RECIPE
    )
    model.lr_schedule = lambda _: LEARNING_RATE * max(0.0, 1 - model.num_timesteps / TOTAL_STEPS)
    return model


class Greedy(Policy[EnvironmentWorld]):
    """The policy of a model without noise; one call of its network serves all slots that need an action."""

    def __init__(self, model: Any, rows: int) -> None:
        self.model, self.states = model, np.zeros((rows, *config.FRAME_SHAPE[:2], STACK), np.uint8)
        self.actions = np.zeros((rows, CAR.actions), np.float32)

    def reset(self, slot: Slot) -> None:
        self.states[slot.row] = 0

    def act(self, world: EnvironmentWorld, slots: list[Slot]) -> np.ndarray:
        rows = [slot.row for slot in slots if slot.steps % FRAME_SKIP == 0]
        if rows:
            states = self.states
            states[rows, :, :, :-1] = states[rows, :, :, 1:]
            states[rows, :, :, -1] = [world.frames[row] @ GRAY for row in rows]
            self.actions[rows] = self.model.predict(states, deterministic=True)[0][rows]
        return self.actions


class PPOTraining(records.Training):
    """One training; baselines/ppo_car_racing.state.h5 holds the networks, Adam's state and the scale of the rewards."""

    columns, unit = ("iteration", "seconds", "steps", "score"), "iterations"
    settings: PPOSettings

    def __init__(self, settings: PPOSettings, minutes: float = np.inf) -> None:
        super().__init__(NAME, "state.h5", settings)
        self.max_seconds = 60 * minutes
        self.best: list[np.ndarray] = []
        self.model = make_model(self._stream(), settings.max_length)

    def _stream(self) -> int:
        """The seed of the model and of its environments from here on."""
        return int(rng("ppo", self.settings.seed, len(self.rows)).integers(2**31))

    @property
    def network(self) -> list[Any]:
        """The tensors of the policy's and of the value's network."""
        return list(self.model.policy.state_dict().values())

    def save(self) -> None:
        optimizer, scale = self.model.policy.optimizer, self.model.get_vec_normalize_env().ret_rms
        moments = [optimizer.state[weight] for weight in self.model.policy.parameters()]
        groups = {
            "network": [tensor.numpy() for tensor in self.network],
            "mean": [moment["exp_avg"].numpy() for moment in moments],
            "square": [moment["exp_avg_sq"].numpy() for moment in moments],
            "updates": [moment["step"].numpy() for moment in moments],
            "scale": [np.array((scale.mean, scale.var, scale.count))],
            "rows": [self.rows],
            "evaluations": [self.evaluations],
            "best": self.best,
        }
        write_state(self.path, {"settings": asdict(self.settings)}, groups)

    def restore(self) -> None:
        metadata, groups = read_state(self.path, records.REMEDY)
        self.check_settings(metadata.get("settings"))
        [self.rows], [self.evaluations], self.best = groups["rows"], groups["evaluations"], groups["best"]
        weights = list(self.model.policy.parameters())
        for name, expected in (("network", self.network), ("mean", weights), ("square", weights)):
            check_arrays(self.path, expected, groups[name], records.REMEDY)
        self.model.set_random_seed(self._stream())  # other episodes than those before
        self.load(groups["network"])
        adam = zip(weights, *(groups[name] for name in ("mean", "square", "updates")), strict=True)
        for weight, mean, square, updates in adam:
            moment = {"exp_avg": mean, "exp_avg_sq": square, "step": updates}
            self.model.policy.optimizer.state[weight] = {name: self.tensor(array) for name, array in moment.items()}
        scale = self.model.get_vec_normalize_env().ret_rms
        scale.mean, scale.var, scale.count = groups["scale"][0]
        self.model.num_timesteps = len(self.rows) * ENVS * STEPS

    @staticmethod
    def tensor(array: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(array.copy())

    def load(self, network: list[np.ndarray]) -> None:
        """Give the networks these weights."""
        names = self.model.policy.state_dict()
        self.model.policy.load_state_dict(dict(zip(names, map(self.tensor, network), strict=True)))

    def advance(self) -> tuple[float, ...]:
        self.model.learn(ENVS * STEPS, reset_num_timesteps=False)
        scores = [episode["r"] for episode in self.model.ep_info_buffer]
        return self.model.num_timesteps * FRAME_SKIP, float(np.mean(scores or [0.0]))

    def report(self) -> None:
        iteration, seconds, steps, score = self.rows[-1].tolist()
        self.log(f"{NAME} {int(iteration), int(seconds), int(steps), round(score, 1)}")

    def score(self, env_seeds: list[int]) -> list[float]:
        world = EnvironmentWorld(ENV_NAME)
        tasks = [Task(env_seed, self.settings.max_length) for env_seed in env_seeds]
        return [result.score for result in rollout(world, Greedy(self.model, world.rows), tasks)]

    def keep_best(self) -> None:
        self.best = [tensor.numpy().copy() for tensor in self.network]

    def draw(self) -> None:
        draw_scores_by_time(NAME, self.rows, self.evaluations, records.path(NAME, "png"))


def final_score(args: argparse.Namespace, settings: PPOSettings) -> None:
    """Score the best agent of the training on unseen tracks."""
    training = PPOTraining(settings)
    training.restore_checked()
    if not training.best:
        raise UserError(f"{training.path} holds no agent yet: --eval_steps iterations come before the first one")
    training.load(training.best)
    world, metadata = EnvironmentWorld(ENV_NAME), training.metadata()
    rollouts = RolloutSettings(env=ENV_NAME, seed=args.seed, num_episode=args.num_episode, max_length=args.max_length)
    scores = score_unseen_tracks(world, Greedy(training.model, world.rows), rollouts)
    kept = Scores(
        settings=rollouts,
        scores=scores,
        metadata=metadata,
        parameters=sum(weight.numel() for weight in training.model.policy.parameters()),
        agent_steps=int(metadata["steps"]),
        seconds=training.last("seconds"),
    )
    kept.write(records.path(NAME, "scores.json"))


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--minutes", type=cli.positive_float, default=np.inf, help="wall time in total; default: no limit"
    )
    total = TOTAL_STEPS // (ENVS * STEPS)
    records.add_arguments(
        parser, ENVIRONMENT.max_length, "iterations", iterations=total, eval_steps=10, eval_episode=16
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    settings = PPOSettings(
        seed=args.seed, eval_steps=args.eval_steps, eval_episode=args.eval_episode, max_length=args.max_length
    )
    if args.final_mode:
        return final_score(args, settings)
    PPOTraining(settings, args.minutes).train(args.iterations, args.new_model)


if __name__ == "__main__":
    cli.run(main)
