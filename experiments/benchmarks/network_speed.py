"""Speed of encoding and of both trainings as a share of a plain matrix product's speed.

    python experiments/benchmarks/network_speed.py

The reference is the rate of large float32 products on the same threads, the better of NumPy's and TensorFlow's. The
networks' work is counted in multiply-adds of their layers. A gradient step counts as three forward passes, less the
first layer's gradient with respect to the input. Noise, losses and the optimizer take time but are not counted.
"""

from collections.abc import Callable
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from experiments.benchmarks import measure
from experiments.benchmarks.measure import interleave, rate, row

ROUNDS = 5
FRAMES, EPISODES, STEPS = 100, 100, 299
# Multiply-adds per frame by layer: outputs x inputs per output.
CONVOLUTIONS = (31**2 * 32 * 48, 14**2 * 64 * 512, 6**2 * 64 * 1024, 2**2 * 128 * 1024)
ENCODER = sum(CONVOLUTIONS) + 512 * 2 * config.Z_DIM
DECODER = config.Z_DIM * 1024 + 1024 * 64 * 25 + 5**2 * 64 * 64 * 25 + 13**2 * 64 * 32 * 36 + 30**2 * 32 * 3 * 36
LSTM = (config.HIDDEN_UNITS + config.Z_DIM + config.ACTION_DIM + 1) * 4 * config.HIDDEN_UNITS
MIXTURE = config.HIDDEN_UNITS * (3 * config.MIXTURES * config.Z_DIM + 1)
BOUNDS = {
    "encode": "TensorFlow's convolutions, timed one by one, reach a third of the peak (the first, with 48 products per"
    " output), two thirds (the second, with half of all products) and a third (the last); computing four pixels of the"
    " first at once as 128 channels took 9 % longer for the first two, and frozen graphs and XLA were slower too",
    "train VAE": "the same convolutions, forward and backward",
    "train RNN": "300 sequential steps with products of 100 × 256 by 256 × 1,024 numbers; XLA, which makes the loss"
    " faster, makes these slower",
}
VAE_STEP = FRAMES * (3 * (ENCODER + DECODER) - CONVOLUTIONS[0])
RNN_STEP = EPISODES * STEPS * 3 * (LSTM + MIXTURE)


def matrix_product(tf: Any) -> dict[str, Callable[[], float]]:
    """Multiply-adds per second of products of 2000 x 2000 float32 matrices."""
    n, repeats = 2000, 6
    a = np.random.default_rng(0).random((n, n), np.float32)
    tensor = tf.constant(a)
    product = tf.function(lambda: tf.matmul(tensor, tensor))

    def by_numpy() -> int:
        for _ in range(repeats):
            a @ a
        return repeats * n**3

    def by_tensorflow() -> int:
        for _ in range(repeats):
            product().numpy()
        return repeats * n**3

    return {"NumPy": lambda: rate(by_numpy), "TensorFlow": lambda: rate(by_tensorflow)}


def methods() -> dict[str, Callable[[], float]]:
    """Everything that is timed, in multiply-adds per second."""
    from pipeline.networks import tf
    from pipeline.optimizer import Adam
    from rnn.arch import RNN, RNNTrainer
    from vae.arch import VAE, VAETrainer

    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (FRAMES, *config.FRAME_SHAPE), np.uint8)
    many = np.repeat(frames, 9, axis=0)
    vae, rnn = VAETrainer(VAE(), 0), RNNTrainer(RNN(), 0)
    vae.compile(optimizer=Adam(1e-3))
    rnn.compile(optimizer=Adam(1e-3, global_clipnorm=1.0))
    series = {
        "mu": rng.normal(size=(EPISODES, STEPS + 1, config.Z_DIM)).astype(np.float32),
        "log_var": np.full((EPISODES, STEPS + 1, config.Z_DIM), -2, np.float32),
        "action": rng.random((EPISODES, STEPS, config.ACTION_DIM), np.float32),
        "reward": (rng.random((EPISODES, STEPS + 1)) < 0.1).astype(np.float32),
        "real": np.ones((EPISODES, STEPS), bool),
    }
    vae_step, rnn_step = tf.function(vae.train_step), tf.function(rnn.train_step)

    def encode() -> int:
        vae.vae.encode(many, rows=300)
        return len(many) * ENCODER

    def train_vae() -> int:
        for _ in range(5):
            vae_step(tf.constant(frames))
        return 5 * VAE_STEP

    def train_rnn() -> int:
        rnn_step({name: tf.constant(array) for name, array in series.items()})
        return RNN_STEP

    work = {"encode": encode, "train VAE": train_vae, "train RNN": train_rnn}
    return matrix_product(tf) | {name: lambda done=done: rate(done) for name, done in work.items()}


def main() -> None:
    args = measure.parse_args(__doc__)
    rates = interleave(methods(), ROUNDS)
    peak = np.maximum(rates["NumPy"], rates["TensorFlow"]) / 1e9
    better = "NumPy's" if np.median(rates["NumPy"]) > np.median(rates["TensorFlow"]) else "TensorFlow's"
    against = f"{better} matrix product"
    unit = "G multiply-adds/s"

    def share(work: str, name: str, required: float, goal: float | None = None) -> measure.Row:
        return row(work, against, rates[name] / 1e9, peak, unit, required, percent=True, goal=goal, bound=BOUNDS[name])

    frames = np.median(rates["encode"]) / ENCODER
    steps = [1000 * cost / np.median(rates[name]) for name, cost in (("train VAE", VAE_STEP), ("train RNN", RNN_STEP))]
    measure.report(
        args,
        [
            share(f"encoding frames (03): {frames:,.0f} per second", "encode", 80),
            share(f"VAE training step of {FRAMES} frames: {steps[0]:.0f} ms", "train VAE", 55, 65),
            share(f"MDN-RNN training step of {EPISODES} episodes: {steps[1]:.0f} ms", "train RNN", 40, 55),
        ],
    )


if __name__ == "__main__":
    cli.run(main, resumable=False)
