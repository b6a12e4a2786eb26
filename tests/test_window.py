"""Tests of the window as the scripts open it, in a process of its own beside TensorFlow."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.scripts import LIMIT, SEARCH, command, environment
from test_viewer import run, run_on_display

WINDOW = """
import multiprocessing, sys, time
import numpy as np
from pipeline import networks as nets
from display.window import open_window
from pipeline.errors import UserError

nets.tf.reduce_sum(nets.tf.ones(3))

def appears(color):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        file = np.fromfile(sys.argv[1], np.uint8)
        header = file[:100].view(">u4")
        pixels = file[header[0] + 12 * header[19]:].reshape(900, 1400, 4)[..., 2::-1]
        if (pixels == color).all(axis=-1).sum() == 120 * 80:
            return True
        time.sleep(0.01)

with open_window("--flag", 120, 80) as show:
    for color in ((12, 200, 77), (90, 3, 250)):
        show(np.full((40, 60, 3), color, np.uint8))
        assert appears(color)
"""
KILL = """
    [window] = multiprocessing.active_children()
    window.kill()
    try:
        show(np.zeros((40, 60, 3), np.uint8))
    except UserError as error:
        print(error)
"""
AFTER = """
assert not multiprocessing.active_children()
print("done")
"""


@pytest.mark.parametrize(("action", "message"), [("", ""), (KILL, "--flag: the window's process has died\n")])
def test_window_beside_tensorflow(action: str, message: str, tmp_path: Path) -> None:
    done = run_on_display(WINDOW + action + AFTER, tmp_path)
    assert done.stdout == f"{message}done\n", done.stderr


def test_error_without_a_display_names_the_flag() -> None:
    program = """
from display.window import open_window
from pipeline.errors import UserError
try:
    with open_window("--flag"):
        pass
except UserError as error:
    print(error)
"""
    printed = run(program).stdout
    assert printed.startswith("--flag: no window can be opened") and "xvfb-run" in printed


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("01_generate_data.py", "car_racing --total_episodes 1 --time_steps 20 --render 1", "batches 0..0 in data/"),
        (
            "model.py",
            f"car_racing --filename controller/{SEARCH}.best.json --max_length 20 --render_mode",
            "in 20 steps",
        ),
    ],
)
def test_scripts_that_open_a_window(script: str, arguments: str, message: str, copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller")
    if not shutil.which("xvfb-run"):
        pytest.skip("xvfb-run is not installed: apt install xvfb xauth libgl1-mesa-dri")
    on_display = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", *command(script, arguments)]
    done = subprocess.run(on_display, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert message in done.stdout
