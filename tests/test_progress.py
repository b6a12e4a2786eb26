"""Tests of progress in a log file: lines with rate and time left, instead of a bar."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import tqdm

from controller.generation import time_left
from pipeline import cli


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a test moves: tqdm reads `now`."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)
    return clock


def test_a_line_every_half_minute_and_at_the_end(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    with cli.progress(100, "step", "batch 3", initial=20) as bar:
        for _ in range(70):
            clock.now += 2
            bar.set_postfix(loss="0.5", refresh=False)
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" of ")[0] for line in lines] == [f"batch 3: {step}" for step in (35, 50, 65, 80, 90)]
    assert lines[1] == "batch 3: 50 of 100 steps,  2.00s/step, 01:40 left, loss=0.5"


def test_text_between_the_lines_is_not_overwritten(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    with cli.progress(3, "episode") as bar:
        clock.now += 1
        bar.update()
        tqdm.write("a checkpoint", file=sys.stderr)
        clock.now += 60
        bar.update(2)
    printed = capsys.readouterr().err
    assert "\r" not in printed
    assert [line.split(",")[0] for line in printed.splitlines()] == [
        *("a checkpoint", "1 of 3 episodes", "3 of 3 episodes"),
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with cli.progress(3, "episode") as bar:
        assert type(bar) is tqdm


def test_time_left_is_the_pace_of_the_last_five_generations() -> None:
    rows = np.zeros((8, 10))
    rows[:, 1] = 100, 110, 120, 150, 160, 170, 180, 200
    for generation, seconds in ((8, (200 - 120) / 5 * 12), (1, 100 * 19), (5, 160 / 5 * 15)):
        search = SimpleNamespace(rows=rows[:generation], generation=generation)
        assert time_left(search, 20) == pytest.approx(seconds)
