"""Tests of the PPO baseline, against Stable-Baselines3's own environments; skipped where the extra `compare` is not."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import run_script

from experiments.baselines import ppo_car_racing as ppo
from pipeline.errors import UserError
from pipeline.training_state import read_state
from simulation.real_world import EnvironmentWorld
from simulation.rollout import Task, rollout

missing = importlib.util.find_spec("stable_baselines3") is None
needs_the_extra = pytest.mark.skipif(missing, reason="Stable-Baselines3 is not installed: pip install -e '.[compare]'")


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Iterations of 16 steps, in this test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ppo, "ENVS", 2)
    monkeypatch.setattr(ppo, "STEPS", 8)
    monkeypatch.setattr(ppo, "RECIPE", ppo.RECIPE | {"n_epochs": 1, "batch_size": 8})


def train(iterations: int, seed: int = 0, more: str = "") -> dict[str, list[np.ndarray]]:
    """Train, or resume, up to so many iterations; returns the saved state."""
    sys.argv = ["ppo", *f"--iterations {iterations} --eval_steps 2 --eval_episode 1 --max_length 12".split()]
    sys.argv += ["--seed", str(seed), *more.split()]
    ppo.main()
    return read_state(Path("baselines/ppo_car_racing.state.h5"), "")[1]


def test_help_needs_neither_torch_nor_tensorflow(tmp_path: Path) -> None:
    printed = run_script(tmp_path, "experiments/baselines/ppo_car_racing.py", "--help").stdout
    assert printed.startswith("usage: ppo_car_racing.py [-h]") and "wall time" in printed
    assert not list(tmp_path.iterdir())


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(UserError, match=r"needs stable_baselines3 .*CPU build.*\[compare\]"):
        train(1)
    assert not Path("baselines/ppo_car_racing.state.h5").exists()


@needs_the_extra
def test_the_same_seed_learns_the_same_and_another_seed_something_else() -> None:
    first, again, other = (train(2, seed, "--new_model") for seed in (3, 3, 4))
    for mine, theirs, different in zip(first["network"], again["network"], other["network"], strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.size < 10 or not np.array_equal(mine, different)


@needs_the_extra
def test_it_resumes_from_weights_optimizer_scale_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    saved = train(2)
    training = ppo.PPOTraining(ppo.PPOSettings(eval_steps=2, eval_episode=1, max_length=12))
    training.restore()
    training.save()
    restored = read_state(training.path, "")[1]
    for name, arrays in saved.items():
        for mine, theirs in zip(arrays, restored[name], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert training.model.num_timesteps == 32
    assert training.model.lr_schedule(1.0) == pytest.approx(1e-4 * (1 - 32 / 4e6), rel=1e-12)
    longer = train(3)
    assert "resuming baselines/ppo_car_racing.state.h5 after iteration 2" in capsys.readouterr().out
    assert longer["rows"][0][:, 2].tolist() == [32.0, 64.0, 96.0]
    assert (longer["updates"][0] - saved["updates"][0]) == 2  # gradient steps of one iteration
    assert not np.array_equal(longer["network"][0], saved["network"][0])


@needs_the_extra
def test_it_stops_after_its_minutes() -> None:
    assert len(train(50, more="--minutes 0.000001")["rows"][0]) == 1


@needs_the_extra
def test_its_scores_are_those_of_its_own_environments() -> None:
    """The policy sees the frames, and earns the rewards, that Stable-Baselines3's wrappers give."""
    model = ppo.make_model(5, 60)
    world, tasks = EnvironmentWorld("car_racing"), [Task(seed, 60) for seed in (7, 8)]
    results = rollout(world, ppo.Greedy(model, world.rows), tasks)
    envs = model.get_env()
    envs.seed(7)  # 7 and 8, one for each environment
    states, scores, ended = envs.reset(), np.zeros(2), np.zeros(2, bool)
    while not ended.all():
        states, _, dones, _ = envs.step(model.predict(states, deterministic=True)[0])
        scores += np.where(ended, 0, model.get_vec_normalize_env().get_original_reward())
        ended |= dones
    np.testing.assert_allclose([result.score for result in results], scores, rtol=0, atol=1e-4)
    assert [result.steps for result in results] == [60, 60]
    assert scores[0] != scores[1]


@needs_the_extra
def test_the_best_agent_is_scored_and_a_damaged_state_refused() -> None:
    with pytest.raises(UserError, match="holds no agent yet"):
        train(1)
        train(1, more="--final_mode")
    train(2)
    train(2, more="--final_mode --num_episode 2")
    assert '"agent_steps": 64' in Path("baselines/ppo_car_racing.scores.json").read_text()
    path = Path("baselines/ppo_car_racing.state.h5")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="is not a training state"):
        train(3)
