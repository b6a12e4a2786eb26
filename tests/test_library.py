"""Tests of the agent as a library: its documented examples, and that it acts and scores as the scripts do."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.rollouts import simulate
from helpers.scripts import LIMIT, ROOT, environment

import config
from controller import arch
from controller import files as controller_files
from pipeline.batches import open_batch
from pipeline.errors import UserError
from simulation.own_data import Episode, write_episodes
from simulation.rollout import Task
from simulation.trained_agent import TrainedAgent, load_agent

CONTROLLER = config.PRETRAINED_DIR / config.CONTROLLER_DIR / config.PRETRAINED
# TensorFlow runs on more threads than one, before and after the agent was loaded.
TENSORFLOW_FIRST = """
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(3)
assert tf.reduce_sum(tf.ones(5)).numpy() == 5
"""
TENSORFLOW_AFTER = """
assert tf.config.threading.get_intra_op_parallelism_threads() == 3
assert tf.config.threading.get_inter_op_parallelism_threads() == 0
print("done")
"""


def blocks(page: str) -> str:
    """The Python blocks of a page, one after the other."""
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))


def run(program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def agent(one_thread: None) -> TrainedAgent:
    return load_agent()


@pytest.fixture
def frame(agent: TrainedAgent) -> np.ndarray:
    env = agent.make_env()
    env.reset(seed=3)
    for _ in range(60):
        frame, *_ = env.step(np.array([0, 0.5, 0], np.float32))
    return frame


def drive(agent: TrainedAgent, seed: int, with_reward: bool) -> float:
    """The score of a lap by `act`."""
    env, reward, score, done = agent.make_env(), None, 0.0, False
    frame, _ = env.reset(seed=seed)
    agent.reset()
    while not done:
        frame, reward, terminated, truncated, _ = env.step(agent.act(frame, reward if with_reward else None))
        score, done = score + reward, terminated or truncated
    return score


def test_the_page_runs_where_tensorflow_has_run_before(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "my_run").symlink_to(finished)
    printed = run(TENSORFLOW_FIRST + blocks("docs/library.md") + TENSORFLOW_AFTER, tmp_path).splitlines()
    assert float(printed[0].removeprefix("score ")) > 850
    assert printed[1].startswith("car_racing [") and printed[-1] == "done"
    assert {path.name for path in (tmp_path / "data").glob("*.json")} == {"obs_0.json"}


def test_the_readme_has_one_example_and_it_runs(tmp_path: Path) -> None:
    example = blocks("README.md")
    assert example.count("import") == 1 and float(run(example, tmp_path).removeprefix("score ")) > 850


def test_importing_the_library_loads_no_tensorflow(tmp_path: Path) -> None:
    assert run("import sys, model; print('tensorflow' in sys.modules)", tmp_path) == "False\n"


def test_an_agent_of_a_script_computes_on_one_thread_and_a_users_on_all(tmp_path: Path) -> None:
    count = "; import tensorflow as tf; print(tf.config.threading.get_intra_op_parallelism_threads())"
    script = f"from simulation.agent import load_agent_and_weights as load; load('{CONTROLLER}')"
    assert run(script + count, tmp_path) == "1\n"
    dream = "import gymnasium; gymnasium.make('simulation:WorldModels/CarRacingDream-v0')"
    for program in ("from model import load_agent; load_agent()", dream):
        assert run(program + count, tmp_path).splitlines()[-1] == "0"  # as many as cores


def test_act_scores_as_the_scripts_do(agent: TrainedAgent) -> None:
    """To the last bit; and without a reward, which M then predicts, it drives as well."""
    weights, _, _ = controller_files.load(CONTROLLER)
    [result] = simulate(agent, [Task(7, 1000, weights)])
    assert drive(agent, 7, with_reward=True) == result.score
    assert agent.score([7]).tolist() == [result.score]
    assert abs(drive(agent, 7, with_reward=False) - result.score) < 20


def test_sampled_z_and_the_previous_action_are_those_of_the_real_world(one_thread: None) -> None:
    """An agent trained with --sample_z and --previous_action acts as it does in the rollout."""
    weights, _, _ = controller_files.load(CONTROLLER)
    for flags in ({"sample_z": True}, {"previous_action": True}):
        agent = TrainedAgent(**flags)
        agent.load(config.PRETRAINED_DIR)
        agent.controller = partial(arch.act, *(part[None] for part in arch.unpack(weights)))
        [result] = simulate(agent, [Task(7, 100, weights)])
        env, score, reward = agent.make_env(), 0.0, None
        frame, _ = env.reset(seed=7)
        agent.reset(seed=7)
        for _ in range(100):
            frame, reward, *_ = env.step(agent.act(frame, reward or 0.0))
            score += reward
        assert score == result.score


def test_one_frame_and_several_have_the_same_z(agent: TrainedAgent, frame: np.ndarray) -> None:
    z = agent.encode(frame)
    assert z.shape == (32,) and z.dtype == np.float32
    np.testing.assert_array_equal(agent.encode(np.stack([frame, frame]))[1], z)
    reconstruction = agent.decode(z)
    assert reconstruction.shape == (64, 64, 3) and reconstruction.dtype == np.uint8
    assert agent.decode(np.stack([z, z])).shape == (2, 64, 64, 3)
    assert np.abs(reconstruction.astype(int) - frame).mean() < 10


@pytest.mark.parametrize(
    "change", [lambda x: x / 255, lambda x: x[..., :1], lambda x: x.astype(np.int64), lambda x: x[:32]]
)
def test_other_frames_are_refused(agent: TrainedAgent, frame: np.ndarray, change: Callable) -> None:
    for call in (agent.encode, agent.act, lambda x: agent.vae.encode(x[None], 16)):
        with pytest.raises(ValueError, match=r"frames are .*, need uint8 \(n, 64, 64, 3\), values 0 to 255"):
            call(change(frame))


def test_other_z_are_refused(agent: TrainedAgent) -> None:
    for z in (np.zeros(31, np.float32), np.zeros((2, 2, 32), np.float32), np.zeros(32, int)):
        with pytest.raises(ValueError, match=r"z is .*, need floats \(n, 32\)"):
            agent.decode(z)


def test_a_dream_is_a_function_of_actions_temperature_and_seed(agent: TrainedAgent) -> None:
    actions = np.tile(np.array([0, 0.5, 0]), (20, 1))
    first = agent.dream(actions, 1.0, seed=1)
    assert first.z.shape == (21, 32) and first.rewards.shape == (20,)
    np.testing.assert_array_equal(agent.dream(actions, 1.0, seed=1).z, first.z)
    for other in (agent.dream(-actions, 1.0, 1), agent.dream(actions, 0.1, 1), agent.dream(actions, 1.0, 2)):
        assert not np.array_equal(other.z, first.z)


def test_a_dream_from_now_begins_at_the_last_frame(agent: TrainedAgent, frame: np.ndarray) -> None:
    agent.reset()
    with pytest.raises(ValueError, match="before the first act"):
        agent.dream(np.zeros((5, 3)), from_now=True)
    agent.act(frame)
    agent.act(frame, 1.0)
    h = agent.h
    dream = agent.dream(np.zeros((5, 3)), from_now=True)
    np.testing.assert_array_equal(dream.z[0], agent.encode(frame))
    assert np.array_equal(agent.h, h) and h.any()
    agent.reset()
    agent.act(frame)  # the same z, another h
    assert not np.array_equal(agent.dream(np.zeros((5, 3)), from_now=True).z[1], dream.z[1])


@pytest.mark.parametrize(
    "actions, temperature, message",
    [
        (np.zeros(3), 1.0, r"shape \(T, 3\), not \(3,\)"),
        (np.full((2, 3), np.nan), 1.0, "finite"),
        (np.zeros((2, 3)), 0.0, "above zero, not 0.0"),
    ],
)
def test_what_is_no_dream_is_refused(
    agent: TrainedAgent, actions: np.ndarray, temperature: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        agent.dream(actions, temperature)


def test_a_controller_of_ones_own_acts_and_is_scored(one_thread: None) -> None:
    seen = []

    def gas(z: np.ndarray, h: np.ndarray) -> np.ndarray:
        seen.append((z.shape, h.shape))
        return np.tile((0.0, 0.2, 0.0), (len(z), 1))

    agent = load_agent(controller=gas)
    scores = agent.score([1, 2])
    assert seen[0] == ((16, 32), (16, 256)) and len(set(scores)) == 2
    assert drive(agent, 1, with_reward=True) == scores[0]
    agent.controller = lambda z, h: np.zeros((len(z), 2))
    with pytest.raises(ValueError, match=r"the controller gives \(16, 2\), need \(16, 3\)"):
        agent.score([1])


def test_a_folder_has_one_controller_or_the_error_names_them(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae", "rnn")
    with pytest.raises(UserError, match=r"no \*.best.json in .*controller/: run 05"):
        load_agent(folder)
    controllers = copy_of("controller")
    [path] = (controllers / "controller").glob("*.best.json")
    assert load_agent(folder).folder == load_agent(str(path)).folder == folder
    path.with_name("other.best.json").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"several controllers.*car_racing.cma.1.4.best.json, .*other.best.json"):
        load_agent(folder)


# --- data of one's own ------------------------------------------------------------------------------------------------


def episode(steps: int) -> Episode:
    rng = np.random.default_rng(steps)
    frames = rng.integers(1, 256, (steps, 64, 64, 3), np.uint8)
    return Episode(frames, rng.uniform((-1, 0, 0), 1, (steps, 3)), rng.normal(size=steps))


def test_own_episodes_are_read_as_those_of_stage_01(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    episodes = [episode(5), episode(8)]
    write_episodes(3, episodes)
    batch = open_batch("obs", 3)
    assert (batch.episodes, batch.record.time_steps, batch.record.settings.env) == (2, 8, "car_racing")
    for i, own in enumerate(episodes):
        steps = len(own.frames)
        np.testing.assert_array_equal(batch["obs_data"][i][:steps], own.frames)
        np.testing.assert_array_equal(batch["action_data"][i][:steps], own.actions.astype(np.float32))
        np.testing.assert_array_equal(batch["reward_data"][i][:steps], own.rewards.astype(np.float32))
        assert not batch["obs_data"][i][steps:].any()
        np.testing.assert_array_equal(batch["done_data"][i], np.arange(8) >= steps - 1)
    with pytest.raises(UserError, match=r"obs_3\.json exists"):
        write_episodes(3, episodes)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"frames": np.zeros((5, 64, 64, 3))}, r"episode 1: frames are float64 \(5, 64, 64, 3\), need uint8"),
        ({"frames": np.zeros((1, 64, 64, 3), np.uint8)}, "T at least 2"),
        ({"actions": np.zeros((4, 3))}, r"actions \(4, 3\) and rewards \(5,\), need \(5, 3\) and \(5,\)"),
        ({"rewards": np.zeros(6)}, r"rewards \(6,\)"),
        ({"actions": np.full((5, 3), -1.0)}, "an action is not within"),
        ({"actions": np.full((5, 3), np.nan)}, "an action is not within"),
    ],
)
def test_other_episodes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, np.ndarray], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    good = episode(5)
    with pytest.raises(ValueError, match=message):
        write_episodes(0, [good, Episode(**(vars(good) | change))])
    assert not list(tmp_path.rglob("obs*"))
