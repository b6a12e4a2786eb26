"""The driver that comes with the project: it drives where nothing else does, and as well as it is said to."""

from collections.abc import Callable
from pathlib import Path

from conftest import run_script

import config


def test_where_nothing_is_trained_the_pretrained_driver_drives(tmp_path: Path) -> None:
    out = run_script(tmp_path, "model.py", "--final_mode --num_episode 8").stdout.splitlines()
    assert out[0].startswith("nothing is trained here: ")
    assert float(out[-1].split()[0]) > 850  # its worst track of 200 has 896
    original = run_script(tmp_path, "model.py", "car_racing_original --final_mode", ok=False, ORIGINAL_GYM_PYTHON=None)
    assert original.returncode == 2 and "ORIGINAL_GYM_PYTHON" in original.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_something_is_trained_a_driver_must_be_named(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae/weights.h5")
    done = run_script(folder, "model.py", "--final_mode", ok=False)
    assert done.returncode == 2
    assert "give --filename" in done.stderr


def test_the_pretrained_driver_can_be_named_from_anywhere(tmp_path: Path) -> None:
    """V and M are found beside it, and so is where its dreams begin."""
    driver = config.PRETRAINED_DIR / config.CONTROLLER_DIR / config.PRETRAINED
    out = run_script(tmp_path, "model.py", f"--filename {driver} --dream_mode --max_length 20").stdout
    assert "dreamt score" in out
