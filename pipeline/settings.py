"""Settings of what a stage makes: frozen dataclasses with a version, stored as json, read by one checked function."""

import math
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from pipeline.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: `dataclasses.asdict` is what is stored, `read_settings` reads it.

    A field is an int, float, bool or str, an optional one of these, a tuple of one of these, or a dict of them by name.
    `version` rises when a field changes its meaning; files without one are of version 1.
    """

    RENAMED: ClassVar[dict[str, str]] = {}  # earlier names of fields, still found in files -> names of today
    REMOVED: ClassVar[tuple[str, ...]] = ()  # names of earlier fields, still found in files, whose values are ignored

    version: int = 1


S = TypeVar("S", bound=Settings)


def read_settings(cls: type[S], saved: object, where: str, remedy: str) -> S:
    """The settings that `asdict` stored as json, with the type of every field checked.

    Args:
        where: the file, for the error message.
        remedy: what to do about wrong settings, for the error message.

    Raises:
        UserError: they are of another version, a field is missing or unknown, or a value is of another type.
    """
    if not isinstance(saved, dict):
        raise UserError(f"{where} holds no settings: {remedy}")
    values = {name: value for name, value in saved.items() if name not in (*cls.RENAMED, *cls.REMOVED)}
    for old, name in cls.RENAMED.items():
        if old in saved:
            values.setdefault(name, saved[old])
    if values.get("version", 1) != cls.version:
        raise UserError(f"{where} has settings of version {values['version']}, need version {cls.version}: {remedy}")
    types, required = _types(cls), {field.name for field in fields(cls) if field.default is MISSING}
    for what, names in (("lacks the", required - values.keys()), ("has the unknown", values.keys() - types.keys())):
        if names:
            raise UserError(f"{where} {what} setting {', '.join(sorted(map(str, names)))}: {remedy}")
    for name, value in values.items():
        try:
            values[name] = _converted(types[name], value)
        except (TypeError, OverflowError):
            expected = getattr(types[name], "__name__", str(types[name]))
            raise UserError(f"{where}: {name} is {repr(value)[:60]}, need {expected}: {remedy}") from None
    return cls(**values)


def _types(cls: type[Settings]) -> dict[str, Any]:
    """Field name -> type."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _converted(hint: Any, value: object) -> object:
    """A json value as the type `hint`; TypeError if it is of another type, OverflowError if it is too large."""
    if get_origin(hint) is UnionType:
        [other] = [each for each in get_args(hint) if each is not NoneType]
        return None if value is None else _converted(other, value)
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(_converted(get_args(hint)[0], each) for each in value)
    if get_origin(hint) is dict and isinstance(value, dict):
        return {_converted(str, name): _converted(get_args(hint)[1], each) for name, each in value.items()}
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if hint is bool and type(value) is int and value in (0, 1):  # as version 0.1.0 wrote some of them
        return bool(value)
    if type(value) is hint and hint is not float:
        return value
    raise TypeError
