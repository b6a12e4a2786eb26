"""The real world: environments, and V and M, through which a controller sees them."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

import config
from pipeline.actions import Actions
from pipeline.seeds import rng
from simulation.agent import Agent
from simulation.environments import actions_in, form_of, make_env
from simulation.rollout import World

# Episodes side by side, and rows of every call of M. The last bits of a matrix product depend on its number of rows, so
# M always computes this many, unused ones included: else a score would depend on how many episodes run beside it.
# Guarded by tests/test_simulate.py::test_score_does_not_depend_on_other_slots.
ROWS = 16


class EnvironmentWorld(World):
    """An environment in every row, for policies that read frames or nothing; no network runs.

    Attributes:
        frames: the current observation of each row, uint8 (64, 64, 3) in the environments of config.py.
        reward, done, terminated: of the last step in each row; an episode that a time limit ends is not terminated.
        actions: those of the environment; None if it is not in config.py: then it takes what the policy gives.

    Args:
        env_name: a key of config.ENVIRONMENTS.
        rows: episodes side by side.
        render_mode: of the first row's environment; the others render nothing.
    """

    def __init__(self, env_name: str, rows: int = ROWS, render_mode: str | None = None) -> None:
        self.env_name = env_name
        self.name, self.rows = f"environment '{env_name}'", rows
        self.envs: list[gym.Env] = [self.make_env(render_mode)]  # those of other rows are made when first used
        self.actions: Actions | None = None
        if env_name in config.ENVIRONMENTS:
            self.no_progress_reward = config.ENVIRONMENTS[env_name].no_progress_reward
            self.actions = actions_in(env_name, self.envs[0])
        space = self.envs[0].observation_space
        assert isinstance(space, Box)  # make_env has checked it
        self.frames = [np.zeros(space.shape, space.dtype)] * rows
        self.reward = [0.0] * rows
        self.done, self.terminated = [False] * rows, [False] * rows

    def make_env(self, render_mode: str | None = None) -> gym.Env:
        """Make the environment of a row."""
        return make_env(self.env_name, render_mode)

    def reset(self, row: int, seed: int) -> None:
        """Start the episode of an environment seed in a row."""
        while len(self.envs) <= row:
            self.envs.append(self.make_env())
        self.frames[row], _ = self.envs[row].reset(seed=seed)
        self.reward[row] = 0

    def step(self, actions: np.ndarray, rows: list[int]) -> tuple[list[float], list[bool]]:
        """Take actions, (rows, ...), in `rows`; returns reward and done, see World.step."""
        taken = self.actions.taken(actions) if self.actions else actions
        for row in rows:
            self.frames[row], reward, terminated, truncated, _ = self.envs[row].step(taken[row])
            self.reward[row], self.terminated[row] = float(reward), terminated
            self.done[row] = terminated or truncated
        return self.reward, self.done

    def close(self) -> None:
        """Close the environments, some of which run processes of their own."""
        for env in self.envs:
            env.close()

    def render(self, row: int) -> np.ndarray:
        """The environment's image for people, uint8 (height, width, 3)."""
        image = self.envs[row].render()
        assert isinstance(image, np.ndarray)  # its render_mode is "rgb_array"
        return image


class RealWorld(EnvironmentWorld):
    """The environment, seen through an agent's V and M.

    The order of events at step t: frame -> z_t; action_t from z_t and h_t; h_{t+1} = M(z_t, action_t, reward_t).

    Attributes:
        z: float32 (rows, 32), the encoded frames.
        h, c: float32 (rows, 256), M's state.
        form: that of the controllers.

    Args:
        agent: V and M.
        env_name, rows, render_mode: as for EnvironmentWorld.

    Raises:
        UserError: the agent was made for another environment.
    """

    def __init__(self, agent: Agent, env_name: str, rows: int = ROWS, render_mode: str | None = None) -> None:
        super().__init__(env_name, rows, render_mode)
        agent.check_env(env_name)
        self.agent, sizes = agent, agent.sizes
        assert self.actions  # the environment of an agent is in config.py
        self.form = form_of(env_name, self.actions, sizes)
        self.h, self.c = np.zeros((2, rows, sizes.h), np.float32)
        self._z = np.zeros((rows, sizes.z), np.float32)
        self._not_encoded: list[int] = []  # rows with a new frame since z was read
        self._action = np.zeros((rows, sizes.actions), np.float32)  # the last one, see Agent.previous_action
        self._rngs = [rng("latent_noise", 0)] * rows  # of the samples with Agent.sample_z
        self._noise = np.zeros((rows, sizes.z), np.float32)

    def reset(self, row: int, seed: int) -> None:
        """Start the episode of an environment seed in a row."""
        super().reset(row, seed)
        self._action[row] = self.h[row] = self.c[row] = 0
        self._rngs[row] = rng("latent_noise", seed)
        self._observe([row])

    def step(self, actions: np.ndarray, rows: list[int]) -> tuple[list[float], list[bool]]:
        """Take actions, float32 (rows, 3), in `rows`; returns reward and done, see World.step."""
        conditioned_on = self._action if self.agent.previous_action else actions
        reward = self.agent.sizes.modeled_reward(np.array(self.reward)[:, None])
        x = np.concatenate([self.z, conditioned_on, reward], axis=1)
        self.h, self.c = self.agent.rnn.step(x, self.h, self.c)
        self._action = actions.copy()
        answer = super().step(actions, rows)
        self._observe(rows)
        return answer

    def _observe(self, rows: list[int]) -> None:
        """Note that there are new frames in `rows`; V encodes them when z is read."""
        self._not_encoded = sorted({*self._not_encoded, *rows})
        if self.agent.sample_z:
            for row in rows:
                self._noise[row] = self._rngs[row].standard_normal(self.agent.sizes.z, np.float32)

    @property
    def z(self) -> np.ndarray:
        """The encoded frames, float32 (rows, 32): the mean or, with Agent.sample_z, a sample of the posterior."""
        if self._not_encoded:
            self._z = self._z.copy()  # a reader may have kept the one before
            self._z[self._not_encoded] = self.encode(self._not_encoded)
            self._not_encoded = []
        return self._z

    @property
    def seen_z(self) -> np.ndarray:
        """What the controller sees: z."""
        return self.z

    def encode(self, rows: list[int]) -> np.ndarray:
        """z of the current frames in `rows`, float32 (len(rows), 32)."""
        z, log_var = self.agent.vae.encode(np.stack([self.frames[row] for row in rows]), self.rows)
        return z + np.exp(log_var / 2) * self._noise[rows] if self.agent.sample_z else z
