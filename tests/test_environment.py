"""Tests of the environment in other projects: installed alone, and with Gymnasium's wrappers and other libraries."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, RecordVideo
from helpers.scripts import LIMIT, ROOT, environment

from custom_envs.car_racing import CarRacing
from simulation.environments import make_env

ID = "custom_envs:WorldModels/CarRacing-v0"
# What a wheel of gymnasium[box2d], NumPy and OpenCV brings along, and nothing of this project's other requirements.
ALLOWED = ("gymnasium", "Box2D", "pygame-ce", "numpy", "opencv-python-headless", "cloudpickle", "typing_extensions")
ALLOWED += ("Farama-Notifications",)
PROGRAM = f"""
import json, sys
import gymnasium as gym
import numpy as np
env = gym.make({ID!r})
frame, _ = env.reset(seed=3)
total = 0.0
for _ in range(50):
    frame, reward, *_ = env.step(np.array([0.1, 1, 0], np.float32))
    total += reward
print(json.dumps([total, frame.sum().item(), sorted({{m.partition(".")[0] for m in sys.modules}})]))
"""
BLOCK = re.compile(r"(?:<!-- (\S+) -->\n)?```python\n(.*?)```", re.DOTALL)


def needs(module: str, extra: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is missing: pip install -e '.[{extra}]'")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new virtual environment that has ALLOWED and a wheel of this project, made without a network."""
    folder = tmp_path_factory.mktemp("bare")
    source, venv = folder / "source", folder / "venv"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.py", "model.py"):
        shutil.copy(ROOT / name, source)
    for name in ("custom_envs", "pipeline"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--quiet"]
    wheel = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, source]
    for command in (wheel, [sys.executable, "-m", "venv", "--without-pip", venv]):
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)
    [packages] = venv.glob("lib/python*/site-packages")
    for name in ALLOWED:
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            (packages / top).symlink_to(installed.locate_file(top))
    install = [*pip, "--python", venv / "bin" / "python", "install", *offline, *folder.glob("*.whl")]
    subprocess.run(install, check=True, capture_output=True, timeout=LIMIT)
    return venv / "bin" / "python"


def test_the_wheel_ships_the_environments_alone(bare: Path) -> None:
    [packages] = bare.parents[1].glob("lib/python*/site-packages")
    own = {path.name for path in packages.iterdir() if not path.is_symlink()} - {"__pycache__"}
    assert {re.sub(r"-.*\.dist-info", "", name) for name in own} == {"custom_envs", "world_models_staged"}
    assert {path.name for path in (packages / "custom_envs").glob("*.py")} == {
        path.name for path in (ROOT / "custom_envs").glob("*.py")
    }


def test_it_drives_in_an_environment_that_has_nothing_else(bare: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [bare, "-c", PROGRAM], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    total, pixels, modules = json.loads(done.stdout.splitlines()[-1])
    env = CarRacing()
    env.reset(seed=3)
    steps = [env.step(np.array([0.1, 1, 0], np.float32)) for _ in range(50)]
    assert total == sum(reward for _, reward, *_ in steps) and pixels == steps[-1][0].sum()
    assert not {"config", "pipeline", "simulation", "h5py", "tensorflow", "cma"} & set(modules)
    missing = subprocess.run([bare, "-c", "import config"], cwd=tmp_path, env=environment(), capture_output=True)
    assert missing.returncode == 1


def test_an_idle_episode_ends_after_1000_steps_and_the_stages_set_their_own_limit() -> None:
    env = RecordEpisodeStatistics(gym.make(ID))
    env.reset(seed=3)
    truncated, info = False, {}
    for steps in range(1, 1001):
        _, _, terminated, truncated, info = env.step(np.zeros(3, np.float32))
        assert not terminated and truncated == (steps == 1000)
    assert info["episode"]["l"] == 1000 and info["episode"]["r"] < 0
    assert gym.make(ID, max_episode_steps=7).spec.max_episode_steps == 7
    assert isinstance(make_env("car_racing"), CarRacing)  # no wrapper


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_vector_environment_steps_as_single_ones(mode: str) -> None:
    envs = gym.make_vec(ID, num_envs=2, vectorization_mode=mode)
    try:
        frames, _ = envs.reset(seed=[3, 4])
        actions = np.tile(np.array([0.1, 1, 0], np.float32), (2, 1))
        for _ in range(20):
            frames, rewards, *_ = envs.step(actions)
    finally:
        envs.close()
    assert frames.shape == (2, 64, 64, 3) and frames.dtype == np.uint8
    for row, seed in enumerate((3, 4)):
        env = CarRacing()
        env.reset(seed=seed)
        for _ in range(20):
            frame, reward, *_ = env.step(actions[0])
        np.testing.assert_array_equal(frames[row], frame)
        assert rewards[row] == reward


def test_stacked_frames_are_the_last_ones() -> None:
    stacked, env = FrameStackObservation(gym.make(ID), 3), CarRacing()
    stacked.reset(seed=3)
    env.reset(seed=3)
    action = np.array([0.3, 1, 0], np.float32)
    last = [env.step(action)[0] for _ in range(10)][-3:]
    for _ in range(10):
        frames, *_ = stacked.step(action)
    np.testing.assert_array_equal(frames, last)


@needs("moviepy", "video")
def test_record_video_writes_an_episode(tmp_path: Path) -> None:
    env = RecordVideo(gym.make(ID, render_mode="rgb_array", max_episode_steps=10), str(tmp_path))
    env.reset(seed=3)
    for _ in range(10):
        env.step(np.array([0, 1, 0], np.float32))
    env.close()
    [video] = tmp_path.glob("*.mp4")
    assert video.stat().st_size > 1000


@needs("stable_baselines3", "compare")
def test_stable_baselines3_trains() -> None:
    import torch
    from stable_baselines3 import PPO

    model = PPO("CnnPolicy", gym.make(ID), n_steps=16, batch_size=8, n_epochs=1, seed=1)
    before = [weight.clone() for weight in model.policy.parameters()]
    model.learn(total_timesteps=32)
    after = list(model.policy.parameters())
    assert model.num_timesteps == 32
    assert all(torch.isfinite(weight).all() for weight in after)
    assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    """Those of a library that is not installed are left out."""
    modules = {"": "gymnasium", "video": "moviepy", "stable-baselines3": "stable_baselines3"}
    found = BLOCK.findall((ROOT / "docs/environment.md").read_text())
    assert [name for name, _ in found] == ["", "", "video", "stable-baselines3"]
    program = "\n".join(code for name, code in found if find_spec(modules[name]))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
