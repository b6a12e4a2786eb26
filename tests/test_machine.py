"""Tests of cores, disk and environment: what a script says when the machine lacks something that it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.scripts import ROOT, environment, run_script
from helpers.settings import batch_settings
from test_batches import episodes

from pipeline import cli
from pipeline.batches import batch_bytes, write_batch

SCRIPTS = (
    *("01_generate_data.py", "02_train_vae.py", "03_generate_rnn_data.py", "04_train_rnn.py", "05_train_controller.py"),
    *("model.py", "experiments/report.py", "experiments/baselines/random_car_racing.py"),
    *("experiments/baselines/dqn_cartpole.py", "experiments/baselines/dqn_car_racing.py"),
    "experiments/baselines/dqn_snake.py",
    *("experiments/baselines/ga_car_racing.py", "experiments/studies/compare.py", "experiments/benchmarks/bench.py"),
)


def test_cores_without_an_affinity_are_all_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no sched_getaffinity."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cli.cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cli.cores() == 1


def test_cores_are_those_that_this_process_may_use() -> None:
    if not hasattr(os, "sched_getaffinity"):
        assert cli.cores() == os.cpu_count()
        return
    one = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, {{{one}}}); from pipeline import cli; print(cli.cores())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_01_says_how_much_disk_it_needs(tmp_path: Path) -> None:
    out = run_script(
        tmp_path, "01_generate_data.py", "car_racing --total_episodes 2 --time_steps 20 --num_worker 1"
    ).stdout
    assert "disk: 0.0 GB needed, " in out


def test_01_refuses_what_the_disk_cannot_hold(tmp_path: Path) -> None:
    arguments = "car_racing --total_episodes 65536 --batch_size 65536 --time_steps 1000000000"
    done = run_script(tmp_path, "01_generate_data.py", arguments, ok=False)
    assert done.returncode == 2
    assert "error: not enough disk in " in done.stderr and " GB needed, " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_bytes_of_a_batch_are_those_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("obs", "rnn"):
        settings = batch_settings(kind)
        write_batch(kind, 0, 3, 5, episodes(kind, 3), settings)
        files = [path for path in (tmp_path / "data").glob("*.npy") if path.name.startswith("rnn_") == (kind == "rnn")]
        assert batch_bytes(settings, 3, 5) == sum(path.stat().st_size - 128 for path in files)  # 128: a header of NumPy


@pytest.mark.parametrize("module", ["config", "pipeline"])
def test_a_module_of_other_work_is_named(tmp_path: Path, module: str) -> None:
    """PYTHONPATH comes before the project for the scripts of experiments/."""
    (tmp_path / f"{module}.py").write_text("")
    done = run_script(tmp_path, "experiments/report.py", "--help", ok=False, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert f"{tmp_path}/{module}.py" in line and "PYTHONPATH" in line


@pytest.mark.parametrize("name", SCRIPTS)
def test_outside_the_environment_one_line_says_what_is_missing(name: str, tmp_path: Path) -> None:
    """-S leaves out site-packages: nothing of the environment can be imported, nor this project's editable install."""
    done = subprocess.run(
        [sys.executable, "-S", ROOT / name, "--help"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("No module named ") and "make setup" in done.stderr
