"""Speed of a whole agent's steps (encoder, LSTM, controller, environment) and of dream steps, beside the tutorial's.

    python experiments/benchmarks/agent_speed.py

Speed does not depend on the weights, so they are random and nothing needs to be trained. These run interleaved:

* ours with one worker and with two: episodes in lock-step slots, as in stage 05;
* the tutorial's loop: one episode, with Keras `predict` for encoder and RNN at every step, in Gymnasium's CarRacing-v3
  and in our environment; a dream step is the RNN's `predict` and a sample from the mixture in plain Python.

A generation is timed in stage 05 itself on two ranks, started as a user starts it.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import cv2
import gymnasium as gym
import numpy as np

import config
import controller.arch as controller
from experiments import ROOT
from experiments.benchmarks import measure
from experiments.benchmarks.measure import Row, WorkerPool, cost_row, interleave, rate, row
from experiments.benchmarks.network_speed import ENCODER, LSTM
from pipeline.files import read_json
from pipeline.seeds import env_seed_range
from pipeline.sizes import CAR
from simulation.agent import Agent
from simulation.environments import make_env
from simulation.launch import ONE_THREAD
from simulation.policies import ControllerPolicy, LatentWorld
from simulation.real_world import ROWS, RealWorld
from simulation.rollout import Slot, Task, rollout

ROUNDS = 5
STEPS = 150  # per round of each of ROWS episodes
DREAM_STEPS = 100  # per round of each of 256 dreams
TUTORIAL_STEPS = 40
GENERATIONS, POPULATION, TRACKS = 4, 64, 2
RATE = "agent-steps/s"
PARTS = (
    "the encoder reaches half of the peak with 16 frames per call, and the environments of 16 episodes share a cache"
)
LEFT = (
    "two fifths of an agent-step are the encoder with 16 frames per call, two fifths the environment, a tenth M;"
    " bfloat16, where the processor has it, would save 31 % of the encoder's time, an eighth of the step"
)


def random_weights() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, controller.NUM_WEIGHTS)


def prepare(number: int) -> Callable[[], int]:
    """The work of one worker: ROWS episodes side by side."""
    world, weights = RealWorld(Agent.on_one_thread(), "car_racing"), random_weights()
    policy = ControllerPolicy(world.rows)
    env_seeds = env_seed_range("explore", 1, ROWS * number, ROWS)

    def work() -> int:
        tasks = [Task(env_seed, STEPS, weights) for env_seed in env_seeds]
        return sum(result.steps for result in rollout(world, policy, tasks))

    return work


class RecordingPolicy(ControllerPolicy):
    """A controller's policy that keeps the actions of the first row's episode."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.actions: list[np.ndarray] = []

    def act(self, world: LatentWorld, slots: list[Slot]) -> np.ndarray:
        """Actions, float32 (rows, 3)."""
        actions = super().act(world, slots)
        self.actions.append(actions[0].copy())
        return actions


def prepare_environment(number: int) -> Callable[[], int]:
    """The work of one worker: an environment alone, with the actions of one of the agent's episodes."""
    [env_seed] = env_seed_range("explore", 1, ROWS * number, 1)
    policy = RecordingPolicy(ROWS)
    rollout(RealWorld(Agent.on_one_thread(), "car_racing"), policy, [Task(env_seed, STEPS, random_weights())])
    env = make_env("car_racing")

    def work() -> int:
        env.reset(seed=env_seed)
        for action in policy.actions:
            env.step(action)
        return len(policy.actions)

    return work


def prepare_product(number: int) -> Callable[[], int]:
    """The work of one worker: a large matrix product, in multiply-adds."""
    n = 2000
    matrix = np.random.default_rng(0).random((n, n), np.float32)

    def work() -> int:
        matrix @ matrix
        return n**3

    return work


def prepare_dreams(number: int) -> Callable[[], int]:
    """The work of one worker: as many dreams as a DreamWorld holds at once."""
    from simulation.dream import ROWS as DREAMS
    from simulation.dream import DreamWorld

    zeros, weights = np.zeros((1, CAR.z), np.float32), random_weights()
    world, policy = DreamWorld(Agent.on_one_thread().rnn, (zeros, zeros), 1.0), ControllerPolicy(DREAMS)

    def work() -> int:
        tasks = [Task(DREAMS * number + i, DREAM_STEPS, weights) for i in range(DREAMS)]
        return sum(result.steps for result in rollout(world, policy, tasks))

    return work


