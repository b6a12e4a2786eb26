"""Tests of settings: what is stored is read back, every field is checked, and earlier files and names are accepted."""

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import ClassVar

import pytest
from helpers.settings import obs_settings, rnn_settings, search_settings, training_settings

from pipeline.errors import UserError
from pipeline.files import check_same
from pipeline.settings import Settings, read_settings

EVERY = {
    "obs": obs_settings(controller="c", vae_hash="v", rnn_hash="r", exploration=0.5),
    "rnn": rnn_settings(lengths=[3, 4, 5]),
    "training": training_settings(N=7, init_weights="i"),
    "search": search_settings(versions={"cma": "4"}),
}


@dataclass(frozen=True, kw_only=True)
class Sample(Settings):
    RENAMED: ClassVar = {"size": "count"}

    count: int
    rate: float
    name: str | None = None
    on: bool = False
    sizes: tuple[int, ...] = ()
    versions: dict[str, str]


GOOD = {"count": 3, "rate": 0.5, "versions": {"numpy": "2"}}


@pytest.mark.parametrize("kind", EVERY)
def test_settings_survive_a_file(kind: str) -> None:
    stored = json.loads(json.dumps(asdict(EVERY[kind]), allow_nan=False))
    assert read_settings(type(EVERY[kind]), stored, "it", "") == EVERY[kind]
    assert stored["version"] == 1
    del stored["version"]  # as in the files of version 0.1.0
    assert read_settings(type(EVERY[kind]), stored, "it", "") == EVERY[kind]


@pytest.mark.parametrize("kind", EVERY)
def test_no_field_of_another_type_is_read(kind: str) -> None:
    """A value that no field may have, in each field in turn, and each field that has no default left out."""
    stored = asdict(EVERY[kind])
    for field in fields(EVERY[kind]):
        with pytest.raises(UserError, match=rf"it.*(version|{field.name})"):
            read_settings(type(EVERY[kind]), stored | {field.name: [None]}, "it", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": "3"}, "it: count is '3', need int: do this"),
        ({"count": 3.0}, "count is 3.0, need int"),
        ({"count": True}, "count is True, need int"),
        ({"count": None}, "count is None, need int"),
        ({"rate": "fast"}, "rate is 'fast', need float"),
        ({"rate": float("nan")}, "rate is nan, need float"),
        ({"rate": False}, "rate is False, need float"),
        ({"rate": 10**400}, "rate is 1000"),
        ({"name": 3}, r"name is 3, need str \| None"),
        ({"on": 2}, "on is 2, need bool"),
        ({"sizes": 3}, "sizes is 3, need"),
        ({"sizes": [1, 2.0]}, r"sizes is \[1, 2.0\], need"),
        ({"versions": {"numpy": 2}}, "versions is {'numpy': 2}, need"),
        ({"more": 1, "and": 2}, "it has the unknown setting and, more: do this"),
        ({"version": 2}, "it has settings of version 2, need version 1: do this"),
        ({"version": True}, "version is True, need int"),
        ({"size": 4, "rate": "x"}, "rate"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_settings(Sample, GOOD | changes, "it", "do this")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("saved", [None, [], 3, "text"])
def test_no_settings(saved: object) -> None:
    with pytest.raises(UserError, match="it holds no settings: do this"):
        read_settings(Sample, saved, "it", "do this")


def test_missing_fields_are_named() -> None:
    with pytest.raises(UserError, match="it lacks the setting rate, versions: do this"):
        read_settings(Sample, {"count": 3}, "it", "do this")


def test_an_earlier_name_a_number_for_a_flag_and_an_integer_for_a_float_are_read() -> None:
    old = {"size": 3, "rate": 1, "on": 1, "versions": {}}
    assert read_settings(Sample, old, "it", "") == Sample(count=3, rate=1.0, on=True, versions={})
    assert read_settings(Sample, GOOD | {"size": 4}, "it", "").count == 3  # a file has the name of today


@pytest.mark.parametrize("kind", EVERY)
def test_a_setting_that_differs_is_named_with_both_values(kind: str) -> None:
    settings = EVERY[kind]
    for field in fields(settings):
        other = replace(settings, **{field.name: "another"})
        with pytest.raises(UserError, match=rf"it was made with {field.name} = .*, now it is another: change it back"):
            check_same("it", asdict(settings), asdict(other), "change it back")
    check_same("it", asdict(settings), asdict(replace(settings)), "")
