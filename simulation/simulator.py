"""Rollouts of the world-model agent in the real environment: V encodes, C acts, M updates the hidden state."""

from collections.abc import Callable

import gymnasium as gym
import numpy as np

import config
from controller import arch
from pipeline.seeds import rng
from simulation.agent import Agent
from simulation.environments import exploration_policy
from simulation.rollout import ROWS, Active, RolloutBatch, Slot

# (environment, slot, frame uint8 (64, 64, 3), z float32 (32,)); slot.action is chosen, but not taken yet
Watch = Callable[[gym.Env, Slot, np.ndarray, np.ndarray], None]


class Simulator(RolloutBatch):
    """Rolls out controllers on one agent's V and M; one call of each network per step serves ROWS slots.

    A score depends on the task and on `max_steps_without_progress` alone, not on the other slots.

    Args:
        agent: V and M.
        env_name, max_steps_without_progress: as for RolloutBatch.
        watch: callback, called at each step of every slot and once more on its last frame; used by windows, videos and
            data collection.
    """

    def __init__(
        self,
        agent: Agent,
        env_name: str,
        max_steps_without_progress: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(env_name, max_steps_without_progress, "rgb_array" if watch else None)
        self.agent, self.watch, self.explore = agent, watch, exploration_policy(env_name)
        self.positive_reward = np.zeros((ROWS, 1), np.float32)
        self.h, self.c = np.zeros((2, ROWS, config.HIDDEN_UNITS), np.float32)
        self.W, self.b = arch.unpack(np.zeros((ROWS, arch.NUM_WEIGHTS)))
        self.noise = [rng("latent_noise", 0) for _ in range(ROWS)]

    def begin(self, row: int, slot: Slot) -> None:
        self.h[row] = self.c[row] = 0
        self.noise[row] = rng("latent_noise", slot.task.env_seed)
        if slot.task.weights is not None:
            self.W[row], self.b[row] = arch.unpack(slot.task.weights)

    def act(self, active: Active) -> None:
        """Frame -> z_t; action_t = C(z_t, h_t); h_{t+1} = M(z_t, action_t, reward_t > 0)."""
        z, log_var = self.agent.vae.encode(self.frames, ROWS)
        if self.agent.sample_z:
            z += np.exp(log_var / 2) * [noise.standard_normal(config.Z_DIM, np.float32) for noise in self.noise]
        actions = arch.act(self.W, self.b, z, self.h)
        input_actions = actions.copy()  # the ones M is conditioned on
        for row, slot in active:
            self.positive_reward[row] = slot.reward > 0
            if slot.explores():
                actions[row] = self.explore(slot.steps, slot.action, slot.rng, slot.task.refresh_rate)
            input_actions[row] = slot.action if self.agent.previous_action else actions[row]
            slot.action = actions[row].copy()
            if self.watch:
                self.watch(self.envs[row], slot, self.frames[row], z[row])
        x = np.concatenate([z, input_actions, self.positive_reward], axis=1)
        self.h, self.c = self.agent.rnn.step(x, self.h, self.c)

    def end(self, row: int, slot: Slot) -> None:
        if self.watch:
            mu, _ = self.agent.vae.encode(self.frames[row : row + 1], ROWS)
            self.watch(self.envs[row], slot, self.frames[row], mu[0])
