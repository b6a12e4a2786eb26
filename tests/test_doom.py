"""Tests of Doom Take Cover: the environment, what it leaves behind, and the five stages at a tiny size."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import LIMIT, log_of, run_script

import config
from pipeline.batches import open_batch
from simulation.environments import make_env, try_env

pytest.importorskip("vizdoom", reason="needs the extra doom")
NAME = "doom_take_cover"
SEARCH = f"{NAME}_dream.cma.1.4"
STAY, RIGHT, LEFT = range(3)
STAGES = {
    "01_generate_data.py": f"{NAME} --total_episodes 6 --batch_size 3 --time_steps 150 --num_worker 2",
    "02_train_vae.py": "--new_model --steps 4 --batch_size 20 --checkpoint_steps 2",
    "03_generate_rnn_data.py": "",
    "04_train_rnn.py": "--new_model --steps 4 --batch_size 2 --checkpoint_steps 2",
    "05_train_controller.py": f"{NAME} -n 2 -t 2 -e 1 --max_length 60 --eval_steps 1 --eval_episode 2 --generations 2"
    " --subspace 4 --dream_mode 1 --temperature 1.15",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doom")
    for name, arguments in STAGES.items():
        run_script(folder, name, arguments)
    return folder


def episode(seed: int, action: int) -> list[np.ndarray]:
    """All frames of an episode with one action."""
    env, done = make_env(NAME), False
    frames = [env.reset(seed=seed)[0]]
    while not done:
        frame, reward, done, truncated, _ = env.step(action)
        assert reward == 1
        assert not truncated
        frames.append(frame)
    env.close()
    return frames


def test_an_episode_follows_from_its_seed_and_its_actions() -> None:
    """The last frame, after the player's death, is the one before and not black."""
    once, twice, other, moved = (episode(seed, action) for seed, action in ((1, 0), (1, 0), (2, 0), (1, LEFT)))
    np.testing.assert_array_equal(once, twice)
    assert once[0].shape == config.FRAME_SHAPE
    assert once[0].dtype == np.uint8
    assert not np.array_equal(once[60], other[60])  # the monsters differ
    assert not np.array_equal(once[20], moved[20])
    np.testing.assert_array_equal(once[-1], once[-2])
    assert once[-1].any()


def test_the_actions_are_named_as_they_move() -> None:
    """A side wall of the room fills more of the image on the side that the player moves to."""
    assert try_env(NAME).names == ("stay", "right", "left")
    wall = {}
    for action in (LEFT, RIGHT):
        env = make_env(NAME)
        env.reset(seed=1)
        for _ in range(60):
            frame, *_ = env.step(action)
        env.close()
        red = (
            frame[:20].astype(int)[:, :, 0] - frame[:20].astype(int)[:, :, 2]
        )  # bricks are brown, ceiling and floor gray
        wall[action] = (red[:, :32] > 5).sum() - (red[:, 32:] > 5).sum()
    assert wall[LEFT] > 0 > wall[RIGHT]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and /dev/shm are Linux's")
def test_a_killed_process_leaves_no_game_no_memory_and_no_file(tmp_path: Path) -> None:
    program = f"from simulation.environments import make_env; env = make_env('{NAME}'); env.reset(seed=0)"
    program += "; print('ready', flush=True); import time; time.sleep(100)"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    [engine] = _children(process.pid)
    assert not [name for name in os.listdir("/dev/shm") if name in _shared_memory(process.pid)]
    process.kill()
    process.wait()
    deadline = time.monotonic() + LIMIT
    while Path(f"/proc/{engine}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())


def _children(pid: int) -> list[str]:
    """Children of all threads of a process."""
    return [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def _shared_memory(pid: int) -> set[str]:
    """The names of the segments that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    names = {line.split()[5].removeprefix("/dev/shm/") for line in lines if "/dev/shm/ViZDoom" in line}
    assert names
    return names


def test_the_stages_in_the_readmes_order(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents act on [z, h, c] of the paper's sizes, and M predicts when an episode ends."""
    monkeypatch.chdir(finished)
    batch = open_batch("rnn", 0)
    assert batch["rnn_input"].shape[2] == 64 + 3 + 1
    assert batch["rnn_output"].shape[2] == 64 + 1 + 1
    assert {"done_loss", "val_done_loss"} <= log_of(finished, "rnn")[0].keys()
    [record] = json.loads((finished / "controller" / f"{SEARCH}.best.json").read_text())[:1]
    assert len(record) == 3 * (64 + 512 + 512 + 1)
    out = run_script(finished, "model.py", f"--filename controller/{SEARCH}.best.json --final_mode --num_episode 2")
    scores = [line.split() for line in out.stdout.splitlines()[:2]]
    assert all(float(words[2]) >= 20 for words in scores)  # tics survived


def test_a_missing_extra_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "vizdoom.py").write_text("raise ImportError(\"No module named 'vizdoom'\")")
    done = run_script(tmp_path, "01_generate_data.py", NAME, ok=False, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install -e '.[doom]'" in done.stderr


# --- the shipped agent ----------------------------------------------------------------------------------------------
SHIPPED = config.PRETRAINED_DIR / "doom"
CONTROLLER = f"controller/{NAME}_dream.cma.32.64.dream_best.json"


def test_the_shipped_agent_survives_for_longer_than_random_actions(tmp_path: Path) -> None:
    """From any folder, on the first eight of its published episodes: random actions survive for 306 tics on average."""
    flags = f"{NAME} --filename {SHIPPED / CONTROLLER} --final_mode --num_episode 8 --seed 1000"
    out = run_script(tmp_path, "model.py", flags).stdout.splitlines()
    assert float(out[-1].split()[0]) > 450  # 776 where they were recorded
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_agents_dream_is_complete(tmp_path: Path) -> None:
    flags = f"{NAME} --filename {SHIPPED / CONTROLLER} --dream_mode --max_length 30"
    assert "dream score" in run_script(tmp_path, "model.py", flags).stdout


def test_the_shipped_agents_card_has_its_scores_and_its_size_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 14e6
    card = (SHIPPED / "README.md").read_text()
    for name in ("doom_take_cover", "doom_take_cover_random"):
        measured = json.loads((config.PRETRAINED_DIR.parent / f"docs/results/{name}.json").read_text())
        assert measured["tracks"] == 400
        assert f"{measured['mean']:.1f} ± {measured['std']:.1f}" in card
        assert f"| {measured['min']:.1f} |" in card
