"""Comparison of our CarRacing with the original CarRacing-v0 (gym 0.17.2, OpenGL) on the same tracks and actions.

golden/original.npz holds some of v0's frames (written by original/scenes.py), so that the comparison runs everywhere.
If v0 is installed (original/install.sh), every frame is compared.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import LIMIT, command, environment, run_script
from original.scenes import GOLDEN, KEPT, replay_original

from custom_envs.car_racing import CarRacing

ABOVE_BAR = slice(0, 56)  # rows; v0 also draws the score onto the bar


@cache
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@cache
def ours(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames and rewards of a scene: (steps + 1, 64, 64, 3) uint8, (steps,)."""
    env = CarRacing()
    frames, rewards = [env.reset(seed=int(golden()[f"{name}_seed"]))[0]], []
    for action in golden()[f"{name}_tape"]:
        frame, reward, *_ = env.step(action)
        frames.append(frame)
        rewards.append(reward)
    return np.stack(frames), np.array(rewards)


def agreement(frames: np.ndarray, others: np.ndarray) -> float:
    """Share of the pixels above the bar whose colors differ by at most 3 of 255."""
    near = np.abs(frames.astype(int) - others).max(axis=-1) <= 3
    return near[:, ABOVE_BAR].mean()


@pytest.fixture(scope="module")
def original() -> dict[str, np.ndarray]:
    """All frames and rewards of v0, computed now."""
    if not os.environ.get("ORIGINAL_GYM_PYTHON"):
        pytest.skip("set ORIGINAL_GYM_PYTHON to the Python that tests/original/install.sh installs")
    if not shutil.which("xvfb-run"):
        pytest.skip("xvfb-run is not installed: apt install xvfb xauth")
    return replay_original(GOLDEN)


@pytest.mark.parametrize("name", KEPT)
def test_golden_frames_and_rewards(name: str) -> None:
    frames, rewards = ours(name)
    share = agreement(frames[golden()[f"{name}_kept"]], golden()[f"{name}_frames"])
    print(f"{name}: {share:.4f} of the pixels agree")
    assert share >= 0.99
    np.testing.assert_allclose(rewards, golden()[f"{name}_rewards"], rtol=0, atol=1e-9)


def test_comparison_detects_another_camera_and_another_track() -> None:
    frames, _ = ours("corner")
    kept = golden()["corner_kept"]
    assert agreement(frames[kept - 1], golden()["corner_frames"]) < 0.99
    assert agreement(frames[kept], golden()["grass_frames"][[0] * len(kept)]) < 0.9


def test_scenes_cover_corner_grass_and_spin() -> None:
    tiles = {name: int((ours(name)[1] > 0).sum()) for name in KEPT}
    assert tiles["corner"] > 30  # follows the road
    for name in ("grass", "spin"):
        assert (ours(name)[1][-20:] < 0).all()  # off the road
    assert agreement(ours("spin")[0][90:91], ours("spin")[0][120:121]) < 0.9


@pytest.mark.parametrize("name", KEPT)
def test_all_frames_and_rewards(name: str, original: dict[str, np.ndarray]) -> None:
    frames, rewards = ours(name)
    share = agreement(frames, original[f"{name}_frames"])
    print(f"{name}: {share:.4f} of the pixels agree, {len(frames)} frames")
    assert share >= 0.99
    np.testing.assert_array_equal(rewards, original[f"{name}_rewards"])
    # The golden file holds v0's frames.
    kept = golden()[f"{name}_kept"]
    np.testing.assert_array_equal(original[f"{name}_frames"][kept], golden()[f"{name}_frames"])


# --- as an environment of the pipeline --------------------------------------------------------------------------------
DISPLAY = 'xvfb-run -a -s "-screen 0 1400x900x24"'


def test_exploration_policy_scores_the_same_in_the_original(
    original: dict[str, np.ndarray], copy_of: Callable[..., Path]
) -> None:
    """The exploration policy ignores the frames, which differ slightly, so the scores are equal."""
    folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")
    arguments = "--generate_data_mode --final_mode --num_episode 1 --max_length 60"
    display = shlex.split(DISPLAY)
    done = subprocess.run(
        [*display, *command("model.py", "car_racing_original", arguments)],
        **{"cwd": folder, "env": environment(), "capture_output": True, "text": True, "timeout": 2 * LIMIT},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == run_script(folder, "model.py", "car_racing", arguments).stdout


@pytest.mark.parametrize("python", [None, "/nowhere/python", sys.executable])
def test_error_without_the_original_names_the_remedy(copy_of: Callable[..., Path], python: str | None) -> None:
    """The variable is not set; its Python is missing; its Python has no gym 0.17.2."""
    folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")
    arguments = "car_racing_original --generate_data_mode --max_length 5"
    done = run_script(folder, "model.py", arguments, ok=False, ORIGINAL_GYM_PYTHON=python)
    assert done.returncode == 2
    assert "sh tests/original/install.sh original-gym" in done.stderr
    assert "Traceback" not in done.stderr
