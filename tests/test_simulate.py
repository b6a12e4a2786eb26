"""What an agent scores: the order of events by a slow second loop, and that nothing but the task decides a score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import config
import controller.arch as controller
from pipeline.errors import UserError
from pipeline.networks import seed_everything
from simulation import collect as drivers
from simulation.agent import Agent
from simulation.environments import make_env
from simulation.rollout import ROWS, Result, Slot, Task
from simulation.simulator import Simulator

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 50


@pytest.fixture(scope="module")
def agent(one_thread: None) -> Agent:
    """Untrained, but made to look: its z and h are far from zero."""
    seed_everything(0)
    agent = Agent()
    agent.vae.full_model.set_weights([2 * weight for weight in agent.vae.full_model.get_weights()])
    return agent


@pytest.fixture
def dot(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an environment whose episodes end by themselves, after 20 to 30 steps; idling is free."""
    entry = config.Environment(
        id="helpers.dot:WorldModels/Dot-v0", explore="custom_envs.exploration:explore_car_racing"
    )
    monkeypatch.setitem(config.ENVIRONMENTS, "dot", entry)
    return "dot"


def some_weights(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, controller.NUM_WEIGHTS)


def parked() -> np.ndarray:
    """The weights of a driver that stands on the brake."""
    weights = np.zeros(controller.NUM_WEIGHTS)
    weights[-3:] = 0, -20, 20
    return weights


def tasks(count: int, first_track: int = 0) -> list[Task]:
    """Tasks that differ in weights, track and length."""
    return [Task(some_weights(i), first_track + i % 7, STEPS - i % 5) for i in range(count)]


# --- the order of events -------------------------------------------------------------------------------------------


def drive(agent: Agent, task: Task) -> tuple[Result, list[list[float]]]:
    """A result of the simulator, and the actions that led to it."""
    actions = []
    simulator = Simulator(agent, "car_racing", watch=lambda env, slot, frame, z: actions.append(slot.action.tolist()))
    [result] = simulator.run([task])
    return result, actions[:-1]  # the last time it is the frame at the end that is watched


def drive_slowly(agent: Agent, task: Task, previous_action: bool = False) -> tuple[Result, list[list[float]]]:
    """The same, step by step. With `previous_action` M is fed as in the tutorial: the action before."""
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


def test_an_episode_is_that_of_a_slow_loop(agent: Agent) -> None:
    """Frame to z, z and h to action, both and the reward to the next h: bit for bit.

    And the test sees the order: were M fed the action before, h and with it the third action would be another.
    """
    task = Task(some_weights(1), env_seed=5, max_length=STEPS)
    result, actions = drive(agent, task)
    assert (result, actions) == drive_slowly(agent, task)
    _, other_actions = drive_slowly(agent, task, previous_action=True)
    assert other_actions[:1] == actions[:1]
    assert other_actions[2] != actions[2]


def test_the_order_of_the_tutorial_is_that_of_its_slow_loop(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "previous_action", True)
    task = Task(some_weights(1), env_seed=5, max_length=STEPS)
    assert drive(agent, task) == drive_slowly(agent, task, previous_action=True)


