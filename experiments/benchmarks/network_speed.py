"""Speed of encoding as a share of a plain matrix product's speed; the work of networks and gradient steps.

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
from pipeline.sizes import CAR

ROUNDS = 5
FRAMES, EPISODES, STEPS = 100, 100, 299
# Multiply-adds per frame by layer: outputs x inputs per output.
CONVOLUTIONS = (31**2 * 32 * 48, 14**2 * 64 * 512, 6**2 * 64 * 1024, 2**2 * 128 * 1024)
ENCODER = sum(CONVOLUTIONS) + 512 * 2 * CAR.z
DECODER = CAR.z * 1024 + 1024 * 64 * 25 + 5**2 * 64 * 64 * 25 + 13**2 * 64 * 32 * 36 + 30**2 * 32 * 3 * 36
LSTM = (CAR.h + CAR.z + CAR.actions + 1) * 4 * CAR.h
MIXTURE = CAR.h * (3 * CAR.mixtures * CAR.z + 1)
BOUND = (
    "TensorFlow's convolutions, timed one by one, reach a third of the peak (the first, with 48 products per output),"
    " four fifths (the second, with half of all products) and a third (the last); computing four pixels of the first at"
    " once as 128 channels took 9 % longer for the first two; frozen graphs, XLA, the cast to float fused by XLA, and"
    " calls of 25 to 900 frames were no faster"
)
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
    from vae.arch import VAE

    frames = np.random.default_rng(1).integers(0, 256, (900, *config.FRAME_SHAPE), np.uint8)
    vae = VAE()

    def encode() -> int:
        vae.encode(frames, rows=300)
        return len(frames) * ENCODER

    return matrix_product(tf) | {"encode": lambda: rate(encode)}


def main() -> None:
    args = measure.parse_args(__doc__)
    rates = interleave(methods(), ROUNDS)
    peak = np.maximum(rates["NumPy"], rates["TensorFlow"]) / 1e9
    better = "NumPy's" if np.median(rates["NumPy"]) > np.median(rates["TensorFlow"]) else "TensorFlow's"
    work = f"encoding frames (03): {np.median(rates['encode']) / ENCODER:,.0f} per second"
    options: dict[str, Any] = {"percent": True, "goal": 85, "bound": BOUND}
    unit = "G multiply-adds/s"
    measure.report(args, [row(work, f"{better} matrix product", rates["encode"] / 1e9, peak, unit, 78, **options)])


if __name__ == "__main__":
    cli.run(main, resumable=False)
