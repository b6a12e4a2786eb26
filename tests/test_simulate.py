"""Tests of the simulator: the order of events against a plain loop, and independence of a score from other slots."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.settings import training_settings

import config
import controller.arch as controller
from pipeline.errors import UserError
from pipeline.networks import seed_everything
from simulation import collect
from simulation.agent import Agent
from simulation.environments import make_env
from simulation.rollout import ROWS, Result, Slot, Task
from simulation.simulator import Simulator

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 50


@pytest.fixture(scope="module")
def agent(one_thread: None) -> Agent:
    """An untrained agent with doubled weights of V, so that z and h are far from zero."""
    seed_everything(0)
    agent = Agent()
    agent.vae.full_model.set_weights([2 * weight for weight in agent.vae.full_model.get_weights()])
    return agent


@pytest.fixture
def dot(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an environment whose episodes terminate after 20 to 30 steps; its no-progress reward is 0."""
    entry = config.Environment(
        id="helpers.dot:WorldModels/Dot-v0", explore="custom_envs.exploration:explore_car_racing"
    )
    monkeypatch.setitem(config.ENVIRONMENTS, "dot", entry)
    return "dot"


def some_weights(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, controller.NUM_WEIGHTS)


def braking_weights() -> np.ndarray:
    """Weights of a policy that brakes at every step."""
    weights = np.zeros(controller.NUM_WEIGHTS)
    weights[-3:] = 0, -20, 20
    return weights


def tasks(count: int) -> list[Task]:
    """Tasks that differ in weights, environment seed and length."""
    return [Task(some_weights(i), i % 7, STEPS - i % 5) for i in range(count)]


# --- the order of events ---------------------------------------------------------------------------------------------


def roll_out(agent: Agent, task: Task) -> tuple[Result, list[list[float]]]:
    """The simulator's result of a task, and its actions."""
    actions = []
    simulator = Simulator(agent, "car_racing", watch=lambda env, slot, frame, z: actions.append(slot.action.tolist()))
    [result] = simulator.run([task])
    return result, actions[:-1]  # the last call is for the final frame


def roll_out_plainly(agent: Agent, task: Task, previous_action: bool = False) -> tuple[Result, list[list[float]]]:
    """The same by a plain loop; `previous_action` conditions M on the action before, as the tutorial does."""
    env = make_env("car_racing")
    frame, _ = env.reset(seed=task.env_seed)
    x = np.zeros((ROWS, config.Z_DIM + config.ACTION_DIM + 1), np.float32)
    h, c = np.zeros((2, ROWS, config.HIDDEN_UNITS), np.float32)
    W, b = task.weights[:864].reshape(3, 288), task.weights[864:]
    score, reward, actions = 0.0, 0.0, [np.zeros(3, np.float32)]
    for _ in range(task.max_length):
        z = agent.vae.encode(frame[None], ROWS)[0][0]
        steer, gas, brake = np.tanh((W * np.concatenate([z, h[0]])).sum(axis=1) + b)
        actions.append(np.array([steer, (gas + 1) / 2, max(brake, 0)], np.float32))
        x[0] = [*z, *actions[-2 if previous_action else -1], reward > 0]
        h, c = agent.rnn.step(x, h, c)
        frame, reward, *_ = env.step(actions[-1])
        score += float(reward)
    return Result(score, task.max_length), [action.tolist() for action in actions[1:]]


def test_episode_equals_plain_loop(agent: Agent) -> None:
    """Frame to z, z and h to action, z, action and reward to the next h: bit for bit.

    The test depends on the order: if M were conditioned on the previous action, the third action would differ.
    """
    task = Task(some_weights(1), env_seed=5, max_length=STEPS)
    result, actions = roll_out(agent, task)
    assert (result, actions) == roll_out_plainly(agent, task)
    _, other_actions = roll_out_plainly(agent, task, previous_action=True)
    assert other_actions[:1] == actions[:1]
    assert other_actions[2] != actions[2]


def test_previous_action_equals_plain_loop(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "previous_action", True)
    task = Task(some_weights(1), env_seed=5, max_length=STEPS)
    assert roll_out(agent, task) == roll_out_plainly(agent, task, previous_action=True)


