"""Factory and checks for the environments and exploration policies named in config.ENVIRONMENTS."""

import warnings
from collections.abc import Callable
from functools import partial

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env

import config
from controller.arch import Form, Squash
from custom_envs.exploration import explore_box, explore_choices
from pipeline.actions import Actions
from pipeline.entries import action_names, entry_of, imported
from pipeline.errors import UserError, first_line
from pipeline.seeds import rng
from pipeline.sizes import Sizes

FPS = 50  # of the car
ADAPTER = "an environment of the old gym needs the adapter custom_envs/legacy_gym.py"
# An exploration policy: (step, last action (A,), rng, refresh_rate) -> action, float32 (A,)
Explore = Callable[[int, np.ndarray, np.random.Generator, int], np.ndarray]


def make_env(name: str, render_mode: str | None = None) -> gym.Env:
    """Make the environment `name` of config.ENVIRONMENTS, in its wrappers, and check that its spaces fit the pipeline.

    Frames must be uint8 (64, 64, 3), and actions a Box of one dimension with finite bounds, or Discrete.

    Raises:
        UserError: there is no such name, it cannot be made, or its frames or actions are others.
    """
    entry = entry_of(name)
    arguments = ({"render_mode": render_mode} if render_mode else {}) | entry.arguments
    # Unwrapped: the rollout counts the steps, and Gymnasium's checker and order-enforcing wrapper take a tenth of a
    # step's time; tests run check_env instead.
    try:
        env = gym.make(entry.id, disable_env_checker=True, **arguments).unwrapped
    except (gym.error.Error, ModuleNotFoundError, TypeError) as error:
        old = f"; {ADAPTER}" if "gymnasium.Env" in str(error) else ""  # of a class that is none
        raise UserError(f"environment '{name}' (id {entry.id}) cannot be made: {first_line(error)}{old}") from error
    for path, arguments in entry.wrappers:
        wrapper = imported(name, "a wrapper", path)
        try:
            env = wrapper(env, **arguments)
        except (AssertionError, TypeError, ValueError) as error:
            raise UserError(f"environment '{name}': {path} does not wrap it: {first_line(error)}") from error
    check_frames(name, env)
    actions_in(name, env)
    return env


def try_env(name: str) -> Actions:
    """Try an environment, and its exploration policy, before work begins: its spaces may be declared wrongly.

    Returns: its actions.

    Raises:
        UserError: as `make_env`; reset or step answers as in the old gym; the frames differ from the declared
            observation_space; Gymnasium's check_env fails; or the exploration policy acts otherwise.
    """
    env = make_env(name)
    actions = actions_in(name, env)
    action = actions.taken(np.array([actions.high], np.float32))[0]
    check_answers(name, env.unwrapped, action)  # without its wrappers, which fail on other answers
    for method, frame in (("reset", env.reset(seed=0)[0]), ("step", env.step(action)[0])):
        found = described(frame)
        if found != f"uint8 {config.FRAME_SHAPE}":
            raise UserError(f"environment '{name}': {method}() gives {found}, need uint8 {config.FRAME_SHAPE}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_env(env, skip_render_check=True, skip_close_check=True)
    except (AssertionError, TypeError, ValueError, gym.error.Error) as error:
        raise UserError(f"environment '{name}' fails Gymnasium's check_env: {first_line(error)}") from None
    env.close()
    explored = np.shape(exploration_policy(name)(0, np.zeros(actions.count, np.float32), rng("exploration", 0), 1))
    if explored != (actions.count,):
        found = f"explore = '{entry_of(name).explore}' in config.py gives actions {explored}"
        raise UserError(f"environment '{name}': {found}, need ({actions.count},)")
    return actions


def check_answers(name: str, env: gym.Env, action: np.ndarray) -> None:
    """Raise UserError unless `reset` takes a seed and returns a pair, and `step` returns five values with a number."""
    try:
        answer: object = env.reset(seed=0)
    except TypeError as error:
        if "seed" not in str(error):
            raise
        raise UserError(f"environment '{name}': reset() takes no seed ({first_line(error)}): {ADAPTER}") from None
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)):
        raise UserError(f"environment '{name}': reset() gives {described(answer)}, need a frame and a dict: {ADAPTER}")
    step: object = env.step(action)
    if not (isinstance(step, tuple) and len(step) == 5):
        found = f"{len(step)} values" if isinstance(step, tuple) else described(step)
        needed = "five: frame, reward, terminated, truncated, info"
        raise UserError(f"environment '{name}': step() gives {found}, need {needed}: {ADAPTER}")
    if not isinstance(step[1], (int, float, np.integer, np.floating)):
        raise UserError(f"environment '{name}': step() gives {described(step[1])} as reward, need a number: {ADAPTER}")


