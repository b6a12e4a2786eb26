"""Tests of dreams: sampling against a second formula and the mixture's moments, and what a dream depends on."""

import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import config
import controller.arch as controller
from pipeline.errors import UserError
from pipeline.networks import seed_everything
from rnn.arch import RNN, dream_noise, split_mixture
from simulation.dream import ROWS, DreamWorld, open_initial_z
from simulation.policies import ControllerPolicy
from simulation.rollout import Result, Slot, Task, rollout

pytestmark = pytest.mark.usefixtures("one_thread")
ENTRY = config.ENVIRONMENTS["car_racing"]
LAP_TILES, (TILE_REWARD, _), NO_PROGRESS_REWARD = ENTRY.dream_goal, ENTRY.dream_reward, ENTRY.no_progress_reward
HASH = "0123456789abcdef"  # of the VAE that encoded the initial states, according to the file


@pytest.fixture(scope="module")
def rnn(one_thread: None) -> RNN:
    """A network with large random weights, so that its mixtures differ clearly."""
    seed_everything(0)
    rnn, rng = RNN(), np.random.default_rng(0)
    rnn.model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in rnn.model.get_weights()])
    return rnn


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with seven initial states."""
    monkeypatch.chdir(tmp_path)
    config.DATA_DIR.mkdir()
    rng = np.random.default_rng(1)
    mu, log_var = rng.normal(size=(7, 32)), rng.normal(-2, 1, (7, 32))
    np.savez(config.DATA_DIR / "initial_z.npz", mu=mu, log_var=log_var, vae=np.array(HASH))
    return tmp_path


def some_inputs(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    x = rng.normal(size=(ROWS, 36)).astype(np.float32)
    h, c = rng.normal(0, 0.5, (2, ROWS, 256)).astype(np.float32)
    return x, h, c


# --- one step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.5])
def test_step_samples_by_the_inverse_distribution(rnn: RNN, temperature: float) -> None:
    """In plain NumPy, per latent: the uniform number selects the component, the normal number samples its Gaussian."""
    x, h, c = some_inputs(np.random.default_rng(2))
    noise = dream_noise(np.random.default_rng(3), ROWS)
    z, reward, next_h, next_c, means = rnn.dream(x, h, c, noise, temperature)
    expected_h, expected_c = rnn.step(x, h, c)
    np.testing.assert_allclose(next_h, expected_h, atol=2e-6)
    np.testing.assert_allclose(next_c, expected_c, atol=2e-6)
    kernel, bias = (weight.numpy() for weight in rnn.model.get_layer("mixture").weights)
    outputs = expected_h.astype(np.float64) @ kernel + bias
    log_pi, mu, log_sigma = outputs[:, :480].reshape(ROWS, 3, 5, 32).transpose(1, 0, 2, 3)
    compared = 0
    for row in range(0, ROWS, 16):
        for i in range(32):
            p = np.exp(log_pi[row, :, i] / temperature)
            cumulative = np.cumsum(p / p.sum())
            k = int(np.searchsorted(cumulative[:4], noise[row, 32 + i]))
            if np.abs(cumulative[:4] - noise[row, 32 + i]).min() < 1e-4:
                continue  # rounding decides which component is selected
            sample = mu[row, k, i] + np.exp(log_sigma[row, k, i]) * np.sqrt(temperature) * noise[row, i]
            assert z[row, i] == pytest.approx(sample, rel=1e-3, abs=1e-3)
            assert means[row, i] == pytest.approx(mu[row, k, i], rel=1e-3, abs=1e-3)
            compared += 1
        probability = 1 / (1 + np.exp(-outputs[row, 480] / temperature))
        assert reward[row] == (noise[row, 64] < probability)
    assert compared > 500


def test_samples_have_the_mixtures_moments(rnn: RNN) -> None:
    """One state in all rows, stepped many times with independent noise."""
    x, h, c = (np.repeat(array[:1], ROWS, axis=0) for array in some_inputs(np.random.default_rng(4)))
    rng = np.random.default_rng(5)
    samples = [rnn.dream(x, h, c, dream_noise(rng, ROWS), 1.0) for _ in range(40)]
    z, rewards = np.concatenate([s[0] for s in samples]), np.concatenate([s[1] for s in samples])
    mixture = split_mixture(rnn.model.get_layer("mixture")(samples[0][2]))
    log_pi, mu, log_sigma, logit = (part.numpy()[0] for part in mixture)
    pi = np.exp(log_pi)
    mean = (pi * mu).sum(axis=0)
    variance = (pi * (np.exp(2 * log_sigma) + mu**2)).sum(axis=0) - mean**2
    n = len(z)
    assert (np.abs(z.mean(axis=0) - mean) < 5 * np.sqrt(variance / n)).all()
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.25)
    assert rewards.mean() == pytest.approx(1 / (1 + np.exp(-logit)), abs=0.03)


# --- whole dreams ----------------------------------------------------------------------------------------------------


def tasks(count: int, steps: int = 30) -> list[Task]:
    rng = np.random.default_rng(6)
    return [Task(seed % 9, steps + seed % 5, rng.normal(0, 0.2, controller.NUM_WEIGHTS)) for seed in range(count)]


def dream(rnn: RNN, tasks: list[Task], max_steps_without_progress: int | None = None) -> list[Result]:
    """The results of the tasks in a new dream world."""
    world = DreamWorld(rnn, open_initial_z(HASH), 1.0)
    return rollout(world, ControllerPolicy(world.rows), tasks, max_steps_without_progress)


def test_dream_does_not_depend_on_other_rows(rnn: RNN, here: Path) -> None:
    """There are more dreams than rows, so that rows start new dreams at different times."""
    many, world, policy = tasks(ROWS + 40), DreamWorld(rnn, open_initial_z(HASH), 1.0), ControllerPolicy(ROWS)
    together = rollout(world, policy, many)
    assert rollout(world, policy, many[::-1]) == together[::-1]
    for i in (0, 7, ROWS - 1, ROWS + 39):
        assert dream(rnn, [many[i]]) == [together[i]]
    assert [result.steps for result in together] == [task.max_length for task in many]


def test_dream_depends_on_seed_temperature_and_actions(rnn: RNN, here: Path) -> None:
    def last_z(seed: int, temperature: float, gas: float) -> np.ndarray:
        dreams = DreamWorld(rnn, open_initial_z(HASH), temperature)
        dreams.reset(3, seed)
        for _ in range(5):
            dreams.step(np.full((ROWS, 3), (0, gas, 0), np.float32), [3])
        return dreams.z[3]

    first = last_z(1, 1.0, 0.5)
    np.testing.assert_array_equal(last_z(1, 1.0, 0.5), first)
    for other in (last_z(2, 1.0, 0.5), last_z(1, 1.2, 0.5), last_z(1, 1.0, 0.6)):
        assert not np.array_equal(other, first)


def test_initial_z_is_sampled_from_the_initial_states(rnn: RNN, here: Path) -> None:
    mu, log_var = open_initial_z(HASH)
    dreams = DreamWorld(rnn, (mu, log_var), 1.0)
    for seed in range(200):
        dreams.reset(seed, seed)
    distance = np.abs(dreams.z[:200, None] - mu) / np.exp(log_var / 2)
    nearest = distance.mean(axis=2).argmin(axis=1)
    assert set(nearest) == set(range(7))
    assert distance[np.arange(200), nearest].max() < 6


def test_the_controller_sees_means_and_m_samples(rnn: RNN, here: Path) -> None:
    """As in the environment, where V's mean is the controller's input, while M was trained on samples."""
    mu, log_var = open_initial_z(HASH)
    world, twin = (DreamWorld(rnn, (mu, log_var), 1.0) for _ in range(2))
    policy = ControllerPolicy(ROWS)
    [task] = tasks(1)
    slot = Slot(0, 0, task)
    for reset in (world.reset, twin.reset):
        reset(0, task.env_seed)
    policy.reset(slot)
    assert (world.seen_z[0] == mu).all(axis=1).any()
    for _ in range(5):
        actions = policy.act(world, [slot])
        expected = controller.act(policy.W, policy.b, world.seen_z, world.h)
        np.testing.assert_array_equal(actions, expected)
        assert not np.array_equal(actions[0], controller.act(policy.W, policy.b, world.z, world.h)[0])
        twin.seen_z[:] = 99  # M does not read it
        for dreams in (world, twin):
            dreams.step(actions)
        np.testing.assert_array_equal(twin.z, world.z)
        assert np.abs(world.seen_z[0] - world.z[0]).max() > 0.01


def with_reward_logit(rnn: RNN, logit: float) -> RNN:
    """The same M with a constant logit of the reward."""
    other = RNN()
    *weights, kernel, bias = rnn.model.get_weights()
    kernel[:, -1], bias[-1] = 0, logit
    other.model.set_weights([*weights, kernel, bias])
    return other


def test_dream_ends_after_a_lap_without_charge(rnn: RNN, here: Path) -> None:
    [result] = dream(with_reward_logit(rnn, 99), tasks(1, steps=1000))
    assert result.steps == LAP_TILES
    assert result.score == pytest.approx(1000 - LAP_TILES / 10)


def test_dream_without_progress_is_truncated_and_charged(rnn: RNN, here: Path) -> None:
    [task] = tasks(1, steps=50)
    [truncated] = dream(with_reward_logit(rnn, -99), [task], max_steps_without_progress=10)
    assert truncated.steps == 10
    assert truncated.score == pytest.approx(50 * NO_PROGRESS_REWARD)
    [result] = dream(with_reward_logit(rnn, 99), [task], max_steps_without_progress=10)
    assert result.steps == 50
    assert result.score == pytest.approx(50 * (TILE_REWARD + NO_PROGRESS_REWARD))


# --- as an environment -----------------------------------------------------------------------------------------------

ID = "simulation:WorldModels/CarRacingDream-v0"


@pytest.fixture
def trained(copy_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights and initial states of the small finished run."""
    folder = copy_of("data/initial_z.npz", "vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")
    monkeypatch.chdir(folder)
    return folder