def test_sampled_z_has_posterior_moments_and_depends_on_env_seed(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, samples = [], []

    def watch(env: object, slot: Slot, frame: np.ndarray, z: np.ndarray) -> None:
        if slot.steps == 0:
            frames.append(frame.copy())
            samples.append(z)

    monkeypatch.setattr(agent, "sample_z", True)
    simulator = Simulator(agent, "car_racing", watch=watch)
    for env_seed in range(30):
        simulator.run([Task(some_weights(1), env_seed, max_length=1)])
    mean, log_var = agent.vae.encode(np.stack(frames), ROWS)
    noise = (np.stack(samples) - mean) / np.exp(log_var / 2)
    assert abs(noise.mean()) < 0.1 and noise.std() == pytest.approx(1, abs=0.1)  # of 960 values

    task = Task(some_weights(1), env_seed=5, max_length=STEPS)
    assert roll_out(agent, task) == roll_out(agent, task)
    together = Simulator(agent, "car_racing").run([*tasks(20), task])
    assert together[-1] == roll_out(agent, task)[0]


@pytest.mark.parametrize("env_seed", [3, 4])
def test_exploration_equals_that_of_stage_01(agent: Agent, env_seed: int) -> None:
    settings = {"env": "car_racing", "time_steps": STEPS + 1, "action_refresh_rate": config.ACTION_REFRESH_RATE}
    episode = collect.record_exploration(make_env("car_racing"), env_seed, settings, show=None)
    result, actions = roll_out(agent, Task(None, env_seed, STEPS))
    assert actions == episode["action_data"][:STEPS].tolist()
    assert result.score == pytest.approx(episode["reward_data"].sum(dtype=np.float64), abs=1e-4)
    assert len(np.unique(actions, axis=0)) > 3


# --- what a score depends on -----------------------------------------------------------------------------------------


def test_score_does_not_depend_on_other_slots(agent: Agent) -> None:
    """There are more tasks than slots, so that slots take new episodes at different times."""
    many = tasks(ROWS + 5)
    simulator = Simulator(agent, "car_racing")
    together = simulator.run(many)
    assert together[::-1] == simulator.run(many[::-1])
    for i in (0, 3, ROWS, ROWS + 4):
        assert Simulator(agent, "car_racing").run([many[i]]) == [together[i]]
    assert [result.steps for result in together] == [task.max_length for task in many]


def test_terminated_episodes_do_not_depend_on_other_slots(agent: Agent, dot: str) -> None:
    many = tasks(2 * ROWS)
    together = Simulator(agent, dot).run(many)
    for i in (0, 9, 31):
        assert Simulator(agent, dot).run([many[i]]) == [together[i]]
    assert {result.steps for result in together} <= set(range(20, 31))


def test_task_determines_episode(agent: Agent) -> None:
    base = Task(some_weights(1), env_seed=5, max_length=STEPS)
    variants = [base, base, replace(base, weights=some_weights(2)), replace(base, env_seed=6)]
    one, same, other_weights, other_track = (roll_out(agent, variant) for variant in variants)
    assert one == same
    assert one[1] != other_weights[1] != other_track[1] != one[1]  # actions: two policies may have equal scores
    assert one[0] != other_track[0]


def test_report_is_called_with_index_and_result(agent: Agent, dot: str) -> None:
    reported = {}
    results = Simulator(agent, dot).run(tasks(ROWS + 3), reported.setdefault)
    assert [reported[i] for i in range(ROWS + 3)] == results


def test_empty_list_of_tasks(agent: Agent) -> None:
    assert Simulator(agent, "car_racing").run([]) == []


# --- end of an episode -----------------------------------------------------------------------------------------------


def test_early_truncation_is_charged_for_remaining_steps(agent: Agent) -> None:
    task = Task(braking_weights(), env_seed=1, max_length=70)
    [full] = Simulator(agent, "car_racing").run([task])
    [truncated] = Simulator(agent, "car_racing", max_steps_without_progress=10).run([task])
    assert full.steps == 70
    assert truncated.steps < 30
    assert truncated.score == pytest.approx(full.score, abs=1e-9)


def test_no_progress_counts_steps_since_the_last_positive_reward(agent: Agent, dot: str) -> None:
    """Full right moves the dot to the wall, after which no reward is positive; the environment gives the step."""
    weights = braking_weights()
    weights[-3] = 20  # full right
    for env_seed in range(5):
        env = make_env(dot)
        env.reset(seed=env_seed)
        rewards, done = [], False
        while not done:
            _, reward, done, _, _ = env.step(np.array([1, 0, 1], np.float32))
            rewards.append(reward)
        last_positive = max((t for t, reward in enumerate(rewards, 1) if reward > 0), default=0)
        [result] = Simulator(agent, dot, max_steps_without_progress=4).run([Task(weights, env_seed, 1000)])
        steps = min(last_positive + 4, len(rewards))
        assert result.steps == steps
        assert result.score == pytest.approx(sum(rewards[:steps]))


def test_terminated_episode_is_not_charged(agent: Agent, dot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(some_weights(3), env_seed=2, max_length=1000)
    [uncharged] = Simulator(agent, dot).run([task])
    monkeypatch.setitem(config.ENVIRONMENTS, dot, replace(config.ENVIRONMENTS[dot], no_progress_reward=-5.0))
    assert Simulator(agent, dot).run([task]) == [uncharged]
    [short] = Simulator(agent, dot).run([replace(task, max_length=7)])
    assert short.steps == 7
    assert short.score >= -0.1 * 7 - 1e-9  # no steps remain at the step limit


def test_watch_receives_every_step_of_the_first_slot(agent: Agent) -> None:
    seen = []
    simulator = Simulator(
        agent, "car_racing", watch=lambda env, slot, frame, z: seen.append((slot.steps, frame.copy(), z, env.render()))
    )
    task = Task(some_weights(1), env_seed=5, max_length=5)
    assert simulator.run([task]) == Simulator(agent, "car_racing").run([task])  # watching changes no score
    assert [steps for steps, *_ in seen] == [0, 1, 2, 3, 4, 5]
    for _, frame, z, image in seen:
        np.testing.assert_array_equal(z, agent.vae.encode(frame[None], ROWS)[0][0])
        assert image.shape == (400, 600, 3)


# --- files -----------------------------------------------------------------------------------------------------------


def test_rnn_of_another_vae_is_refused(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    agent.vae.save(Path("vae/weights.h5"), {})
    agent.rnn.save(Path("rnn/weights.h5"), {"settings": asdict(training_settings(vae_hash="another"))})
    with pytest.raises(UserError, match=r"rnn/ was trained on VAE another, vae/ holds \w+: run 03"):
        Agent().load()