def described(answer: object) -> str:
    """What an environment gave, for an error message."""
    if isinstance(answer, np.ndarray):
        return f"{answer.dtype} {answer.shape}"
    return f"a tuple of {len(answer)}" if isinstance(answer, tuple) else type(answer).__name__


def check_frames(name: str, env: gym.Env) -> None:
    """Raise UserError unless frames have the dtype and the shape that the networks are built for."""
    space = getattr(env, "observation_space", None)
    if not isinstance(space, Box):
        raise UserError(f"environment '{name}' has no observation_space that is a gymnasium.spaces.Box")
    if space.shape != config.FRAME_SHAPE or space.dtype != np.uint8:
        found = f"{space.dtype} {space.shape}"
        raise UserError(f"environment '{name}': frames are {found}, need uint8 {config.FRAME_SHAPE}")


def actions_in(name: str, env: gym.Env) -> Actions:
    """The actions of an environment that was made; UserError if they are of another kind than C can choose."""
    space = getattr(env, "action_space", None)
    if space is None:
        raise UserError(f"environment '{name}' has no action_space")
    first = None
    if isinstance(space, Discrete):
        first, low, high = int(space.start), [0.0] * int(space.n), [1.0] * int(space.n)
    elif isinstance(space, Box) and space.low.ndim == 1 and space.low.dtype.kind == "f" and space.is_bounded():
        low, high = space.low.tolist(), space.high.tolist()
    else:
        needed = "a Box of one dimension, of floats with finite bounds, or a Discrete"
        raise UserError(f"environment '{name}': actions are {space}, need {needed}")
    return Actions(action_names(name, len(low)), tuple(low), tuple(high), first)


def frames_per_second(name: str) -> float:
    """The frames per second at which a person sees an environment, by its metadata; 50 where they do not say."""
    env = make_env(name)
    env.close()
    return float(env.metadata.get("render_fps") or FPS)


def actions_of(name: str) -> Actions:
    """The actions of the environment `name`, which is made for it; UserError as in `make_env`."""
    env = make_env(name)
    actions = actions_in(name, env)
    env.close()
    return actions


def form_of(name: str, actions: Actions, sizes: Sizes) -> Form:
    """The form of the controllers that act in an environment with these actions, and V and M of these sizes.

    Raises:
        UserError: M was trained on other actions, or the squash that config.py names does not give such actions.
    """
    if actions.count != sizes.actions:
        found = f"an action of environment '{name}' is {actions.count} numbers, M was trained on {sizes.actions}"
        raise UserError(f"{found}: give the environment that M was trained in")
    entry = entry_of(name)
    squash: Squash = imported(name, "squash", entry.squash) if entry.squash else actions.squash
    given = np.shape(squash(np.zeros((1, sizes.actions))))
    if given != (1, sizes.actions):
        found = f"squash = '{entry.squash}' in config.py gives {given} for outputs (1, {sizes.actions})"
        raise UserError(f"environment '{name}': {found}")
    return Form(sizes.actions, sizes.z, sizes.h, "c" in entry.controller_input, squash)


def exploration_policy(name: str) -> Explore:
    """The exploration policy of an environment: (step, last action (A,), rng, refresh_rate) -> action, float32 (A,).

    Raises:
        UserError: the function that config.py names cannot be imported.
    """
    path = entry_of(name).explore
    if path:
        explore: Explore = imported(name, "explore", path)
        return explore
    actions = actions_of(name)
    if actions.first is not None:
        return explore_choices
    return partial(explore_box, low=np.array(actions.low), high=np.array(actions.high))
