"""Tests of rollouts in the real world: the order of events, and independence of a score from other slots."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.rollouts import simulate, untrained_agent
from helpers.settings import obs_settings, training_settings

import config
import controller.arch as controller
from pipeline.errors import UserError
from pipeline.sizes import CAR
from simulation import collect
from simulation.agent import Agent
from simulation.environments import exploration_policy, make_env
from simulation.policies import ControllerPolicy, ExplorationPolicy
from simulation.real_world import ROWS, EnvironmentWorld, RealWorld
from simulation.rollout import Callback, Result, Slot, Task, rollout

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 50


@pytest.fixture(scope="module")
def agent(one_thread: None) -> Agent:
    return untrained_agent()


@pytest.fixture
def dot(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an environment whose episodes terminate after 20 to 30 steps; its no-progress reward is 0."""
    entry = config.Environment(
        id="helpers.dot:WorldModels/Dot-v0",
        explore="custom_envs.exploration:explore_car_racing",
        squash="controller.arch:squash",
        no_progress_reward=0.0,
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
    return [Task(i % 7, STEPS - i % 5, some_weights(i)) for i in range(count)]


# --- the order of events ---------------------------------------------------------------------------------------------


class ActionRecorder(Callback[EnvironmentWorld]):
    """Records the actions of the one episode that runs."""

    def __init__(self) -> None:
        self.actions: list[list[float]] = []

    def on_step(self, world: EnvironmentWorld, slots: list[Slot], actions: np.ndarray) -> None:
        [slot] = slots
        self.actions.append(actions[slot.row].tolist())


def roll_out(agent: Agent, task: Task) -> tuple[Result, list[list[float]]]:
    """The rollout's result of a task, and its actions."""
    recorder = ActionRecorder()
    [result] = simulate(agent, [task], callbacks=[recorder])
    return result, recorder.actions


def roll_out_plainly(agent: Agent, task: Task, previous_action: bool = False) -> tuple[Result, list[list[float]]]:
    """The same by a plain loop; `previous_action` conditions M on the action before, as the tutorial does."""
    env = make_env("car_racing")
    frame, _ = env.reset(seed=task.env_seed)
    x = np.zeros((ROWS, CAR.z + CAR.actions + 1), np.float32)
    h, c = np.zeros((2, ROWS, CAR.h), np.float32)
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
    task = Task(env_seed=5, max_length=STEPS, weights=some_weights(1))
    result, actions = roll_out(agent, task)
    assert (result, actions) == roll_out_plainly(agent, task)
    _, other_actions = roll_out_plainly(agent, task, previous_action=True)
    assert other_actions[:1] == actions[:1]
    assert other_actions[2] != actions[2]


def test_previous_action_equals_plain_loop(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "previous_action", True)
    task = Task(env_seed=5, max_length=STEPS, weights=some_weights(1))
    assert roll_out(agent, task) == roll_out_plainly(agent, task, previous_action=True)


def test_sampled_z_has_posterior_moments_and_depends_on_env_seed(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, samples = [], []

    class Watch(Callback[RealWorld]):
        def on_step(self, world: RealWorld, slots: list[Slot], actions: np.ndarray) -> None:
            frames.append(world.frames[0].copy())
            samples.append(world.z[0].copy())

    monkeypatch.setattr(agent, "sample_z", True)
    world, policy = RealWorld(agent, "car_racing"), ControllerPolicy(ROWS)
    for env_seed in range(30):
        rollout(world, policy, [Task(env_seed, 1, some_weights(1))], callbacks=[Watch()])
    mean, log_var = agent.vae.encode(np.stack(frames), ROWS)
    noise = (np.stack(samples) - mean) / np.exp(log_var / 2)
    assert abs(noise.mean()) < 0.1 and noise.std() == pytest.approx(1, abs=0.1)  # of 960 values

    task = Task(env_seed=5, max_length=STEPS, weights=some_weights(1))
    assert roll_out(agent, task) == roll_out(agent, task)
    together = simulate(agent, [*tasks(20), task])
    assert together[-1] == roll_out(agent, task)[0]


@pytest.mark.parametrize("env_seed", [3, 4])
def test_exploration_equals_that_of_stage_01(env_seed: int) -> None:
    """Alone in a row, as stage 01 records it, and beside fifteen others, as model.py --generate_data_mode scores it."""
    [episode] = collect.record_exploration(obs_settings(time_steps=STEPS + 1, episodes=1), [env_seed])
    world, policy = EnvironmentWorld("car_racing"), ExplorationPolicy(exploration_policy("car_racing"), ROWS)
    others = [Task(other, STEPS) for other in range(10, 25)]
    [result, *_] = rollout(world, policy, [Task(env_seed, STEPS), *others])
    policy, recorder = ExplorationPolicy(exploration_policy("car_racing"), ROWS), ActionRecorder()
    assert rollout(world, policy, [Task(env_seed, STEPS)], callbacks=[recorder]) == [result]
    actions = recorder.actions
    assert actions == episode["action_data"][:STEPS].tolist()
    assert result.score == pytest.approx(episode["reward_data"].sum(dtype=np.float64), abs=1e-4)
    assert len(np.unique(actions, axis=0)) > 3


# --- what a score depends on -----------------------------------------------------------------------------------------


def test_score_does_not_depend_on_other_slots(agent: Agent) -> None:
    """There are more tasks than slots, so that slots take new episodes at different times."""
    many = tasks(ROWS + 5)
    world, policy = RealWorld(agent, "car_racing"), ControllerPolicy(ROWS)
    together = rollout(world, policy, many)
    assert together[::-1] == rollout(world, policy, many[::-1])
    for i in (0, 3, ROWS, ROWS + 4):
        assert simulate(agent, [many[i]]) == [together[i]]
    assert [result.steps for result in together] == [task.max_length for task in many]


def test_terminated_episodes_do_not_depend_on_other_slots(agent: Agent, dot: str) -> None:
    many = tasks(2 * ROWS)
    together = simulate(agent, many, dot)
    for i in (0, 9, 31):
        assert simulate(agent, [many[i]], dot) == [together[i]]
    assert {result.steps for result in together} <= set(range(20, 31))


def test_task_determines_episode(agent: Agent) -> None:
    base = Task(env_seed=5, max_length=STEPS, weights=some_weights(1))
    variants = [base, base, replace(base, weights=some_weights(2)), replace(base, env_seed=6)]
    one, same, other_weights, other_track = (roll_out(agent, variant) for variant in variants)
    assert one == same
    assert one[1] != other_weights[1] != other_track[1] != one[1]  # actions: two policies may have equal scores
    assert one[0] != other_track[0]


def test_callbacks_learn_the_result_of_every_episode(agent: Agent, dot: str) -> None:
    reported = {}

    class Report(Callback[RealWorld]):
        def on_end(self, world: RealWorld, slot: Slot, result: Result) -> None:
            reported[slot.index] = result

    results = simulate(agent, tasks(ROWS + 3), dot, callbacks=[Report()])
    assert [reported[i] for i in range(ROWS + 3)] == results


def test_empty_list_of_tasks(agent: Agent) -> None:
    assert simulate(agent, []) == []


# --- end of an episode -----------------------------------------------------------------------------------------------


def test_early_truncation_is_charged_for_remaining_steps(agent: Agent) -> None:
    task = Task(env_seed=1, max_length=70, weights=braking_weights())
    [full] = simulate(agent, [task])
    [truncated] = simulate(agent, [task], max_steps_without_progress=10)
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
        [result] = simulate(agent, [Task(env_seed, 1000, weights)], dot, max_steps_without_progress=4)
        steps = min(last_positive + 4, len(rewards))
        assert result.steps == steps
        assert result.score == pytest.approx(sum(rewards[:steps]))


def test_terminated_episode_is_not_charged(agent: Agent, dot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(env_seed=2, max_length=1000, weights=some_weights(3))
    [uncharged] = simulate(agent, [task], dot)
    monkeypatch.setitem(config.ENVIRONMENTS, dot, replace(config.ENVIRONMENTS[dot], no_progress_reward=-5.0))
    assert simulate(agent, [task], dot) == [uncharged]
    [short] = simulate(agent, [replace(task, max_length=7)], dot)
    assert short.steps == 7
    assert short.score >= -0.1 * 7 - 1e-9  # no steps remain at the step limit


def test_callbacks_see_every_step(agent: Agent) -> None:
    seen = []

    class Watch(Callback[RealWorld]):
        def on_step(self, world: RealWorld, slots: list[Slot], actions: np.ndarray) -> None:
            self.on_end(world, slots[0], Result(0, 0))

        def on_end(self, world: RealWorld, slot: Slot, result: Result) -> None:
            seen.append((slot.steps, world.frames[slot.row].copy(), world.z[slot.row].copy(), world.render(slot.row)))

    task = Task(env_seed=5, max_length=5, weights=some_weights(1))
    watched = simulate(agent, [task], callbacks=[Watch()], render_mode="rgb_array")
    assert watched == simulate(agent, [task])  # watching changes no score
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
