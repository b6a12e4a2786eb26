"""The entries of config.ENVIRONMENTS: looked up, checked, and the callables that they name imported."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import config
from pipeline.errors import UserError, first_line
from pipeline.sizes import Sizes

REWARDS = ("positive", "value")
CONTROLLER_INPUTS = (("z", "h"), ("z", "h", "c"))


def entry_of(name: str) -> config.Environment:
    """The entry of an environment; UserError if there is none, or if one of its values is impossible."""
    entry = config.ENVIRONMENTS.get(name)
    if entry is None:
        raise UserError(f"unknown environment '{name}': config.py lists {', '.join(config.ENVIRONMENTS)}")
    for field in ("z", "h", "mixtures", "max_length"):
        if getattr(entry, field) < 1:
            raise UserError(f"environment '{name}': {field} = {getattr(entry, field)} in config.py, need at least 1")
    if not 0 < entry.pixel_variance < float("inf"):
        raise UserError(f"environment '{name}': pixel_variance = {entry.pixel_variance} in config.py, need above 0")
    for field, values in (("reward", REWARDS), ("controller_input", CONTROLLER_INPUTS)):
        if getattr(entry, field) not in values:
            found, needed = getattr(entry, field), " or ".join(map(repr, values))
            raise UserError(f"environment '{name}': {field} = {found!r} in config.py, need {needed}")
    if entry.reward == "value" and not entry.dream_reward[0]:
        raise UserError(f"environment '{name}': dream_reward = {entry.dream_reward} in config.py, but M divides by it")
    return entry


def are_variants(one: str, other: str) -> bool:
    """Whether two environments are one, or their entries differ in the id alone, as CarRacing in other colors."""
    first, second = (config.ENVIRONMENTS.get(name) for name in (one, other))
    return one == other or (first is not None and second is not None and replace(first, id=second.id) == second)


def check_car(what: str, name: str) -> None:
    """Raise UserError unless an environment is the car: `what` is made for it alone."""
    if not are_variants("car_racing", name):
        raise UserError(f"{what} is made for the car alone: {name} has other actions and rules")


def check_env(what: str, made_for: Sequence[str] | None, name: str, remedy: str) -> None:
    """Check that a file which was made for some environments may be used for another.

    Args:
        what: the file.
        made_for: None: not stated, in a file of an earlier version.

    Raises:
        UserError: none of them is `name` or a variant of it.
    """
    if made_for and not any(are_variants(each, name) for each in made_for):
        raise UserError(f"{what} is of environment {' and '.join(made_for)}, not of {name}: {remedy}")


def action_names(name: str, count: int) -> tuple[str, ...]:
    """What figures call the numbers of an action: what the entry says, or by number; UserError if it says too few."""
    names = entry_of(name).actions or tuple(f"action {i}" for i in range(count))
    if len(names) != count:
        raise UserError(f"environment '{name}': actions = {names} in config.py, but an action is {count} numbers")
    return names


def sizes_for(name: str, actions: int, z: int | None = None) -> Sizes:
    """The sizes of V and M by the entry of an environment.

    Args:
        actions: numbers of an action.
        z: latent dimensions of a trained V; None: the entry's.
    """
    entry = entry_of(name)
    reward = entry.dream_reward if entry.reward == "value" else None
    return Sizes(z or entry.z, actions, entry.h, entry.mixtures, entry.done, reward)


def imported(name: str, field: str, path: str) -> Any:
    """The callable "module:function" that a field of the entry `name` names; UserError if it cannot be imported."""
    module, _, function = path.partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        what = f"environment '{name}': {field} = '{path}' in config.py cannot be imported"
        raise UserError(f"{what}: {first_line(error)}") from None
