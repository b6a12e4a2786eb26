"""Driving in dreams: the agent acts, and M says what comes of it. Hundreds of dreams in lock-step.

A dream begins at the first frame of some episode that stage 03 has encoded. Then z, M's guess of what is seen, is drawn
step after step; there is no road, and no car. A dream ends, like the road does, when a lap's worth of tiles was gained:
a driver that could go on collecting would learn to be faster than any car.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import config
import controller.arch as controller
from pipeline.batches import MAKER
from pipeline.errors import UserError, first_line
from simulation.rollout import Result, Task

if TYPE_CHECKING:
    from rnn.arch import RNN

ROWS = 256  # dreams side by side, and rows of every network call
LAP = 300  # tiles of a dreamt road, which nobody can count: M knows only whether there was one
TILE_REWARD = 1000 / LAP
NO_PROGRESS_REWARD = config.ENVIRONMENTS["car_racing"].no_progress_reward
NOISE_STEPS = 1000  # steps for which a dream's noise is drawn at once


def dreamt_reward(gained: np.ndarray) -> np.ndarray:
    """What M's 0 or 1 is worth on the road's scale, where every step costs 0.1."""
    return TILE_REWARD * gained + NO_PROGRESS_REWARD


def open_initial_z(vae: str, folder: Path = Path()) -> tuple[np.ndarray, np.ndarray]:
    """mu and log_var, float32 (n, 32) each, of the first frames that stage 03 has encoded, in data/ of a folder.

    Raises:
        UserError: there are none, they are damaged, or another VAE encoded them than that of the hash `vae`.
    """
    path = folder / config.DATA_DIR / "initial_z.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [np.asarray(file[name], np.float32) for name in ("mu", "log_var")]
            encoder = str(file["vae"])
    except FileNotFoundError:
        raise UserError(f"{path} is not there, where dreams begin: run {MAKER['rnn']} first") from None
    except Exception as error:  # a damaged file makes its reader raise whatever it likes
        raise UserError(f"{path} cannot be read ({first_line(error)}): run {MAKER['rnn']} again") from None
    shapes = {array.shape for array in arrays}
    if shapes != {(len(arrays[0]), config.Z_DIM)} or not len(arrays[0]) or not np.isfinite(arrays).all():
        raise UserError(f"{path} does not hold mu and log_var of first frames: run {MAKER['rnn']} again")
    if encoder != vae:
        what = f"{path} was encoded by VAE {encoder}, {folder / config.VAE_DIR}/ holds {vae}"
        raise UserError(f"{what}: run {MAKER['rnn']} again")
    return arrays[0], arrays[1]


def initial_states_hash(vae: str) -> str:
    """16 hex digits that say where dreams begin: of the numbers in initial_z.npz, for the file also holds its time."""
    return hashlib.sha256(b"".join(array.tobytes() for array in open_initial_z(vae))).hexdigest()[:16]


class Dreams:
    """The state of many dreams, each at its own step.

    A dream depends on its seed, its actions, the temperature and (in the last bits) the number of rows, not on what is
    dreamt beside it.

    Attributes:
        tiles, idle: int (rows,), how many were gained, and the steps since the last one.

    Args:
        rnn: M.
        vae: the hash of V, which must have encoded the first frames.
        temperature: see RNN.dream.
        rows: how many dreams there is room for.
        folder: in whose data/ the first frames are.
    """

    def __init__(self, rnn: "RNN", vae: str, temperature: float, rows: int = ROWS, folder: Path = Path()) -> None:
        from rnn.arch import dream_noise

        self.rnn, self.temperature, self.rows = rnn, temperature, rows
        self.start_mu, self.start_log_var = open_initial_z(vae, folder)
        # All members of a population dream the same dreams.
        self._noise_of = lru_cache(maxsize=64)(lambda seed: dream_noise(np.random.default_rng([seed, 2]), NOISE_STEPS))
        self.z = np.zeros((rows, config.Z_DIM), np.float32)
        self.gained = np.zeros(rows, np.float32)
        self.h, self.c = np.zeros((2, rows, config.HIDDEN_UNITS), np.float32)
        self._noise = np.zeros((rows, NOISE_STEPS, 2 * config.Z_DIM + 1), np.float32)
        self.tiles, self.steps_without_progress, self._t = np.zeros((3, rows), int)

    def start(self, row: int, seed: int) -> None:
        """Begin a dream in a row."""
        rng = np.random.default_rng([seed, 3])
        first = rng.integers(len(self.start_mu))
        spread = np.exp(self.start_log_var[first] / 2)
        self.z[row] = self.start_mu[first] + spread * rng.standard_normal(config.Z_DIM, np.float32)
        self.gained[row] = self.h[row] = self.c[row] = 0
        self.tiles[row] = self.steps_without_progress[row] = self._t[row] = 0
        self._noise[row] = self._noise_of(seed)

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Go on by actions (rows, 3) float32; returns the rewards (rows,) on the road's scale."""
        x = np.concatenate([self.z, actions, self.gained[:, None]], axis=1)
        noise = self._noise[np.arange(self.rows), self._t % NOISE_STEPS]
        self.z, self.gained, self.h, self.c = self.rnn.dream(x, self.h, self.c, noise, self.temperature)
        self.tiles += self.gained > 0
        self.steps_without_progress = np.where(self.gained, 0, self.steps_without_progress + 1)
        self._t += 1
        return dreamt_reward(self.gained.astype(np.float64))

    def over(self, max_steps_without_progress: float) -> np.ndarray:
        """Which dreams have ended, bool (rows,): by a lap, or by so many steps without a gain."""
        return (self.tiles >= LAP) | (self.steps_without_progress >= max_steps_without_progress)