def test_a_drawn_z_lies_around_its_mean_and_is_the_tracks_own(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, drawn = [], []

    def watch(env: object, slot: Slot, frame: np.ndarray, z: np.ndarray) -> None:
        if slot.steps == 0:
            frames.append(frame.copy())
            drawn.append(z)

    monkeypatch.setattr(agent, "sample_z", True)
    simulator = Simulator(agent, "car_racing", watch=watch)
    for env_seed in range(30):
        simulator.run([Task(some_weights(1), env_seed, max_length=1)])
    mean, log_var = agent.vae.encode(np.stack(frames), ROWS)
    noise = (np.stack(drawn) - mean) / np.exp(log_var / 2)
    assert abs(noise.mean()) < 0.1 and noise.std() == pytest.approx(1, abs=0.1)  # of 960 numbers

    task = Task(some_weights(1), env_seed=5, max_length=STEPS)
    assert drive(agent, task) == drive(agent, task)
    together = Simulator(agent, "car_racing").run([*tasks(20), task])
    assert together[-1] == drive(agent, task)[0]


@pytest.mark.parametrize("env_seed", [3, 4])
def test_the_random_driver_is_stage_01s(agent: Agent, env_seed: int) -> None:
    settings = {"env": "car_racing", "time_steps": STEPS + 1, "action_refresh_rate": config.ACTION_REFRESH_RATE}
    episode = drivers.explore_episode(make_env("car_racing"), env_seed, settings, show=None)
    result, actions = drive(agent, Task(None, env_seed, STEPS))
    assert actions == episode["action_data"][:STEPS].tolist()
    assert result.score == pytest.approx(episode["reward_data"].sum(dtype=np.float64), abs=1e-4)
    assert len(np.unique(actions, axis=0)) > 3


# --- what a score depends on ---------------------------------------------------------------------------------------


def test_a_score_does_not_depend_on_neighbours_lanes_or_order(agent: Agent) -> None:
    """More tasks than lanes, so that lanes are taken over by others at different times."""
    many = tasks(ROWS + 5)
    simulator = Simulator(agent, "car_racing")
    together = simulator.run(many)
    assert together[::-1] == simulator.run(many[::-1])
    for i in (0, 3, ROWS, ROWS + 4):
        assert Simulator(agent, "car_racing").run([many[i]]) == [together[i]]
    assert [result.steps for result in together] == [task.max_length for task in many]


def test_ended_episodes_do_not_depend_on_neighbours_either(agent: Agent, dot: str) -> None:
    many = tasks(2 * ROWS)
    together = Simulator(agent, dot).run(many)
    for i in (0, 9, 31):
        assert Simulator(agent, dot).run([many[i]]) == [together[i]]
    assert {result.steps for result in together} <= set(range(20, 31))


def test_same_task_same_episode_other_task_other_episode(agent: Agent) -> None:
    base = Task(some_weights(1), env_seed=5, max_length=STEPS)
    variants = [base, base, replace(base, weights=some_weights(2)), replace(base, env_seed=6)]
    one, same, other_weights, other_track = (drive(agent, variant) for variant in variants)
    assert one == same
    assert one[1] != other_weights[1] != other_track[1] != one[1]  # actions: two drivers may meet as many tiles
    assert one[0] != other_track[0]


def test_every_end_is_reported_once_with_its_index(agent: Agent, dot: str) -> None:
    heard = {}
    results = Simulator(agent, dot).run(tasks(ROWS + 3), heard.setdefault)
    assert [heard[i] for i in range(ROWS + 3)] == results


def test_no_tasks_no_results(agent: Agent) -> None:
    assert Simulator(agent, "car_racing").run([]) == []


# --- ends ----------------------------------------------------------------------------------------------------------


def test_an_episode_given_up_is_charged_what_idling_would_have_cost(agent: Agent) -> None:
    task = Task(parked(), env_seed=1, max_length=70)
    [patient] = Simulator(agent, "car_racing").run([task])
    [given_up] = Simulator(agent, "car_racing", max_steps_without_progress=10).run([task])
    assert patient.steps == 70
    assert given_up.steps < 30
    assert given_up.score == pytest.approx(patient.score, abs=1e-9)


def test_patience_counts_steps_since_the_last_gain(agent: Agent, dot: str) -> None:
    """A dot that is steered to the wall gains nothing from some step on; which, the environment itself says."""
    weights = parked()
    weights[-3] = 20  # full right
    for env_seed in range(5):
        env = make_env(dot)
        env.reset(seed=env_seed)
        rewards, done = [], False
        while not done:
            _, reward, done, _, _ = env.step(np.array([1, 0, 1], np.float32))
            rewards.append(reward)
        last_gain = max((t for t, reward in enumerate(rewards, 1) if reward > 0), default=0)
        [result] = Simulator(agent, dot, max_steps_without_progress=4).run([Task(weights, env_seed, 1000)])
        steps = min(last_gain + 4, len(rewards))
        assert result.steps == steps
        assert result.score == pytest.approx(sum(rewards[:steps]))


def test_an_episode_that_ends_is_charged_no_idling(agent: Agent, dot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(some_weights(3), env_seed=2, max_length=1000)
    [free] = Simulator(agent, dot).run([task])
    monkeypatch.setitem(config.ENVIRONMENTS, dot, replace(config.ENVIRONMENTS[dot], no_progress_reward=-5.0))
    assert Simulator(agent, dot).run([task]) == [free]
    [short] = Simulator(agent, dot).run([replace(task, max_length=7)])
    assert short.steps == 7
    assert short.score >= -0.1 * 7 - 1e-9  # at its step limit an episode is over, not abandoned


def test_what_is_watched_is_the_first_lane(agent: Agent) -> None:
    seen = []
    simulator = Simulator(
        agent, "car_racing", watch=lambda env, slot, frame, z: seen.append((slot.steps, frame.copy(), z, env.render()))
    )
    task = Task(some_weights(1), env_seed=5, max_length=5)
    assert simulator.run([task]) == Simulator(agent, "car_racing").run([task])  # who watches changes nothing
    assert [steps for steps, *_ in seen] == [0, 1, 2, 3, 4, 5]
    for _, frame, z, picture in seen:
        np.testing.assert_array_equal(z, agent.vae.encode(frame[None], ROWS)[0][0])
        assert picture.shape == (400, 600, 3)


# --- files ---------------------------------------------------------------------------------------------------------


def test_networks_that_do_not_belong_together_are_refused(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    agent.vae.save(Path("vae/weights.h5"), {})
    agent.rnn.save(Path("rnn/weights.h5"), {"settings": {"vae": "another"}})
    with pytest.raises(UserError, match=r"rnn/ learned from VAE another, vae/ holds \w+: run 03"):
        Agent().load()
