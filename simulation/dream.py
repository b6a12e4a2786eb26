"""Rollouts in the dream: the controller acts on z and h alone, and M predicts the next z and reward.

The initial z of a dream is drawn from the posterior of the first frame of a recorded episode (data/initial_z.npz); each
later z is drawn from M's mixture. A dream ends after as many positive rewards as a lap has tiles, as a real episode
does: without that limit a policy could score by collecting reward faster than any car can drive.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import config
import controller.arch as controller
from pipeline.batches import MAKER
from pipeline.errors import UserError, first_line
from pipeline.seeds import rng
from simulation.rollout import Result, Task

if TYPE_CHECKING:
    from rnn.arch import RNN

ROWS = 256  # dreams side by side, and rows of every network call
LAP_TILES = 300  # positive rewards that end a dream; M predicts whether a tile was visited, not how many a lap has
TILE_REWARD = 1000 / LAP_TILES
NO_PROGRESS_REWARD = config.ENVIRONMENTS["car_racing"].no_progress_reward
NOISE_STEPS = 1000  # steps of noise that are drawn at once


def dream_reward(positive_reward: np.ndarray) -> np.ndarray:
    """The reward of steps whose predicted positive reward is 0 or 1, on the real environment's scale."""
    return TILE_REWARD * positive_reward + NO_PROGRESS_REWARD


def open_initial_z(vae: str, folder: Path = Path()) -> tuple[np.ndarray, np.ndarray]:
    """Load mu and log_var, float32 (n, 32) each, of the episodes' first frames from data/ below a folder.

    Raises:
        UserError: the file is missing or damaged, or was encoded by another VAE than the one of hash `vae`.
    """
    path = folder / config.DATA_DIR / "initial_z.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [np.asarray(file[name], np.float32) for name in ("mu", "log_var")]
            encoder = str(file["vae"])
    except FileNotFoundError:
        raise UserError(f"{path} (the initial states of dreams) is missing: run {MAKER['rnn']} first") from None
    except Exception as error:  # NumPy raises errors of many types on a damaged file
        raise UserError(f"{path} cannot be read ({first_line(error)}): run {MAKER['rnn']} again") from None
    shapes = {array.shape for array in arrays}
    if shapes != {(len(arrays[0]), config.Z_DIM)} or not len(arrays[0]) or not np.isfinite(arrays).all():
        raise UserError(f"{path} does not hold mu and log_var of first frames: run {MAKER['rnn']} again")
    if encoder != vae:
        found = f"{path} was encoded by VAE {encoder}, {folder / config.VAE_DIR}/ holds {vae}"
        raise UserError(f"{found}: run {MAKER['rnn']} again")
    return arrays[0], arrays[1]


def initial_states_hash(vae: str) -> str:
    """A hash of the initial states, 16 hex digits: of the arrays, because the bytes of an .npz include its time."""
    return hashlib.sha256(b"".join(array.tobytes() for array in open_initial_z(vae))).hexdigest()[:16]


class DreamBatch:
    """The states of many dreams, each at its own step.

    A dream depends on its seed, its actions, the temperature and (in the last bits) the number of rows, not on the
    other dreams of the batch.

    Attributes:
        z, h, c: float32 (rows, 32), (rows, 256), (rows, 256).
        positive_reward: float32 (rows,), 1 where the last step had a positive reward, else 0.
        num_positive: int (rows,), positive rewards since the start.
        steps_without_progress: int (rows,), steps since the last positive reward.

    Args:
        rnn: M.
        vae: hash of the V that must have encoded the initial states.
        temperature: see RNN.dream.
        rows: number of dreams.
        folder: the one whose data/ holds the initial states.
    """

    def __init__(self, rnn: "RNN", vae: str, temperature: float, rows: int = ROWS, folder: Path = Path()) -> None:
        from rnn.arch import dream_noise

        self.rnn, self.temperature, self.rows = rnn, temperature, rows
        self.start_mu, self.start_log_var = open_initial_z(vae, folder)
        # Cached because all candidates of a population are evaluated on the same dream seeds.
        self._noise_of = lru_cache(maxsize=64)(lambda seed: dream_noise(rng("dream_noise", seed), NOISE_STEPS))
        self.z = np.zeros((rows, config.Z_DIM), np.float32)
        self.positive_reward = np.zeros(rows, np.float32)
        self.h, self.c = np.zeros((2, rows, config.HIDDEN_UNITS), np.float32)
        self._noise = np.zeros((rows, NOISE_STEPS, 2 * config.Z_DIM + 1), np.float32)
        self.num_positive, self.steps_without_progress, self._t = np.zeros((3, rows), int)

    def start(self, row: int, seed: int) -> None:
        """Start a dream in a row."""
        start = rng("dream_start", seed)
        first = start.integers(len(self.start_mu))
        sigma = np.exp(self.start_log_var[first] / 2)
        self.z[row] = self.start_mu[first] + sigma * start.standard_normal(config.Z_DIM, np.float32)
        self.positive_reward[row] = self.h[row] = self.c[row] = 0
        self.num_positive[row] = self.steps_without_progress[row] = self._t[row] = 0
        self._noise[row] = self._noise_of(seed)

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Take actions, float32 (rows, 3); returns the rewards, float64 (rows,), on the real environment's scale."""
        x = np.concatenate([self.z, actions, self.positive_reward[:, None]], axis=1)
        noise = self._noise[np.arange(self.rows), self._t % NOISE_STEPS]
        self.z, self.positive_reward, self.h, self.c = self.rnn.dream(x, self.h, self.c, noise, self.temperature)
        self.num_positive += self.positive_reward > 0
        self.steps_without_progress = np.where(self.positive_reward, 0, self.steps_without_progress + 1)
        self._t += 1
        return dream_reward(self.positive_reward.astype(np.float64))

    def is_done(self, max_steps_without_progress: float) -> np.ndarray:
        """Which dreams have ended, bool (rows,): after a lap, or after so many steps without a positive reward."""
        return (self.num_positive >= LAP_TILES) | (self.steps_without_progress >= max_steps_without_progress)