class DreamSimulator:
    """Drives episodes as model.Simulator does, but in dreams.

    Args:
        rnn, vae, temperature: as for Dreams.
        patience: steps without reward after which a dream is given up, and charged what idling on would have cost.
            None: never.
    """

    def __init__(self, rnn: "RNN", vae: str, temperature: float, max_steps_without_progress: int | None = None) -> None:
        self.dreams, self.max_steps_without_progress = (
            Dreams(rnn, vae, temperature),
            max_steps_without_progress or np.inf,
        )

    def run(self, tasks: list[Task], report: Callable[[int, Result], None] | None = None) -> list[Result]:
        """Dream all tasks, a free row taking the next; a task's `track` is the seed of its dream."""
        results: list[Result | None] = [None] * len(tasks)
        waiting = list(range(len(tasks)))[::-1]
        dreams = self.dreams
        task = np.full(ROWS, -1)
        score, steps, length = np.zeros((3, ROWS))
        W, b = controller.unpack(np.zeros((ROWS, controller.NUM_WEIGHTS)))
        while True:
            for row in np.flatnonzero(task < 0)[: len(waiting)]:
                task[row] = waiting.pop()
                chosen = tasks[task[row]]
                dreams.start(row, chosen.env_seed)
                W[row], b[row] = controller.unpack(chosen.weights)
                score[row] = steps[row] = 0
                length[row] = chosen.max_length
            if (task < 0).all():
                return results
            rewards = dreams.step(controller.act(W, b, dreams.z, dreams.h))
            score += rewards
            steps += 1
            for row in np.flatnonzero((task >= 0) & (dreams.over(self.max_steps_without_progress) | (steps >= length))):
                left = length[row] - steps[row] if dreams.tiles[row] < LAP else 0
                results[task[row]] = Result(float(score[row] + left * NO_PROGRESS_REWARD), int(steps[row]))
                if report:
                    report(task[row], results[task[row]])
                task[row] = -1


def dream_on(
    rnn: "RNN", series: np.ndarray, prime: int, dreams: int, temperature: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Dream on from real episodes, by the actions that were really taken.

    M is told the first `prime` steps as they were; from then on it is told its own guesses.

    Args:
        series: float32 (n, T, 36), [z, action, reward > 0] of each step, as stage 03 left them.
        dreams: how often each episode is dreamt, each time with another chance.
    Returns: z (n, dreams, T - prime, 32) and reward > 0 (n, dreams, T - prime) for the steps prime, prime + 1, ...
    """
    from rnn.arch import dream_noise

    n, steps, _ = series.shape
    x = np.repeat(series, dreams, axis=0)
    h, c = np.zeros((2, len(x), config.HIDDEN_UNITS), np.float32)
    for t in range(prime - 1):
        h, c = rnn.step(x[:, t], h, c)
    noise = np.stack([dream_noise(np.random.default_rng([seed, i]), steps - prime) for i in range(len(x))])
    z, gained = x[:, prime - 1, : config.Z_DIM], x[:, prime - 1, -1]
    dreamt_z = np.empty((len(x), steps - prime, config.Z_DIM), np.float32)
    dreamt_gain = np.empty((len(x), steps - prime), np.float32)
    for i, t in enumerate(range(prime - 1, steps - 1)):
        actions = x[:, t, config.Z_DIM : -1]
        told = np.concatenate([z, actions, gained[:, None]], axis=1)
        z, gained, h, c = rnn.dream(told, h, c, noise[:, i], temperature)
        dreamt_z[:, i], dreamt_gain[:, i] = z, gained
    return dreamt_z.reshape(n, dreams, -1, config.Z_DIM), dreamt_gain.reshape(n, dreams, -1)
