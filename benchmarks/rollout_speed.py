"""How fast a whole agent steps on one core: frame, encoder, LSTM, controller, physics. Ours beside the tutorial's way.

    python benchmarks/rollout_speed.py

Three ways to drive the same agent, in turns, on one core and one thread; a minute or two. Weights do not matter to the
speed, so they are random and nothing needs to be trained.

* ours: episodes in lock-step lanes, as stage 05 drives them;
* the tutorial's way: one episode, Keras `predict` for encoder and RNN at every step, in Gymnasium's CarRacing-v3;
* the tutorial's way in our environment: the same loop without Gymnasium's slow frames.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import config
import controller.arch as controller
from env import make_env
from lanes import ROWS, Task
from model import Agent, Simulator

ROUNDS = 5
STEPS = {"ours": 200 * ROWS, "tutorial": 60, "tutorial, our environment": 60}  # agent-steps a round
GOAL_RATIO, GOAL_RATE = 100, 1500


def drive_ours(agent: Agent, weights: np.ndarray) -> Callable[[int], None]:
    """Sixteen tracks side by side."""
    simulator = Simulator(agent, "car_racing")
    tracks = config.track_seeds("explore", 1, 0, ROWS)

    def drive(steps: int) -> None:
        results = simulator.run([Task(weights, track, steps // ROWS) for track in tracks])
        assert sum(result.steps for result in results) == steps

    return drive


def drive_as_the_tutorial(agent: Agent, weights: np.ndarray, env: gym.Env) -> Callable[[int], None]:
    """One step at a time, two calls of `predict` each."""
    from nets import keras

    series_in = keras.Input((1, config.Z_DIM + config.ACTION_DIM + 1))
    h_in, c_in = keras.Input((config.HIDDEN_UNITS,)), keras.Input((config.HIDDEN_UNITS,))
    lstm = keras.layers.LSTM(config.HIDDEN_UNITS, return_state=True)
    forward = keras.Model([series_in, h_in, c_in], lstm(series_in, initial_state=[h_in, c_in]))
    W, b = controller.unpack(weights[None])

    def drive(steps: int) -> None:
        frame, _ = env.reset(seed=1)
        h = c = np.zeros((1, config.HIDDEN_UNITS), np.float32)
        reward = 0.0
        for _ in range(steps):
            if frame.shape != config.FRAME_SHAPE:
                frame = cv2.resize(frame, config.FRAME_SHAPE[:2])
            z = agent.vae.encoder.predict(frame[None], verbose=0)
            [action] = controller.act(W, b, z, h)
            series = np.concatenate([z, action[None], [[reward > 0]]], axis=1, dtype=np.float32)
            _, h, c = forward.predict([series[:, None], h, c], verbose=0)
            frame, reward, *_ = env.step(action)

    return drive


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    agent = Agent()
    weights = np.random.default_rng(0).normal(0, 0.1, controller.NUM_WEIGHTS)
    ways = {
        "ours": drive_ours(agent, weights),
        "tutorial": drive_as_the_tutorial(agent, weights, gym.make("CarRacing-v3")),
        "tutorial, our environment": drive_as_the_tutorial(agent, weights, make_env("car_racing")),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for drive in ways.values():
        drive(ROWS)  # traces and caches
    for _ in range(ROUNDS):
        for name, drive in ways.items():
            start = time.perf_counter()
            drive(STEPS[name])
            rates[name].append(STEPS[name] / (time.perf_counter() - start))
    print(f"agent-steps/s on one core, median (lowest .. highest) of {ROUNDS} rounds in turns")
    for name, values in rates.items():
        print(f"{name:>26}: {np.median(values):8.1f}  ({min(values):.1f} .. {max(values):.1f})")
    ours = float(np.median(rates["ours"]))
    ratio = ours / np.median(rates["tutorial"])
    print(f"ours is {ratio:.0f} times the tutorial's way (goal {GOAL_RATIO}); {ours:.0f} steps/s (goal {GOAL_RATE})")
    print(f"and {ours / np.median(rates['tutorial, our environment']):.0f} times the same loop in our environment")


if __name__ == "__main__":
    main()