def tutorial_loops(agent: Agent, env: gym.Env) -> tuple[Callable[[], int], Callable[[], int]]:
    """The tutorial's loop in the real environment and in a dream: one step at a time, with `predict`."""
    from pipeline.networks import keras, tf
    from rnn.arch import split_mixture

    inputs = keras.Input((1, CAR.z + CAR.actions + 1))
    h_in, c_in = keras.Input((CAR.h,)), keras.Input((CAR.h,))
    hidden, h_out, c_out = keras.layers.LSTM(CAR.h, return_state=True)(inputs, initial_state=[h_in, c_in])
    outputs = keras.layers.Dense(3 * CAR.mixtures * CAR.z + 1)(hidden)
    forward = keras.Model([inputs, h_in, c_in], [outputs, h_out, c_out])
    W, b = controller.unpack(random_weights()[None])
    rng = np.random.default_rng(0)

    def predict(z: np.ndarray, action: np.ndarray, positive: float, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        series = np.concatenate([z, action[None], [[positive]]], axis=1, dtype=np.float32)
        return forward.predict([series[:, None], h, c], verbose=0)

    def real() -> int:
        frame, _ = env.reset(seed=1)
        h = c = np.zeros((1, CAR.h), np.float32)
        reward = 0.0
        for _ in range(TUTORIAL_STEPS):
            if frame.shape != config.FRAME_SHAPE:
                frame = cv2.resize(frame, config.FRAME_SHAPE[:2])
            z = agent.vae.encoder.predict(frame[None], verbose=0)
            [action] = controller.act(W, b, z, h)
            _, h, c = predict(z, action, reward > 0, h, c)
            frame, received, *_ = env.step(action)
            reward = float(received)
        return TUTORIAL_STEPS

    def dream() -> int:
        z, positive = np.zeros((1, CAR.z), np.float32), 0.0
        h = c = np.zeros((1, CAR.h), np.float32)
        for _ in range(TUTORIAL_STEPS):
            [action] = controller.act(W, b, z, h)
            mixture, h, c = predict(z, action, positive, h, c)
            log_pi, mu, log_sigma, logit = (part.numpy()[0] for part in split_mixture(tf.constant(mixture)))
            for i in range(CAR.z):
                p = np.exp(log_pi[:, i])
                k = rng.choice(CAR.mixtures, p=p / p.sum())
                z[0, i] = mu[k, i] + np.exp(log_sigma[k, i]) * rng.normal()
            positive = float(logit > 0)
        return TUTORIAL_STEPS

    return real, dream


def generations(agent: Agent) -> np.ndarray:
    """Agent-steps/s of each generation of stage 05 on two ranks: ask, rollouts, tell and save."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        agent.vae.save(folder / config.VAE_DIR / "weights.h5", {})
        agent.rnn.save(folder / config.RNN_DIR / "weights.h5", {})
        command = f"05_train_controller.py car_racing -n 2 -t {POPULATION // 2} -e {TRACKS}"
        command += f" --subspace 0 --generations {GENERATIONS} --eval_steps {GENERATIONS + 1}"
        script, *arguments = command.split()
        subprocess.run(
            [sys.executable, str(ROOT / script), *arguments],
            cwd=folder,
            env=measure.without_thread_settings(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        [history] = (folder / config.LOG_DIR).glob("*.hist.json")
        rows = read_json(history)
    seconds = np.diff([row["seconds"] for row in rows])
    return np.array([row["mean steps"] for row in rows])[1:] * POPULATION * TRACKS / seconds


def main() -> None:
    args = measure.parse_args(__doc__)
    os.environ.update(ONE_THREAD)
    agent = Agent.on_one_thread()
    workers, dream_workers = WorkerPool(prepare, 2), WorkerPool(prepare_dreams, 2)
    environment, product = WorkerPool(prepare_environment, 1), WorkerPool(prepare_product, 1)
    real, dream = tutorial_loops(agent, gym.make("CarRacing-v3"))
    real_in_ours, _ = tutorial_loops(agent, make_env("car_racing"))
    rates = interleave(
        {
            "one": lambda: workers.rate(1),
            "environment": lambda: environment.rate(1),
            "product": lambda: product.rate(1),
            "two": lambda: workers.rate(2),
            "dreams": lambda: dream_workers.rate(2),
            "tutorial": lambda: rate(real),
            "tutorial in ours": lambda: rate(real_in_ours),
            "tutorial's dreams": lambda: rate(dream),
        },
        ROUNDS,
    )
    generation = generations(agent)
    one = np.full(len(generation), np.median(rates["one"]))
    targets: dict[str, Any] = {"required": 180, "goal": 250, "bound": LEFT}
    networks, alone = (ENCODER + LSTM) / rates["product"], 1 / rates["environment"]
    parts = f"encoder row and M step at the peak of a matrix product, {1e6 * np.median(networks):.0f} µs, and"
    parts += f" environment step alone, {1e6 * np.median(alone):.0f} µs"
    ours, theirs = 1e6 / rates["one"], 1e6 * (networks + alone)
    rows: list[Row] = [
        cost_row("agent step, one worker", parts, ours, theirs, "µs", 1.6, goal=1.3, bound=PARTS),
        row("agent step, one worker", "the tutorial's loop", rates["one"], rates["tutorial"], RATE, **targets),
        row(
            "agent step, one worker",
            "the tutorial's loop in our environment",
            rates["one"],
            rates["tutorial in ours"],
            RATE,
            **targets,
        ),
        row("agent step, two workers", "one worker", rates["two"], rates["one"], RATE, 1.8),
        row("a generation of 05, 64 × 2 episodes", "two workers' rate", generation, 2 * one, RATE, 85, percent=True),
        row("dream step, two workers", "the tutorial's loop", rates["dreams"], rates["tutorial's dreams"], RATE, 5000),
    ]
    measure.report(args, rows)


if __name__ == "__main__":
    cli.run(main, resumable=False)
