"""Factory and checks for the environments and exploration policies named in config.ENVIRONMENTS."""

from collections.abc import Callable
from importlib import import_module

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

import config
from pipeline.errors import UserError
from pipeline.sizes import CAR

# An exploration policy: (step, last action (A,), rng, refresh_rate) -> action, float32 (A,)
Explore = Callable[[int, np.ndarray, np.random.Generator, int], np.ndarray]


def make_env(name: str, render_mode: str | None = None) -> gym.Env:
    """Make the environment `name` of config.ENVIRONMENTS and check that its spaces fit the pipeline.

    Frames must be uint8 (64, 64, 3) and actions float32 (3,): steer -1..1, gas 0..1, brake 0..1.

    Raises:
        UserError: there is no such name, it cannot be made, or its frames or actions have another shape.
    """
    entry = config.ENVIRONMENTS.get(name)
    if entry is None:
        raise UserError(f"unknown environment '{name}': config.py lists {', '.join(config.ENVIRONMENTS)}")
    # Unwrapped: the rollout counts the steps, and Gymnasium's checker and order-enforcing wrapper take a tenth of a
    # step's time; tests run check_env instead.
    try:
        env = gym.make(entry.id, render_mode=render_mode, disable_env_checker=True).unwrapped
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise UserError(f"environment '{name}' (id {entry.id}) cannot be made: {error}") from error
    check_spaces(name, env)
    return env


def try_env(name: str) -> None:
    """Reset and step an environment once and check its frames, before work begins: its spaces may be declared wrongly.

    Raises:
        UserError: as `make_env`, or the frames differ from the declared observation_space.
    """
    env = make_env(name)
    action = np.array(config.ACTION_HIGH, np.float32)
    for method, frame in (("reset", env.reset(seed=0)[0]), ("step", env.step(action)[0])):
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        if found != f"uint8 {config.FRAME_SHAPE}":
            raise UserError(f"environment '{name}': {method}() gives {found}, need uint8 {config.FRAME_SHAPE}")
    env.close()


def check_spaces(name: str, env: gym.Env) -> None:
    """Raise UserError unless frames and actions have the shapes, dtypes and bounds that the networks are built for."""
    missing = [
        space for space in ("observation_space", "action_space") if not isinstance(getattr(env, space, None), Box)
    ]
    if missing:
        raise UserError(f"environment '{name}' has no {missing[0]} that is a gymnasium.spaces.Box")
    frame, action = env.observation_space, env.action_space
    if frame.shape != config.FRAME_SHAPE or frame.dtype != np.uint8:
        found = f"{frame.dtype} {frame.shape}"
        raise UserError(f"environment '{name}': frames are {found}, need uint8 {config.FRAME_SHAPE}")
    assert isinstance(action, Box)
    bounds = (config.ACTION_LOW, config.ACTION_HIGH)
    if action.shape != (CAR.actions,) or not np.array_equal((action.low, action.high), bounds):
        raise UserError(f"environment '{name}': actions are {action}, need Box{bounds} of shape ({CAR.actions},)")


def exploration_policy(name: str) -> Explore:
    """The exploration policy of an environment: (step, last action (A,), rng, refresh_rate) -> action, float32 (A,).

    Raises:
        UserError: the function that config.py names cannot be imported.
    """
    path = config.ENVIRONMENTS[name].explore
    try:
        module, _, function = path.partition(":")
        explore: Explore = getattr(import_module(module), function)
        return explore
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"environment '{name}': explore = '{path}' in config.py cannot be imported: {error}") from None
