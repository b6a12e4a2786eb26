"""Tests of V, M, C and dreams of other environments than the car: sizes, done, the value of rewards, [z, h, c]."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_entries import CART_POLE, PENDULUM

import config
import controller.arch as arch
from controller.coordinates import principal_subspace
from pipeline.errors import UserError
from pipeline.networks import seed_everything, tf
from pipeline.sizes import Sizes
from pipeline.weights import TrainingSettings
from rnn import fast_losses
from rnn.arch import RNN, RNNTrainer, mixture_nll, split_mixture
from simulation.agent import Agent
from simulation.dream import DreamWorld
from simulation.policies import ControllerPolicy
from simulation.real_world import RealWorld
from simulation.rollout import Task, rollout

pytestmark = pytest.mark.usefixtures("one_thread")

POLE = Sizes(z=8, actions=2, h=6, mixtures=5, done=True)
SWING = Sizes(z=5, actions=1, h=7, mixtures=2, reward=(8.0, -8.0))
SIZES = {"done": POLE, "value": SWING, "both": replace(SWING, done=True)}


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.ENVIRONMENTS, "pole", CART_POLE)
    swing = replace(PENDULUM, z=5, h=7, mixtures=2)
    monkeypatch.setitem(config.ENVIRONMENTS, "swing", swing)


def large_rnn(sizes: Sizes) -> RNN:
    """M with large random weights."""
    seed_everything(0)
    rnn, rng = RNN(sizes), np.random.default_rng(0)
    rnn.model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in rnn.model.get_weights()])
    return rnn


def some_series(sizes: Sizes, n: int, T: int) -> dict[str, np.ndarray]:
    """Random series of n episodes of T transitions; the variances of z are nearly zero, and the first ends early."""
    rng, real = np.random.default_rng(1), np.ones((n, T), bool)
    real[0, T // 2 :] = False
    series = {
        "mu": rng.normal(size=(n, T + 1, sizes.z)),
        "log_var": np.full((n, T + 1, sizes.z), -40),
        "action": rng.random((n, T, sizes.actions)),
        "reward": rng.integers(0, 2, (n, T + 1)) if sizes.reward is None else rng.normal(size=(n, T + 1)),
    }
    series = {name: array.astype(np.float32) for name, array in series.items()} | {"real": real}
    done = {"done": rng.integers(0, 2, (n, T)).astype(np.float32)} if sizes.done else {}
    return series | done


@pytest.mark.parametrize("kind", SIZES)
def test_the_losses_of_reward_and_done(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Second formula: NumPy on the network's outputs; and the gradients are those of the whole batch."""
    monkeypatch.setattr(fast_losses, "ROWS", 5)
    sizes, rnn = SIZES[kind], large_rnn(SIZES[kind])
    series, trainer = some_series(sizes, 3, 6), RNNTrainer(rnn, 0)
    inputs = np.concatenate([series["mu"][:, :-1], series["action"], series["reward"][:, :-1, None]], axis=-1)
    with tf.GradientTape() as tape:
        outputs = rnn.model(inputs)
        log_pi, mu, log_sigma, predicted, *ends = split_mixture(outputs, sizes)
        reward = tf.constant(series["reward"][:, 1:])
        if sizes.reward:
            expected = {"reward_loss": 0.5 * (predicted - reward) ** 2}
        else:
            expected = {"reward_loss": -tf.math.log_sigmoid(tf.where(reward == 1, predicted, -predicted))}
        if sizes.done:
            [logit] = ends
            expected["done_loss"] = -tf.math.log_sigmoid(tf.where(series["done"] == 1, logit, -logit))
        expected["z_loss"] = tf.reduce_mean(mixture_nll(series["mu"][:, 1:], log_pi, mu, log_sigma), axis=-1)
        expected = {name: tf.reduce_mean(loss[series["real"]]) for name, loss in expected.items()}
        expected["loss"] = tf.add_n(list(expected.values()))
    gradients = tape.gradient(expected["loss"], rnn.model.trainable_variables)
    assert outputs.shape[-1] == 3 * sizes.mixtures * sizes.z + 1 + sizes.done
    assert set(trainer.parts) == expected.keys()
    with tf.GradientTape() as tape:
        found = trainer.losses_of({name: tf.constant(a) for name, a in series.items()}, tf.constant(0, tf.int64))
    ours = tape.gradient(found["loss"], rnn.model.trainable_variables)
    for name, loss in expected.items():
        assert float(found[name]) == pytest.approx(float(loss), rel=1e-4)
    for one, other in zip(ours, gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", SIZES)
def test_a_dreamt_step_samples_reward_and_done(kind: str) -> None:
    sizes, rnn, rng = SIZES[kind], large_rnn(SIZES[kind]), np.random.default_rng(2)
    x, h, c = (rng.normal(size=(64, n)).astype(np.float32) for n in (sizes.inputs, sizes.h, sizes.h))
    noise = rng.random((64, sizes.noise), np.float32)
    z, reward, next_h, next_c, _, *ends = rnn.dream(x, h, c, noise, 1.5)
    kernel, bias = rnn.model.get_layer("mixture").get_weights()
    outputs = next_h @ kernel + bias
    predicted = outputs[:, sizes.mixture_outputs]
    uniform = noise[:, 2 * sizes.z :]
    if sizes.reward:
        np.testing.assert_allclose(reward, predicted, atol=1e-5)
        np.testing.assert_allclose(rnn.expected_reward(next_h), predicted, atol=1e-6)
    else:
        np.testing.assert_array_equal(reward, uniform[:, 0] < 1 / (1 + np.exp(-predicted / 1.5)))
        np.testing.assert_array_equal(rnn.expected_reward(next_h), predicted > 0)
    assert len(ends) == sizes.done
    for ended in ends:
        np.testing.assert_array_equal(ended, uniform[:, 1] < 1 / (1 + np.exp(-outputs[:, -1] / 1.5)))
        assert 0 < ended.mean() < 1
    np.testing.assert_allclose(rnn.step(x, h, c), (next_h, next_c), atol=1e-5)
    assert z.shape == (64, sizes.z)


def test_states_of_a_series_are_h_or_h_and_c() -> None:
    rnn, rng = large_rnn(POLE), np.random.default_rng(3)
    series = rng.normal(size=(4, 9, POLE.inputs)).astype(np.float32)
    both = rnn.hidden_states(series, cell=True)
    assert both.shape == (4, 9, 12)
    np.testing.assert_allclose(both[..., :6], rnn.hidden_states(series), atol=1e-6)
    h = c = np.zeros((4, 6), np.float32)
    for t in range(9):
        h, c = rnn.step(series[:, t], h, c)
    np.testing.assert_array_equal(both[:, -1], np.concatenate([h, c], axis=1))


# --- dreams -----------------------------------------------------------------------------------------------------------


def dream_of(rnn: RNN, env_name: str, **outputs: float) -> DreamWorld:
    """A dream of M with constant outputs, given by their places from the end."""
    *weights, kernel, bias = rnn.model.get_weights()
    for name, value in outputs.items():
        place = {"reward": rnn.sizes.mixture_outputs, "done": -1}[name]
        kernel[:, place], bias[place] = 0, value
    rnn.model.set_weights([*weights, kernel, bias])
    zeros = np.zeros((1, rnn.sizes.z), np.float32)
    return DreamWorld(rnn, (zeros, zeros), 1.0, rows=2, env_name=env_name)


def rolled_out(world: DreamWorld, limit: int | None = None) -> list[tuple[float, int]]:
    weights = np.random.default_rng(4).normal(size=world.form.num_weights)
    results = rollout(world, ControllerPolicy(2, world.form), [Task(seed, 20, weights) for seed in range(3)], limit)
    return [(result.score, result.steps) for result in results]


def test_m_ends_a_dream() -> None:
    """Every step of the pole has reward 1."""
    assert rolled_out(dream_of(large_rnn(POLE), "pole", reward=99, done=-99)) == [(20, 20)] * 3
    assert rolled_out(dream_of(large_rnn(POLE), "pole", reward=99, done=99)) == [(1, 1)] * 3
    ends = {steps for _, steps in rolled_out(dream_of(large_rnn(POLE), "pole", reward=99, done=-2))}
    assert len(ends) > 1 and min(ends) < 20


def test_a_dream_of_values_has_the_environments_scale() -> None:
    """M models r of a reward 8 r - 8; no such dream ends early, since none of its rewards is positive."""
    for limit in (None, 5):
        for score, steps in rolled_out(dream_of(large_rnn(SWING), "swing", reward=0.75), limit):
            assert steps == 20
            assert score == pytest.approx(20 * -2.0)


def test_a_dream_begins_with_the_reward_of_a_first_frame() -> None:
    """Its modeled value is that of a reward of 0, as in the real world."""
    world = dream_of(large_rnn(SWING), "swing")
    world.reset(1, 5)
    assert world.modeled_reward.tolist() == [0, 1]


# --- the real world ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("env_name", "sizes"), [("pole", POLE), ("swing", SWING)])
def test_an_agent_acts_in_another_environment(env_name: str, sizes: Sizes) -> None:
    """A score is that of the environment's own rewards, and depends on the weights."""
    agent = Agent(sizes=sizes)
    world = RealWorld(agent, env_name)
    assert world.form.features == sizes.z + sizes.h * (1 + (env_name == "pole"))
    weights = np.random.default_rng(5).normal(0, 3, (3, world.form.num_weights))
    tasks = [Task(7, 30, each) for each in weights]
    results = rollout(world, ControllerPolicy(world.rows, world.form), tasks)
    assert len({result.score for result in results}) == 3 if env_name == "swing" else results[0].score > 5
    assert rollout(RealWorld(agent, env_name), ControllerPolicy(16, world.form), tasks[::-1]) == results[::-1]


def test_an_episode_that_only_costs_is_ended_early_only_if_its_entry_says_what_that_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without that, an evaluation with a limit is the final score; a charge of 0 would favor standing still."""
    agent, entry = Agent(sizes=SWING), config.ENVIRONMENTS["swing"]
    world = RealWorld(agent, "swing")
    task = Task(3, 30, np.zeros(world.form.num_weights))
    [final] = rollout(world, ControllerPolicy(16, world.form), [task])
    [evaluated] = rollout(world, ControllerPolicy(16, world.form), [task], 10)
    assert final == evaluated and final.steps == 30 and final.score < -10
    monkeypatch.setitem(config.ENVIRONMENTS, "swing", replace(entry, no_progress_reward=-1.0))
    [early] = rollout(RealWorld(agent, "swing"), ControllerPolicy(16, world.form), [task], 10)
    assert early.steps == 10 and final.score < early.score + 20


def test_an_agent_of_another_environment_is_refused() -> None:
    agent = Agent(sizes=SWING)
    with pytest.raises(UserError, match="'pole' is 2 numbers, M was trained on 1"):
        RealWorld(agent, "pole")
    agent.made_for = (Path("rnn/weights.h5"), ("swing",))
    with pytest.raises(UserError, match=r"^rnn/weights.h5 is of environment swing, not of pole: give that name$"):
        RealWorld(agent, "pole")


def test_networks_are_loaded_in_the_sizes_that_their_files_state(tmp_path: Path) -> None:
    agent = Agent(sizes=POLE)
    settings = TrainingSettings(
        env=("pole",), data="", N=None, batch_size=1, seed=0, init_weights=None, z=8, vae_hash=None
    )
    vae, rnn = tmp_path / "vae" / "weights.h5", tmp_path / "rnn" / "weights.h5"
    agent.vae.save(vae, {"settings": vars(settings)})
    hashes = {"vae": agent.vae.load(vae)}
    stated = replace(settings, vae_hash=hashes["vae"], **vars(POLE))
    agent.rnn.save(rnn, {"settings": vars(stated)})
    loaded = Agent()
    assert loaded.load(tmp_path) == agent.load(tmp_path)
    assert (loaded.sizes, loaded.vae.z_dim, loaded.made_for) == (POLE, 8, (rnn, ("pole",)))
    x = np.random.default_rng(6).normal(size=(1, 4, POLE.inputs)).astype(np.float32)
    np.testing.assert_array_equal(loaded.rnn.model(x), agent.rnn.model(x))


# --- the controller ---------------------------------------------------------------------------------------------------


def test_the_subspace_of_another_form() -> None:
    features = np.random.default_rng(7).normal(size=(300, 20)) * np.geomspace(1, 0.01, 20)
    coordinates = principal_subspace(np.zeros(42), features, 4, actions=2)
    u = np.random.default_rng(8).normal(size=10)
    W, b = arch.unpack(coordinates.weights(u), 2)
    mean, centered = features.mean(axis=0), features - features.mean(axis=0)
    _, s, Vt = np.linalg.svd(centered, full_matrices=False)
    V = Vt[:4] * np.sign(Vt[np.arange(4), np.abs(Vt[:4]).argmax(axis=1)])[:, None]
    projections = (s[:4] ** 2 / 299) ** -0.25 * (V @ (features[0] - mean))
    expected = u.reshape(2, 5)[:, :4] @ projections + u.reshape(2, 5)[:, 4]
    np.testing.assert_allclose(W @ features[0] + b, expected, rtol=1e-6)


def test_h_is_removed_from_another_form() -> None:
    W, b = arch.unpack(arch.without_h(np.arange(1.0, 43), 2, 8), 2)
    assert W[:, :8].all() and not W[:, 8:].any() and b.tolist() == [41, 42]
