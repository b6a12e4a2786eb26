"""How fast a whole agent steps: frame, encoder, LSTM, controller, physics; and how fast it dreams. Beside the tutorial.

    python experiments/benchmarks/agent_speed.py

Weights do not matter to the speed, so they are random and nothing needs to be trained. In turns:

* ours, by one worker and by two: episodes in lock-step lanes, as stage 05 drives them;
* the tutorial's way: one episode, Keras `predict` for encoder and RNN at every step, in Gymnasium's CarRacing-v3, and
  in our environment; a dream step is its RNN's `predict` and a draw from the mixture in plain Python;
* a generation: stage 05 itself on two ranks, started as a person starts it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np

import config
import controller.arch as controller
from experiments.benchmarks import measure
from experiments.benchmarks.measure import ROOT, Crew, Row, rate, row, take_turns
from pipeline.seeds import env_seed_range
from simulation.agent import Agent
from simulation.environments import make_env
from simulation.rollout import ROWS, Task
from simulation.simulator import Simulator

ROUNDS = 5
STEPS = 150  # of each of ROWS episodes, a round
DREAM_STEPS = 100  # of each of 256 dreams, a round
TUTORIAL_STEPS = 40
GENERATIONS, POPULATION, TRACKS = 4, 64, 2
RATE = "agent-steps/s"
ENCODER = (
    "two fifths of an agent-step are the encoder, 16 frames a call, two fifths the environment, a tenth M; bfloat16, on"
    " processors that have it, took 69 % of the encoder's time, an eighth of the step: not worth a second way to see"
)


def some_weights() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, controller.NUM_WEIGHTS)


def prepare(number: int) -> Callable[[], int]:
    """A worker with ROWS tracks side by side."""
    simulator, weights = Simulator(Agent(), "car_racing"), some_weights()
    tracks = env_seed_range("explore", 1, ROWS * number, ROWS)

    def work() -> int:
        return sum(result.steps for result in simulator.run([Task(weights, env_seed, STEPS) for env_seed in tracks]))

    return work


def prepare_dreams(number: int) -> Callable[[], int]:
    """A worker with as many dreams as it dreams at once."""
    from simulation.dream import ROWS as DREAMS
    from simulation.dream import DreamSimulator

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        config.DATA_DIR.mkdir()
        zeros = np.zeros((1, config.Z_DIM))
        np.savez(config.DATA_DIR / "initial_z.npz", mu=zeros, log_var=zeros, vae=np.array("none"))
        simulator, weights = DreamSimulator(Agent().rnn, "none", 1.0), some_weights()
        os.chdir(ROOT)

    def work() -> int:
        tasks = [Task(weights, DREAMS * number + i, DREAM_STEPS) for i in range(DREAMS)]
        return sum(result.steps for result in simulator.run(tasks))

    return work


def as_the_tutorial(agent: Agent, env: gym.Env) -> tuple[Callable[[], int], Callable[[], int]]:
    """The tutorial's loop on the road, and in a dream: one step at a time, by `predict`."""
    from pipeline.networks import keras, tf
    from rnn.arch import split_mixture

    inputs = keras.Input((1, config.Z_DIM + config.ACTION_DIM + 1))
    h_in, c_in = keras.Input((config.HIDDEN_UNITS,)), keras.Input((config.HIDDEN_UNITS,))
    hidden, h_out, c_out = keras.layers.LSTM(config.HIDDEN_UNITS, return_state=True)(inputs, initial_state=[h_in, c_in])
    outputs = keras.layers.Dense(3 * config.MIXTURES * config.Z_DIM + 1)(hidden)
    forward = keras.Model([inputs, h_in, c_in], [outputs, h_out, c_out])
    W, b = controller.unpack(some_weights()[None])
    rng = np.random.default_rng(0)

    def predict(z: np.ndarray, action: np.ndarray, gained: float, h: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
        series = np.concatenate([z, action[None], [[gained]]], axis=1, dtype=np.float32)
        return forward.predict([series[:, None], h, c], verbose=0)

    def drive() -> int:
        frame, _ = env.reset(seed=1)
        h = c = np.zeros((1, config.HIDDEN_UNITS), np.float32)
        reward = 0.0
        for _ in range(TUTORIAL_STEPS):
            if frame.shape != config.FRAME_SHAPE:
                frame = cv2.resize(frame, config.FRAME_SHAPE[:2])
            z = agent.vae.encoder.predict(frame[None], verbose=0)
            [action] = controller.act(W, b, z, h)
            _, h, c = predict(z, action, reward > 0, h, c)
            frame, reward, *_ = env.step(action)
        return TUTORIAL_STEPS

    def dream() -> int:
        z, gained = np.zeros((1, config.Z_DIM), np.float32), 0.0
        h = c = np.zeros((1, config.HIDDEN_UNITS), np.float32)
        for _ in range(TUTORIAL_STEPS):
            [action] = controller.act(W, b, z, h)
            mixture, h, c = predict(z, action, gained, h, c)
            log_pi, mu, log_sigma, logit = (part.numpy()[0] for part in split_mixture(tf.constant(mixture)))
            for i in range(config.Z_DIM):
                p = np.exp(log_pi[:, i])
                k = rng.choice(config.MIXTURES, p=p / p.sum())
                z[0, i] = mu[k, i] + np.exp(log_sigma[k, i]) * rng.normal()
            gained = float(logit > 0)
        return TUTORIAL_STEPS

    return drive, dream


def generations(agent: Agent) -> np.ndarray:
    """Agent-steps/s of each generation of stage 05 on two ranks, all of it: asking, driving, telling, saving."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        agent.vae.save(folder / config.VAE_DIR / "weights.h5", {"settings": {}})
        agent.rnn.save(folder / config.RNN_DIR / "weights.h5", {"settings": {}})
        command = f"05_train_controller.py car_racing -n 2 -t {POPULATION // 2} -e {TRACKS}"
        command += f" --subspace 0 --generations {GENERATIONS} --eval_steps {GENERATIONS + 1}"
        script, *arguments = command.split()
        environment = {k: v for k, v in os.environ.items() if k not in measure.ONE_THREAD}
        subprocess.run(
            [sys.executable, ROOT / script, *arguments],
            **{"cwd": folder, "env": environment, "check": True, "stdout": subprocess.DEVNULL},
        )
        [history] = (folder / config.LOG_DIR).glob("*.hist.json")
        rows = json.loads(history.read_text())
    seconds = np.diff([row["seconds"] for row in rows])
    return np.array([row["mean steps"] for row in rows])[1:] * POPULATION * TRACKS / seconds


def main() -> None:
    os.environ.update(measure.ONE_THREAD)
    agent = Agent()
    crew, dreamers = Crew(prepare, 2), Crew(prepare_dreams, 2)
    drive, dream = as_the_tutorial(agent, gym.make("CarRacing-v3"))
    drive_in_ours, _ = as_the_tutorial(agent, make_env("car_racing"))
    rates = take_turns(
        {
            "one": lambda: crew.rate(1),
            "two": lambda: crew.rate(2),
            "dreams": lambda: dreamers.rate(2),
            "tutorial": lambda: rate(drive),
            "tutorial in ours": lambda: rate(drive_in_ours),
            "tutorial's dreams": lambda: rate(dream),
        },
        ROUNDS,
    )
    whole = generations(agent)
    one = np.full(len(whole), np.median(rates["one"]))
    wanted = {"least": 180, "goal": 250, "bound": ENCODER}
    rows: list[Row] = [
        row("agent step, one worker", "the tutorial's way", rates["one"], rates["tutorial"], RATE, **wanted),
        row("the same", "that loop in our environment", rates["one"], rates["tutorial in ours"], RATE, **wanted),
        row("the same, two workers", "one worker", rates["two"], rates["one"], RATE, 1.8),
        row("a generation of 05, 64 × 2 episodes", "two workers' rate", whole, 2 * one, RATE, 85, percent=True),
        row("dream step, two workers", "the tutorial's way", rates["dreams"], rates["tutorial's dreams"], RATE, 5000),
    ]
    measure.report(rows)


if __name__ == "__main__":
    main()
