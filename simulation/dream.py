"""The dream world: the controller acts on z and h alone, and M predicts the next z and reward.

The initial z of a dream is drawn from the posterior of the first frame of a recorded episode (data/initial_z.npz); each
later z is drawn from M's mixture. The environment's entry in config.py says what ends a dream: M, where it predicts the
end of an episode, or a number of positive rewards. A car's ends after as many as a lap has tiles, as a real episode
does: without that limit a policy could score by collecting reward faster than any car can drive.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

import config
from controller.arch import Form
from pipeline.actions import Actions
from pipeline.batches import MAKER
from pipeline.entries import entry_of
from pipeline.errors import UserError, first_line
from pipeline.seeds import rng
from pipeline.sizes import CAR
from simulation.agent import Agent
from simulation.environments import actions_of, form_of
from simulation.rollout import World

if TYPE_CHECKING:
    from rnn.arch import RNN
    from vae.arch import VAE

ROWS = 256  # dreams side by side, and rows of every network call
NOISE_STEPS = 1000  # steps of noise that are drawn at once
MAX_STEPS_WITHOUT_PROGRESS = 100  # steps without a positive reward that end a dream which a person watches


def open_initial_z(vae: str, folder: Path = Path(), z_dim: int = CAR.z) -> tuple[np.ndarray, np.ndarray]:
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
    if shapes != {(len(arrays[0]), z_dim)} or not len(arrays[0]) or not np.isfinite(arrays).all():
        raise UserError(f"{path} does not hold mu and log_var of first frames: run {MAKER['rnn']} again")
    if encoder != vae:
        found = f"{path} was encoded by VAE {encoder}, {folder / config.VAE_DIR}/ holds {vae}"
        raise UserError(f"{found}: run {MAKER['rnn']} again")
    return arrays[0], arrays[1]


def initial_states_hash(vae: str, z_dim: int = CAR.z) -> str:
    """A hash of the initial states, 16 hex digits: of the arrays, because the bytes of an .npz include its time."""
    return hashlib.sha256(b"".join(array.tobytes() for array in open_initial_z(vae, z_dim=z_dim))).hexdigest()[:16]


class DreamWorld(World):
    """Dreams side by side, one per row; the counterpart of real_world.RealWorld.

    A dream depends on its seed, its actions, the temperature and (in the last bits) the number of rows, not on the
    other dreams.

    Attributes:
        z, h, c: float32 (rows, 32), (rows, 256), (rows, 256); z is sampled, as in M's training.
        seen_z: float32 (rows, 32), the mean of the Gaussians that z was drawn from. C sees it, as in the environment it
            sees V's mean: many latents are unused, and their samples are noise of variance 1.
        modeled_reward: float32 (rows,), of the last step; of the car 1 where it was positive, else 0.
        ended: bool (rows,), where M has ended the episode; False where it does not predict that.

    Args:
        rnn: M.
        initial_z: mu and log_var of `open_initial_z`, from which dreams start.
        temperature: see RNN.dream.
        rows: number of dreams side by side.
        vae: V, which decodes z for people; None: nothing is displayed.
        max_steps_without_progress: steps without a positive reward that end a dream, as leaving the road ends a game.
            None: only M or the goal of the entry ends it.
        env_name: the environment that M was trained in, a key of config.ENVIRONMENTS.
    """

    name = "the dream"

    def __init__(
        self,
        rnn: "RNN",
        initial_z: tuple[np.ndarray, np.ndarray],
        temperature: float,
        rows: int = ROWS,
        vae: "VAE | None" = None,
        max_steps_without_progress: int | None = None,
        env_name: str = "car_racing",
    ) -> None:
        from rnn.arch import dream_noise

        self.env_name, self.entry = env_name, entry_of(env_name)
        self.no_progress_reward = self.entry.no_progress_reward
        self.rnn, self.temperature, self.rows, self.vae = rnn, temperature, rows, vae
        self.start_mu, self.start_log_var = initial_z
        self.max_steps_without_progress = max_steps_without_progress or np.inf
        # Cached because the candidates of a group are evaluated on the same dream seeds.
        self._noise_of = lru_cache(maxsize=128)(
            lambda seed: dream_noise(rng("dream_noise", seed), NOISE_STEPS, rnn.sizes)
        )
        self.z, self.seen_z = np.zeros((2, rows, rnn.sizes.z), np.float32)
        self.modeled_reward, self.ended = np.zeros(rows, np.float32), np.zeros(rows, bool)
        self.no_reward = rnn.sizes.modeled_reward(np.zeros(()))  # as at the first frame of a real episode
        self.h, self.c = np.zeros((2, rows, rnn.sizes.h), np.float32)
        self._noise = np.zeros((rows, NOISE_STEPS, rnn.sizes.noise), np.float32)
        self._num_positive, self._steps_without_progress, self._t = np.zeros((3, rows), int)

    def reset(self, row: int, seed: int) -> None:
        """Start a dream in a row."""
        initial = rng("dream_start", seed)
        first = int(initial.integers(len(self.start_mu)))
        sigma = np.exp(self.start_log_var[first] / 2)
        self.seen_z[row] = self.start_mu[first]
        self.z[row] = self.seen_z[row] + sigma * initial.standard_normal(self.rnn.sizes.z, np.float32)
        self.h[row], self.c[row], self.modeled_reward[row] = self.state_at(first)
        self._num_positive[row] = self._steps_without_progress[row] = self._t[row] = 0
        self._noise[row] = self._noise_of(seed)

    def state_at(self, start: int) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
        """h, c and modeled reward of an initial state: those at the first frame of an episode."""
        return 0.0, 0.0, self.no_reward

    def continue_from(self, row: int, z: np.ndarray, h: np.ndarray, c: np.ndarray, modeled_reward: float) -> None:
        """Put a row that was just reset at a moment of a real episode: z (32,), h and c (256,), modeled reward."""
        self.z[row], self.h[row], self.c[row], self.modeled_reward[row] = z, h, c, modeled_reward
        self.seen_z[row] = z

    def step(self, actions: np.ndarray, rows: Sequence[int] = ()) -> tuple[list[float], list[bool]]:
        """Take actions, float32 (rows, 3), in all rows.

        Returns: the rewards, on the real environment's scale, and which dreams have ended.
        """
        x = np.concatenate([self.z, actions, self.modeled_reward[:, None]], axis=1)
        self.predict(x, self._noise[np.arange(self.rows), self._t % NOISE_STEPS])
        a, b = self.entry.dream_reward
        rewards = a * self.modeled_reward.astype(np.float64) + b
        self._num_positive += rewards > 0
        self._steps_without_progress = np.where(rewards > 0, 0, self._steps_without_progress + 1)
        self._t += 1
        goal = self._num_positive >= (self.entry.dream_goal or np.inf)
        done = self.ended | goal | (self._steps_without_progress >= self.max_steps_without_progress)
        return rewards.tolist(), done.tolist()

    def predict(self, x: np.ndarray, noise: np.ndarray) -> None:
        """Set z, seen_z, modeled_reward, h, c and ended of the next step: see RNN.dream for x (rows, 36) and noise."""
        answer = self.rnn.dream(x, self.h, self.c, noise, self.temperature)
        self.z, self.modeled_reward, self.h, self.c, self.seen_z, *ends = answer
        self.ended = ends[0] if ends else self.ended

    @cached_property
    def actions(self) -> Actions:
        """The actions of the environment."""
        return actions_of(self.env_name)

    @cached_property
    def form(self) -> Form:
        """The form of the controllers."""
        return form_of(self.env_name, self.actions, self.rnn.sizes)

    def render(self, row: int) -> np.ndarray:
        """The decoded z of a row, uint8 (64, 64, 3)."""
        if self.vae is None:
            raise RuntimeError("a dream world without V has no images")
        frame: np.ndarray = self.vae.decode(self.z[row : row + 1])[0]
        return frame


def single_dream(agent: Agent, folder: Path, temperature: float, env_name: str = "car_racing") -> DreamWorld:
    """A world of one dream, to watch or to drive, with the initial states of a folder's data/.

    It ends after MAX_STEPS_WITHOUT_PROGRESS steps without a positive reward, where the environment's entry says what
    such steps cost.
    """
    agent.check_env(env_name)
    limit = MAX_STEPS_WITHOUT_PROGRESS if entry_of(env_name).no_progress_reward is not None else None
    initial_z = open_initial_z(agent.hashes["vae"], folder, agent.sizes.z)
    return DreamWorld(agent.rnn, initial_z, temperature, 1, agent.vae, limit, env_name)


def dream_open_loop(rnn: "RNN", series: np.ndarray, prime: int, dreams: int) -> tuple[np.ndarray, np.ndarray]:
    """Predict the rest of recorded episodes in open loop, given the recorded actions.

    M is conditioned on the first `prime` recorded steps, and then on its own predictions.

    Args:
        series: float32 (n, T, 36), [z, action, modeled reward] of each step, as stage 03 wrote them.
        prime: number of conditioning steps.
        dreams: samples of each episode, with independent noise.
    Returns: z (n, dreams, T - prime, 32) and modeled reward (n, dreams, T - prime) of the steps prime, prime + 1, ...
    """
    from rnn.arch import dream_noise

    n, steps, _ = series.shape
    z_dim = rnn.sizes.z
    x = np.repeat(series, dreams, axis=0)
    h, c = np.zeros((2, len(x), rnn.sizes.h), np.float32)
    for t in range(prime - 1):
        h, c = rnn.step(x[:, t], h, c)
    noise = np.stack([dream_noise(rng("open_loop_dream", i), steps - prime, rnn.sizes) for i in range(len(x))])
    z, reward = x[:, prime - 1, :z_dim], x[:, prime - 1, -1]
    dream_z = np.empty((len(x), steps - prime, z_dim), np.float32)
    dream_reward = np.empty((len(x), steps - prime), np.float32)
    for i, t in enumerate(range(prime - 1, steps - 1)):
        actions = x[:, t, z_dim:-1]
        inputs = np.concatenate([z, actions, reward[:, None]], axis=1)
        z, reward, h, c, *_ = rnn.dream(inputs, h, c, noise[:, i], temperature=1.0)
        dream_z[:, i], dream_reward[:, i] = z, reward
    return dream_z.reshape(n, dreams, -1, z_dim), dream_reward.reshape(n, dreams, -1)