class DreamSimulator:
    """Rolls out controllers in dreams, as simulation.rollout.RolloutBatch does in the real environment.

    Args:
        rnn, vae, temperature: as for DreamBatch.
        max_steps_without_progress: steps without a positive reward after which a dream is truncated early and charged
            the no-progress reward for its remaining steps. None: never.
    """

    def __init__(self, rnn: "RNN", vae: str, temperature: float, max_steps_without_progress: int | None = None) -> None:
        self.dreams = DreamBatch(rnn, vae, temperature)
        self.max_steps_without_progress = max_steps_without_progress or np.inf

    def run(self, tasks: list[Task]) -> list[Result]:
        """Roll out all tasks; results are in task order."""
        results: list[Result | None] = [None] * len(tasks)
        waiting = list(range(len(tasks)))[::-1]
        dreams = self.dreams
        index = np.full(ROWS, -1)  # of each row's task; -1: the row is free
        score, steps, max_length = np.zeros((3, ROWS))
        W, b = controller.unpack(np.zeros((ROWS, controller.NUM_WEIGHTS)))
        while True:
            for row in np.flatnonzero(index < 0)[: len(waiting)]:
                index[row] = waiting.pop()
                task = tasks[index[row]]
                dreams.start(row, task.env_seed)
                W[row], b[row] = controller.unpack(task.weights)
                score[row] = steps[row] = 0
                max_length[row] = task.max_length
            if (index < 0).all():
                return results
            rewards = dreams.step(controller.act(W, b, dreams.z, dreams.h))
            score += rewards
            steps += 1
            done = dreams.is_done(self.max_steps_without_progress) | (steps >= max_length)
            for row in np.flatnonzero((index >= 0) & done):
                remaining = max_length[row] - steps[row] if dreams.num_positive[row] < LAP_TILES else 0
                results[index[row]] = Result(float(score[row] + remaining * NO_PROGRESS_REWARD), int(steps[row]))
                index[row] = -1


def dream_open_loop(rnn: "RNN", series: np.ndarray, prime: int, dreams: int) -> tuple[np.ndarray, np.ndarray]:
    """Predict the rest of recorded episodes in open loop, given the recorded actions.

    M is conditioned on the first `prime` recorded steps, and then on its own predictions.

    Args:
        series: float32 (n, T, 36), [z, action, reward > 0] of each step, as stage 03 wrote them.
        prime: number of conditioning steps.
        dreams: samples of each episode, with independent noise.
    Returns: z (n, dreams, T - prime, 32) and reward > 0 (n, dreams, T - prime) of the steps prime, prime + 1, ...
    """
    from rnn.arch import dream_noise

    n, steps, _ = series.shape
    x = np.repeat(series, dreams, axis=0)
    h, c = np.zeros((2, len(x), config.HIDDEN_UNITS), np.float32)
    for t in range(prime - 1):
        h, c = rnn.step(x[:, t], h, c)
    noise = np.stack([dream_noise(rng("open_loop_dream", i), steps - prime) for i in range(len(x))])
    z, positive_reward = x[:, prime - 1, : config.Z_DIM], x[:, prime - 1, -1]
    dream_z = np.empty((len(x), steps - prime, config.Z_DIM), np.float32)
    dream_positive = np.empty((len(x), steps - prime), np.float32)
    for i, t in enumerate(range(prime - 1, steps - 1)):
        actions = x[:, t, config.Z_DIM : -1]
        inputs = np.concatenate([z, actions, positive_reward[:, None]], axis=1)
        z, positive_reward, h, c = rnn.dream(inputs, h, c, noise[:, i], temperature=1.0)
        dream_z[:, i], dream_positive[:, i] = z, positive_reward
    return dream_z.reshape(n, dreams, -1, config.Z_DIM), dream_positive.reshape(n, dreams, -1)