def test_environment_passes_gymnasiums_checker(trained: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*[Bb]ox observation space m(in|ax)imum value is.*")
        check_env(gym.make(ID, render_mode="rgb_array").unwrapped, skip_render_check=False)


def test_environment_is_a_function_of_seed_actions_and_temperature(trained: Path) -> None:
    def rollout(seed: int, temperature: float = 1.0) -> list:
        env = gym.make(ID, render_mode="rgb_array", temperature=temperature).unwrapped
        steps = [env.reset(seed=seed)[0]]
        for _ in range(6):
            steps += env.step(np.array([0.1, 0.5, 0], np.float32))[:2]
        assert env.render().shape == config.FRAME_SHAPE
        assert env.render().dtype == np.uint8
        return [np.asarray(step).tolist() for step in steps]

    assert rollout(1) == rollout(1)
    assert rollout(1) != rollout(2)
    assert rollout(1) != rollout(1, temperature=1.3)


def test_environment_terminates_without_progress(trained: Path) -> None:
    env = gym.make(ID).unwrapped
    model = env.world.rnn.model
    *weights, kernel, bias = model.get_weights()
    kernel[:, -1], bias[-1] = 0, -99  # M never predicts a positive reward
    model.set_weights([*weights, kernel, bias])
    env.reset(seed=1)
    terminated = [env.step(np.zeros(3, np.float32))[2] for _ in range(100)]
    assert terminated == [False] * 99 + [True]


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_temperature_must_be_above_zero(trained: Path, temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be above zero"):
        gym.make(ID, temperature=temperature)


@pytest.mark.parametrize("action", [[0.0, 0.0], [np.nan, 0.0, 0.0], 1])
def test_bad_action_is_refused(trained: Path, action: object) -> None:
    env = gym.make(ID).unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="3 finite numbers"):
        env.step(action)


# --- bad input -------------------------------------------------------------------------------------------------------


def _missing(path: Path) -> None:
    path.unlink()


def _garbage(path: Path) -> None:
    path.write_bytes(b"PK garbage")


def _objects(path: Path) -> None:
    np.savez(path, mu=np.array([{}], object), log_var=np.zeros((1, 32)), vae=np.array(HASH))


def _nan(path: Path) -> None:
    np.savez(path, mu=np.full((2, 32), np.nan), log_var=np.zeros((2, 32)), vae=np.array(HASH))


def _narrow(path: Path) -> None:
    np.savez(path, mu=np.zeros((2, 31)), log_var=np.zeros((2, 31)), vae=np.array(HASH))


def _empty(path: Path) -> None:
    np.savez(path, mu=np.zeros((0, 32)), log_var=np.zeros((0, 32)), vae=np.array(HASH))


def _of_another_vae(path: Path) -> None:
    np.savez(path, mu=np.zeros((2, 32)), log_var=np.zeros((2, 32)), vae=np.array("f" * 16))


def _of_no_vae(path: Path) -> None:
    np.savez(path, mu=np.zeros((2, 32)), log_var=np.zeros((2, 32)))


DAMAGES = (_missing, _garbage, _objects, _nan, _narrow, _empty, _of_another_vae, _of_no_vae)


@pytest.mark.parametrize("damage", DAMAGES)
def test_bad_initial_states_are_refused(here: Path, damage: Callable[[Path], None]) -> None:
    damage(config.DATA_DIR / "initial_z.npz")
    with pytest.raises(UserError, match=r"initial_z\.npz .*03_generate_rnn_data\.py") as error:
        open_initial_z(HASH)
    assert "\n" not in str(error.value)
