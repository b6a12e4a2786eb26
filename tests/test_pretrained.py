"""Tests of the shipped agent: it is used where nothing is trained, and it reaches its documented score."""

from collections.abc import Callable
from pathlib import Path

from helpers.scripts import run_script

import config


def test_pretrained_agent_is_the_default_in_an_empty_folder(tmp_path: Path) -> None:
    out = run_script(tmp_path, "model.py", "--final_mode --num_episode 8").stdout.splitlines()
    assert out[0].startswith("no trained agent in this folder: using ")
    assert float(out[-1].split()[0]) > 850  # its minimum over 200 unseen tracks is 896
    original = run_script(tmp_path, "model.py", "car_racing_original --final_mode", ok=False, ORIGINAL_GYM_PYTHON=None)
    assert original.returncode == 2 and "ORIGINAL_GYM_PYTHON" in original.stderr
    assert list(tmp_path.iterdir()) == []


def test_filename_is_required_beside_trained_weights(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae/weights.h5")
    done = run_script(folder, "model.py", "--final_mode", ok=False)
    assert done.returncode == 2
    assert "give --filename" in done.stderr


def test_pretrained_agent_loads_from_any_folder(tmp_path: Path) -> None:
    """V, M and the initial states are found relative to the controller."""
    controller = config.PRETRAINED_DIR / config.CONTROLLER_DIR / config.PRETRAINED
    out = run_script(tmp_path, "model.py", f"--filename {controller} --dream_mode --max_length 20").stdout
    assert "dream score" in out
