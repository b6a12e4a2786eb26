"""Helpers of the benchmarks: interleaved timing, worker processes, and rows of one table.

The speed of a machine drifts, so no method is timed alone: the methods that do a piece of work run in rotation, and
the ratio is taken within a round.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from pipeline import cli
from pipeline.files import write_json
from simulation.launch import ONE_THREAD


@dataclass(frozen=True)
class Row:
    """A row of the table: our measurement, the one that it is compared with, and their ratio with its range."""

    work: str
    ours: str
    against: str
    theirs: str
    ratio: float  # median over the rounds
    low: float
    high: float
    required: float  # value that the ratio must reach
    goal: float | None = None  # value that it should reach
    is_cost: bool = False  # the ratio is a cost, which must stay below `required`
    unit: str = "×"
    bound: str = ""  # reason for missing the goal, if known

    @property
    def reached(self) -> bool:
        return self._reaches(self.required)

    @property
    def reached_goal(self) -> bool:
        return self._reaches(self.goal or self.required)

    def _reaches(self, value: float) -> bool:
        return self.ratio <= value if self.is_cost else self.ratio >= value

    def markdown(self) -> str:
        sign = "≤" if self.is_cost else "≥"
        required = f"{sign} {_short(self.required)}{self.unit}"
        if self.goal:
            required += f", goal {_short(self.goal)}{self.unit}"
        spread = f"**{_short(self.ratio)}{self.unit}** ({_short(self.low)} … {_short(self.high)})"
        mark = "" if self.reached else " — not reached"
        return f"| {self.work} | {self.ours} | {self.against} | {self.theirs} | {spread} | {required}{mark} |"


def _short(number: float) -> str:
    """A number with two or three significant digits."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def row(
    work: str,
    against: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    unit: str,
    required: float,
    *,
    percent: bool = False,
    is_cost: bool = False,
    goal: float | None = None,
    bound: str = "",
) -> Row:
    """A row from the rates (rounds,) of both in `unit`; with `is_cost` the ratio is one of times, ours to theirs."""
    ratios = (theirs / ours if is_cost else ours / theirs) * (100 if percent else 1)
    ours_text, theirs_text = (f"{_short(float(np.median(rates)))} {unit}" for rates in (ours, theirs))
    numbers = (float(np.median(ratios)), float(ratios.min()), float(ratios.max()))
    return Row(
        work, ours_text, against, theirs_text, *numbers, required, goal, is_cost, " %" if percent else "×", bound
    )


def cost_row(
    work: str,
    against: str,
    ours: Sequence[float] | np.ndarray,
    theirs: Sequence[float] | np.ndarray,
    unit: str,
    required: float,
    *,
    goal: float | None = None,
    bound: str = "",
) -> Row:
    """A row from the costs, such as times, (rounds,) of both in `unit`; the ratio is ours to theirs."""
    our_rates, their_rates = (1 / np.asarray(costs, float) for costs in (ours, theirs))
    result = row(work, against, our_rates, their_rates, unit, required, is_cost=True, goal=goal, bound=bound)
    texts = [f"{_short(float(np.median(costs)))} {unit}" for costs in (ours, theirs)]
    return replace(result, ours=texts[0], theirs=texts[1])


def limit_row(work: str, values: Sequence[float], limit: float, unit: str) -> Row:
    """A row for values (rounds,) in `unit` that have an upper limit but no comparison."""
    numbers = (float(np.median(values)), min(values), max(values))
    return Row(work, f"{_short(numbers[0])}{unit}", "", "", *numbers, limit, is_cost=True, unit=unit)


def speed_section(result: dict) -> str:
    """The Markdown of a recorded benchmark: machine, versions, table, reasons for missed goals, notes."""
    rows = [Row(**fields) for fields in result["rows"]]
    minutes = f"{result['wall_minutes']:.0f} minutes of `{result['command']}`"
    packages = ", ".join(f"{package} {number}" for package, number in result["packages"].items())
    machine = f"{result['processor']}, {result['cores']} cores; Python {result['python']}, {packages}"
    missed = [row for row in rows if not row.reached_goal]
    lines = [
        f"Revision {result['revision']}, {result['date']}, {minutes}.",
        f"{machine}.",
        "",
        "| work | ours | compared with | theirs | ratio | required |",
        "|---|---|---|---|---|---|",
        *(row.markdown() for row in rows),
        "",
    ]
    if missed:
        lines += ["Reasons for missed goals:", ""]
        lines += [f"* {row.work}, {row.against or 'limit'}: {row.bound or 'no reason is known'}." for row in missed]
        lines += [""]
    return "\n".join([*lines, *result["notes"]]).rstrip()


def interleave(methods: dict[str, Callable[[], float]], rounds: int) -> dict[str, np.ndarray]:
    """Call every method once to warm up, then `rounds` times in rotation; returns the values (rounds,) of each."""
    for method in methods.values():
        method()
    values = [[method() for method in methods.values()] for _ in range(rounds)]
    return dict(zip(methods, np.array(values).T, strict=True))


def rate(work: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> float:
    """Units of work per second; `work` does some work and returns its number of units."""
    start = clock()
    done = work()
    return done / (clock() - start)


class WorkerPool:
    """Worker processes that do the same work at the same time, each on one thread.

    Args:
        prepare: a module's function, called in each worker with the worker's number; returns the work, a function that
            returns the number of units done.
        size: number of workers.
    """

    def __init__(self, prepare: Callable[[int], Callable[[], int]], size: int):
        os.environ.update(ONE_THREAD)
        context = multiprocessing.get_context("spawn")
        self.pipes = []
        for number in range(size):
            ours, theirs = context.Pipe()
            context.Process(target=_serve, args=(prepare, number, theirs), daemon=True).start()
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def rate(self, size: int) -> float:
        """Units per second of the first `size` workers together."""
        start = time.perf_counter()
        for pipe in self.pipes[:size]:
            pipe.send("go")
        done = sum(pipe.recv() for pipe in self.pipes[:size])
        return done / (time.perf_counter() - start)


def _serve(prepare: Callable[[int], Callable[[], int]], number: int, pipe: Connection) -> None:
    work = prepare(number)
    work()
    pipe.send("ready")
    with suppress(EOFError):  # the parent has ended
        while True:
            pipe.recv()
            pipe.send(work())


def without_thread_settings() -> dict[str, str]:
    """The environment for a stage started as a user starts it: without the one-thread settings of a benchmark."""
    return {name: value for name, value in os.environ.items() if name not in ONE_THREAD}


# --- a part of the benchmark ------------------------------------------------------------------------------------------
def parse_args(doc: str) -> argparse.Namespace:
    """The command line of one part; `doc` is its docstring."""
    parser = cli.parser(doc)
    parser.add_argument("--json", type=Path, help="also write rows and notes to this file, as bench.py needs them")
    return parser.parse_args()


def report(args: argparse.Namespace, rows: list[Row], notes: list[str] | None = None) -> None:
    """Print the rows and notes of a part, and write them to the --json file if one is given."""
    for line in [*(entry.markdown() for entry in rows), *(notes or [])]:
        print(line, flush=True)
    if args.json:
        write_json(args.json, {"rows": [asdict(entry) for entry in rows], "notes": notes or []})
