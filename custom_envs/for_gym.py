"""Adapter that registers our environments with gym 0.26, Gymnasium's predecessor, under the same ids.

    import gym
    env = gym.make("custom_envs:WorldModels/CarRacing-v0")

gym 0.26 already has Gymnasium's reset and step, but requires its own base class and spaces. Its environment checker
fails on NumPy 2, so the environments are registered without it.
"""

from typing import Any, ClassVar

import gym
import gymnasium
from gymnasium.envs.box2d.car_racing import FPS


class LegacyEnv(gym.Env):
    """A Gymnasium environment as a gym.Env.

    Args:
        gymnasium_id: the id under which it is registered with Gymnasium.
        render_mode: None or "rgb_array".
        kwargs: the environment's other arguments, such as `size`.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["rgb_array"],
        "render_fps": FPS,
    }  # gym reads it from the class

    def __init__(self, gymnasium_id: str, render_mode: str | None = None, **kwargs: Any) -> None:
        made: Any = gymnasium.make(gymnasium_id, render_mode=render_mode, disable_env_checker=True, **kwargs)
        self._env, self.render_mode = made.unwrapped, render_mode
        seen, taken = self._env.observation_space, self._env.action_space
        self.observation_space = gym.spaces.Box(seen.low, seen.high, seen.shape, seen.dtype)
        self.action_space = gym.spaces.Box(taken.low, taken.high, taken.shape, taken.dtype)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        return self._env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return self._env.step(action)

    def render(self) -> Any:
        return self._env.render()

    def close(self) -> None:
        self._env.close()


def register(gymnasium_id: str, max_episode_steps: int | None = None) -> None:
    """Register an environment with gym under its Gymnasium id; None: episodes have no step limit."""
    gym.register(
        gymnasium_id,
        LegacyEnv,
        max_episode_steps=max_episode_steps,
        kwargs={"gymnasium_id": gymnasium_id},
        disable_env_checker=True,
    )
