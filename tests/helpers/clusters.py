"""Searches that the recipes of recipes/cluster/ run: a size that takes seconds, their output, and their results."""

import os
import re
import shutil
from pathlib import Path

import pytest

from helpers.hosts import wait_for
from helpers.scripts import LIMIT, ROOT

RECIPES = ROOT / "recipes" / "cluster"
# Enough generations that a run is not over when a test stops it after the second.
SEARCH_FLAGS = "car_racing -n 2 -t 2 -e 1 --max_length 30 --eval_steps 4 --eval_episode 2 --subspace 4 --generations 24"
SAYS_WHAT_IS_SAVED = re.compile(
    r"05_train_controller.py: stopped; \d+ generations are saved in \S+; run the same command to resume$", re.MULTILINE
)


def needs(*programs: str, root: bool = False) -> pytest.MarkDecorator:
    """Skips tests where a program is missing, or the .venv that the recipes run, or root."""
    missing = [program for program in programs if shutil.which(program) is None]
    if root and os.geteuid() != 0:
        missing.append("root")
    if not (ROOT / ".venv/bin/python").exists():
        missing.append(".venv, by `make setup`")
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def rows_of(output: Path) -> list[str]:
    """The rows of generations that a search has printed."""
    return re.findall(r"^car_racing \(\d+,.*$", output.read_text(), re.MULTILINE) if output.exists() else []


def wait_for_rows(output: Path, count: int) -> None:
    """Wait until a search has printed so many rows of generations."""
    wait_for(lambda: len(rows_of(output)) >= count, LIMIT)


def ranks_of(output: Path) -> list[int]:
    """The pids of the ranks that have written an output, those of all runs if it holds several."""
    return [int(pid) for pid in re.findall(r"^rank \d+ = pid (\d+) on ", output.read_text(), re.MULTILINE)]


def results(folder: Path) -> dict[str, bytes]:
    """The controllers of a folder: weights, score and hashes."""
    return {path.name: path.read_bytes() for path in (folder / "controller").glob("*.json")}
