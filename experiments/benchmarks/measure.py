"""What the benchmarks share: taking turns, workers beside each other, and rows of one table.

Timings on a machine drift, so nothing is timed alone: the ways to do a piece of work take turns in one run, and what is
compared is the ratio within a round.
"""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)


@dataclass(frozen=True)
class Row:
    """A line of the table: ours beside somebody's, and their ratio with its range over the rounds."""

    work: str
    ours: str
    against: str
    theirs: str
    ratio: float
    low: float
    high: float
    least: float  # what the ratio must reach
    goal: float | None = None  # what it should reach
    most: bool = False  # the ratio is a cost: it must stay below `least`
    unit: str = "×"
    bound: str = ""  # what keeps it from its goal

    @property
    def reached(self) -> bool:
        return self._comes_to(self.least)

    @property
    def reached_goal(self) -> bool:
        return self._comes_to(self.goal or self.least)

    def _comes_to(self, wanted: float) -> bool:
        return self.ratio <= wanted if self.most else self.ratio >= wanted

    def markdown(self) -> str:
        sign = "≤" if self.most else "≥"
        wanted = f"{sign} {_short(self.least)}{self.unit}"
        if self.goal:
            wanted += f", goal {_short(self.goal)}{self.unit}"
        spread = f"**{_short(self.ratio)}{self.unit}** ({_short(self.low)} … {_short(self.high)})"
        mark = "" if self.reached else " — not reached"
        return f"| {self.work} | {self.ours} | {self.against} | {self.theirs} | {spread} | {wanted}{mark} |"


def _short(number: float) -> str:
    """Two or three digits that matter."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def row(
    work: str,
    against: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    unit: str,
    least: float,
    *,
    percent: bool = False,
    most: bool = False,
    goal: float | None = None,
    bound: str = "",
) -> Row:
    """A row from rates (rounds,) of both, in `unit`; with `most` the ratio is of times: what ours takes of theirs."""
    ratios = (theirs / ours if most else ours / theirs) * (100 if percent else 1)
    ours_text, theirs_text = (f"{_short(float(np.median(rates)))} {unit}" for rates in (ours, theirs))
    numbers = (float(np.median(ratios)), float(ratios.min()), float(ratios.max()))
    return Row(work, ours_text, against, theirs_text, *numbers, least, goal, most, " %" if percent else "×", bound)


def take_turns(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, np.ndarray]:
    """Call every way once to warm up and then `rounds` times, in turns; returns what they said, (rounds,) each."""
    for way in ways.values():
        way()
    values = [[way() for way in ways.values()] for _ in range(rounds)]
    return dict(zip(ways, np.array(values).T, strict=True))


def rate(work: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> float:
    """Units of work a second; `work` does some and says how many."""
    start = clock()
    done = work()
    return done / (clock() - start)


class Crew:
    """Worker processes that do the same work at the same time, each on one thread: `prepare` returns that work.

    prepare: a function of a module, called in each worker with its number; returns a function -> units done.
    """

    def __init__(self, prepare: Callable[[int], Callable[[], int]], size: int):
        os.environ.update(ONE_THREAD)
        context = multiprocessing.get_context("spawn")
        self.pipes = []
        for number in range(size):
            ours, theirs = context.Pipe()
            context.Process(target=_work_on, args=(prepare, number, theirs), daemon=True).start()
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def rate(self, size: int) -> float:
        """Units a second of the first `size` workers together."""
        start = time.perf_counter()
        for pipe in self.pipes[:size]:
            pipe.send("go")
        done = sum(pipe.recv() for pipe in self.pipes[:size])
        return done / (time.perf_counter() - start)


def _work_on(prepare: Callable[[int], Callable[[], int]], number: int, pipe: object) -> None:
    work = prepare(number)
    work()
    pipe.send("ready")
    with suppress(EOFError):  # the end of who asked
        while True:
            pipe.recv()
            pipe.send(work())


def report(rows: list[Row], notes: list[str] | None = None) -> None:
    """Print rows for a person; and for bench.py, which asks for them by BENCH_ROWS, into that file."""
    for line in [*(entry.markdown() for entry in rows), *(notes or [])]:
        print(line, flush=True)
    if "BENCH_ROWS" in os.environ:
        content = {"rows": [asdict(entry) for entry in rows], "notes": notes or []}
        Path(os.environ["BENCH_ROWS"]).write_text(json.dumps(content))
