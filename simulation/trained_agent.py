"""The trained agent as a library: V, M and C for one episode at a time, NumPy in and NumPy out (docs/library.md).

TensorFlow keeps the threads and devices that the process gives it. On several threads the last bits of z and h, and in
the end a score, may differ from those of the scripts, which run on one.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TimeLimit

import config
from controller import arch
from controller import files as controller_files
from pipeline.actions import Actions
from pipeline.entries import entry_of
from pipeline.seeds import rng
from simulation.agent import Agent, folder_of
from simulation.dream import single_dream
from simulation.environments import actions_of, form_of, make_env
from simulation.policies import FunctionPolicy
from simulation.real_world import ROWS, RealWorld
from simulation.rollout import Task, rollout

# C: z (n, 32) and h (n, 256), float32 -> actions (n, 3); of the car: steering -1..1, gas 0..1, brake 0..1. Discrete
# actions are one-hot; for an environment whose C sees the cell state as well, h is [h, c].
Controller = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Dream(NamedTuple):
    """A dream of n steps: z, float32 (n + 1, 32), of its start and after each step, and rewards, float64 (n,)."""

    z: np.ndarray
    rewards: np.ndarray


class TrainedAgent(Agent):
    """V, M and C, and the state of one episode; made by `load_agent`.

    Attributes:
        z, h, c: float32 (32,), (256,), (256,): the frame of the last `act`, and M's state when the agent saw it.
        controller: C, see Controller.
        folder: where V, M and the initial states of dreams were loaded from.
    """

    controller: Controller
    folder = Path()

    @property
    def env_name(self) -> str:
        """The environment of `make_env` and `score`, a key of config.ENVIRONMENTS: the one it was made for."""
        _, environments = self.made_for
        return environments[0] if environments else "car_racing"

    def reset(self, seed: int = 0) -> None:
        """Begin an episode: M's state becomes zero. The seed is that of the samples of an agent with `sample_z`."""
        self.h, self.c = np.zeros((2, self.sizes.h), np.float32)
        self.z = np.zeros(self.sizes.z, np.float32)
        self._last_action = np.zeros(self.sizes.actions, np.float32)
        self._input: np.ndarray | None = None  # of M for its next step: [z, action, reward > 0]
        self._noise = rng("latent_noise", seed)

    @cached_property
    def space(self) -> Actions:
        """The actions of the agent's environment."""
        return actions_of(self.env_name)

    def act(self, frame: np.ndarray, reward: float | None = None) -> np.ndarray:
        """The action at the next frame of an episode, as the environment takes it: an integer where it is Discrete.

        Of the car float32 (3,): steering -1..1, gas 0..1, brake 0..1.

        Args:
            frame: uint8 (64, 64, 3), as the environment gave it.
            reward: what the environment gave with that frame; the car's M is conditioned on whether it is positive.
                None: what M expects takes its place. A constant 0 would lead M, and with it the agent, off the road.

        Raises:
            ValueError: the frame or the controller's action has another shape or dtype.
        """
        mu, log_var = self.vae.encode(np.asarray(frame)[None], ROWS)
        noise = self._noise.standard_normal(self.sizes.z, np.float32) if self.sample_z else 0
        if self._input is not None:
            # M computes as many rows as in a RealWorld, whose scores are then those of this agent to the last bit.
            state = (np.pad(array[None], ((0, ROWS - 1), (0, 0))) for array in (self._input, self.h, self.c))
            self.h, self.c = (rows[0] for rows in self.rnn.step(*state))
        self.z = mu[0] + np.exp(log_var[0] / 2) * noise
        action: np.ndarray = self._actions(self.z[None], self.h[None], self.c[None])[0]
        conditioned_on = self._last_action if self.previous_action else action
        if reward is None and self._input is not None:
            modeled = self.rnn.expected_reward(self.h[None])
        else:
            modeled = self.sizes.modeled_reward(np.array([reward or 0.0]))
        self._input = np.concatenate([self.z, conditioned_on, modeled])
        self._last_action = action
        taken: np.ndarray = self.space.taken(action[None])[0]
        return taken

    def _actions(self, z: np.ndarray, h: np.ndarray, c: np.ndarray) -> np.ndarray:
        """The controller's actions, float32 (n, 3), for z (n, 32), h and c (n, 256)."""
        cell = "c" in entry_of(self.env_name).controller_input
        actions = np.asarray(self.controller(z, np.concatenate([h, c], axis=1) if cell else h), np.float32)
        if actions.shape != (len(z), self.sizes.actions):
            raise ValueError(f"the controller gives {actions.shape}, need ({len(z)}, {self.sizes.actions})")
        return actions

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """z (the posterior mean) of one frame or several: uint8 (64, 64, 3), (n, 64, 64, 3) -> float32 (32,), (n, 32).

        Raises:
            ValueError: the frames have another dtype or shape.
        """
        frames = np.asarray(frames)
        several = frames.ndim == 4
        mu, _ = self.vae.encode(frames if several else frames[None], ROWS)
        return mu if several else mu[0]

    def decode(self, z: np.ndarray) -> np.ndarray:
        """The frames of one z or several: floats (32,), (n, 32) -> uint8 (64, 64, 3), (n, 64, 64, 3).

        Raises:
            ValueError: z has another dtype or shape.
        """
        z = np.asarray(z)
        frames = self.vae.decode(np.atleast_2d(z))
        return frames if z.ndim == 2 else frames[0]

    def dream(self, actions: np.ndarray, temperature: float = 1.0, seed: int = 0, from_now: bool = False) -> Dream:
        """Take actions in a dream, which ends early after a lap or after 100 steps without a positive reward.

        Args:
            actions: as the environment takes them: of the car floats (T, 3), which are clipped to their bounds.
            temperature: above zero; above 1 dreams are more uncertain, see RNN.dream.
            seed: of the start and of M's samples; a dream is a function of it, the actions and the temperature.
            from_now: begin at the frame of the last `act`; else at the first frame of a recorded episode.

        Raises:
            ValueError: the actions or the temperature are none, or `from_now` comes before any `act`.
            UserError: the folder has no initial states, or those of another V.
        """
        actions = np.asarray(self.space.numbers(actions), np.float32)
        if actions.ndim != 2 or actions.shape[1] != self.sizes.actions or not np.isfinite(actions).all():
            raise ValueError(f"actions are finite numbers of shape (T, {self.sizes.actions}), not {actions.shape}")
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be above zero, not {temperature}")
        world = single_dream(self, self.folder, temperature, self.env_name)
        world.reset(0, seed)
        if from_now:
            if self._input is None:
                raise ValueError("from_now: there is no frame before the first act of an episode")
            world.continue_from(0, self.z, self.h, self.c, self._input[-1])
        z, rewards = [world.z[0]], []
        for action in actions.clip(self.space.low, self.space.high).astype(np.float32):
            [reward], [done] = world.step(action[None])
            z.append(world.z[0])
            rewards.append(reward)
            if done:
                break
        return Dream(np.stack(z), np.array(rewards, np.float64))

    def make_env(self, render_mode: str | None = None) -> gym.Env:
        """The agent's environment, which truncates an episode after the steps that config.py gives it.

        Args:
            render_mode: None, or "rgb_array" for images by `render`.
        """
        return TimeLimit(make_env(self.env_name, render_mode), config.ENVIRONMENTS[self.env_name].max_length)

    def score(self, env_seeds: Sequence[int]) -> np.ndarray:
        """The scores of whole episodes, float64 (n,), one for each environment seed; up to 16 run side by side."""
        world, max_length = RealWorld(self, self.env_name), config.ENVIRONMENTS[self.env_name].max_length
        policy = FunctionPolicy[RealWorld](lambda world, _: self._actions(world.z, world.h, world.c))
        return np.array([result.score for result in rollout(world, policy, [Task(s, max_length) for s in env_seeds])])


def load_agent(path: Path | str | None = None, controller: Controller | None = None) -> TrainedAgent:
    """Load a trained agent.

    Args:
        path: a folder in which the stages were run, with one controller/*.best.json, or a controller file of stage 05.
            None: the pretrained agent.
        controller: takes the place of C, see Controller; no controller file is then read.

    Raises:
        UserError: a file is missing or damaged, or V, M and C do not belong together.
    """
    path = config.PRETRAINED_DIR if path is None else Path(path)
    folder = folder_of(path) if path.suffix == ".json" else path
    if controller is not None:
        agent = TrainedAgent()
        agent.load(folder)
    else:
        filename = path if path.suffix == ".json" else controller_files.only_controller(folder)
        weights, _, metadata = controller_files.load(filename)
        agent = TrainedAgent(metadata.get("sample_z", 0), metadata.get("previous_action", 0))
        agent.load_for(filename, metadata, folder)
        form = form_of(agent.env_name, agent.space, agent.sizes)
        W, b = arch.unpack(weights[None], form.actions)
        controller = partial(arch.act, W, b, squash=form.squash)
    agent.controller, agent.folder = controller, folder
    agent.reset()
    return agent
