"""Adapter of environments with the interface of the old gym, up to 0.25, for Gymnasium and with it for the stages.

Their `reset` takes no seed and returns a frame alone, and their `step` returns four values. An entry of config.py:

    ENVIRONMENTS["my_old_game"] = Environment(
        id="custom_envs:WorldModels/LegacyGym-v0", arguments={"maker": "my_package.my_game:MyOldGame"}
    )

Neither gym nor its spaces are imported: an environment that subclasses gym.Env needs an installed gym itself.
"""

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class LegacyGym(gym.Env):
    """An environment of the old gym with Gymnasium's interface.

    A seed decides an episode as far as the environment has `seed`, or a `reset` that takes one.

    Args:
        maker: "module:function" or "module:Class" that makes it.
        render_mode: None, or "rgb_array".
        kwargs: of the maker.

    Raises:
        TypeError: its spaces are neither Box nor Discrete.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(self, maker: str, render_mode: str | None = None, **kwargs: Any) -> None:
        module, _, name = maker.partition(":")
        self.render_mode, self._env = render_mode, getattr(import_module(module), name)(**kwargs)
        self.observation_space = _converted(self._env.observation_space)
        self.action_space = _converted(self._env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; returns its first frame and a dict."""
        super().reset(seed=seed)
        arguments = {}
        if seed is not None and _takes(self._env.reset, "seed"):
            arguments = {"seed": seed}
        elif seed is not None and hasattr(self._env, "seed"):
            self._env.seed(seed % 2**32)  # many take no more bits
        answer = self._env.reset(**arguments)
        return answer if isinstance(answer, tuple) else (answer, {})

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action; an end that `info` calls TimeLimit.truncated is a truncation."""
        frame, reward, *ends, info = self._env.step(action)
        if len(ends) == 1:
            truncated = ends[0] and info.get("TimeLimit.truncated", False)
            ends = [ends[0] and not truncated, truncated]
        terminated, truncated = map(bool, ends)
        return frame, np.asarray(reward, np.float64).item(), terminated, truncated, info

    def render(self) -> Any:
        """The environment's image, uint8 (height, width, 3)."""
        return self._env.render("rgb_array") if _takes(self._env.render, "mode") else self._env.render()

    def close(self) -> None:
        self._env.close()


def _takes(method: Callable[..., Any], name: str) -> bool:
    return name in signature(method).parameters


def _converted(space: Any) -> spaces.Space:
    """A space of gym as one of Gymnasium."""
    if hasattr(space, "low"):
        return spaces.Box(space.low, space.high, space.shape, space.dtype)
    if hasattr(space, "n"):
        return spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
    raise TypeError(f"{space} is neither a Box nor a Discrete")
