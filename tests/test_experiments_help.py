"""Tests of --help and of a Python without the project, for every script of experiments/ but the baselines."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.scripts import ROOT, run_script, snapshot

MODULES = ("__init__.py", "study.py", "measure.py", "driver.py", "timed_stage.py")  # imported, never started
SCRIPTS = ["hub.py", "readme_images.py", "report.py", "results.py", "ship.py"]
SCRIPTS += [
    f"{folder}/{path.name}"
    for folder in ("benchmarks", "studies")
    for path in sorted((ROOT / "experiments" / folder).glob("*.py"))
    if path.name not in MODULES
]


def test_all_scripts_are_found() -> None:
    assert len(SCRIPTS) == 21


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_prints_the_usage_and_does_no_work(script: str, tmp_path: Path) -> None:
    before = snapshot(ROOT / "docs" / "results")
    printed = run_script(tmp_path, f"experiments/{script}", "--help").stdout
    assert printed.startswith(f"usage: {Path(script).name} [-h]")
    assert f"python experiments/{script}" in printed
    assert not list(tmp_path.iterdir())
    assert snapshot(ROOT / "docs" / "results") == before


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_python_without_the_project_ends_in_one_line(script: str, tmp_path: Path) -> None:
    """Python's -S leaves out site-packages, and with them the project and its requirements."""
    command = [sys.executable, "-S", ROOT / "experiments" / script, "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and done.stdout == ""
    assert (
        done.stderr
        == "No module named 'pipeline': run `make setup`, start this with .venv/bin/python, without PYTHONPATH\n"
    )
