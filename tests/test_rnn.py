"""Tests of the MDN-RNN: losses by a second formula, mask, single steps against series, learning, weight files."""

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.networks import keras, seed_everything, tf
from pipeline.sizes import CAR
from rnn import fast_losses
from rnn.arch import RNN, RNNTrainer, mixture_nll, split_mixture, summed_losses
from rnn.lstm import lstm

pytestmark = pytest.mark.usefixtures("one_thread")

Z, K = CAR.z, CAR.mixtures


@pytest.fixture(scope="module")
def rnn(one_thread: None) -> RNN:
    seed_everything(0)
    return RNN()


def some_series(n: int, T: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random series of n episodes with T+1 frames, none of which ends early, in the format of stage 04."""
    rng = np.random.default_rng(seed)
    return {
        "mu": rng.normal(size=(n, T + 1, Z)).astype(np.float32),
        "log_var": rng.normal(-2, 0.3, (n, T + 1, Z)).astype(np.float32),
        "action": rng.uniform(-1, 1, (n, T, CAR.actions)).astype(np.float32),
        "reward": rng.integers(0, 2, (n, T + 1)).astype(np.float32),
        "real": np.ones((n, T), bool),
    }


def losses_of(trainer: RNNTrainer, series: dict[str, np.ndarray], step: int = 0) -> dict[str, float]:
    tensors = {name: tf.constant(array) for name, array in series.items()}
    return {name: float(loss) for name, loss in trainer.losses_of(tensors, tf.constant(step, tf.int64)).items()}


# --- the losses ----------------------------------------------------------------------------------------------------


def test_mixture_nll_is_minus_log_of_the_summed_densities() -> None:
    """Second formula: the densities themselves, one by one, without log space."""
    rng = np.random.default_rng(0)
    z, mu, log_sigma = rng.normal(size=(2, Z)), rng.normal(size=(2, K, Z)), rng.normal(0, 0.5, (2, K, Z))
    weights = rng.random((2, K, Z))
    pi = weights / weights.sum(axis=1, keepdims=True)
    nll = mixture_nll(*(tf.constant(array) for array in (z, np.log(pi), mu, log_sigma))).numpy()
    for i in range(2):
        for j in range(Z):
            parts = [
                pi[i, k, j]
                * math.exp(-(((z[i, j] - mu[i, k, j]) / math.exp(log_sigma[i, k, j])) ** 2) / 2)
                / (math.exp(log_sigma[i, k, j]) * math.sqrt(2 * math.pi))
                for k in range(K)
            ]
            assert nll[i, j] == pytest.approx(-math.log(math.fsum(parts)), rel=1e-9)


def test_mixture_nll_is_finite_where_the_density_underflows() -> None:
    """A hundred standard deviations from the mean the density is 0 in floating point, but its logarithm is finite."""
    z, zeros = tf.fill((1, Z), 100.0), tf.zeros((1, K, Z))
    nll = mixture_nll(z, zeros - math.log(K), zeros, zeros).numpy()
    np.testing.assert_allclose(nll, 5000 + 0.5 * math.log(2 * math.pi), rtol=1e-5)


def test_split_mixture() -> None:
    """The order of the dense layer's outputs; log_pi is normalized over the mixtures."""
    outputs = np.random.default_rng(0).normal(size=(3, 4, CAR.mixture_outputs + 1))
    log_pi, mu, log_sigma, logit = (part.numpy() for part in split_mixture(tf.constant(outputs)))
    assert log_pi.shape == mu.shape == log_sigma.shape == (3, 4, K, Z)
    np.testing.assert_allclose(np.exp(log_pi).sum(axis=2), 1)
    np.testing.assert_array_equal(mu.reshape(3, 4, -1), outputs[..., K * Z : 2 * K * Z])
    np.testing.assert_array_equal(log_sigma.reshape(3, 4, -1), outputs[..., 2 * K * Z : 3 * K * Z])
    np.testing.assert_array_equal(logit, outputs[..., -1])
    raw = outputs[..., : K * Z].reshape(3, 4, K, Z)
    np.testing.assert_allclose(log_pi - log_pi[..., :1, :], raw - raw[..., :1, :], atol=1e-12)


def test_the_losses_are_means_over_transitions(rnn: RNN) -> None:
    """Second formula: NumPy on the network's outputs. The variances are nearly zero, so z is its mean."""
    series = some_series(3, 6) | {"log_var": np.full((3, 7, Z), -40, np.float32)}
    series["real"][1, 4:] = False
    inputs = np.concatenate([series["mu"][:, :-1], series["action"], series["reward"][:, :-1, None]], axis=-1)
    outputs = rnn.model(inputs).numpy().astype(np.float64)
    log_pi, mu, log_sigma, logit = split_mixture(tf.constant(outputs))
    target = tf.constant(series["mu"][:, 1:].astype(np.float64))
    nll = mixture_nll(target, log_pi, mu, log_sigma).numpy().mean(axis=-1)
    p = 1 / (1 + np.exp(-logit.numpy()))
    cross_entropy = -np.log(np.where(series["reward"][:, 1:] == 1, p, 1 - p))
    losses = losses_of(RNNTrainer(rnn, 0), series)
    assert losses["z_loss"] == pytest.approx(nll[series["real"]].mean(), rel=1e-5)
    assert losses["reward_loss"] == pytest.approx(cross_entropy[series["real"]].mean(), rel=1e-5)
    assert losses["loss"] == pytest.approx(losses["z_loss"] + losses["reward_loss"], rel=1e-6)


def test_padding_after_the_end_of_an_episode_is_masked(rnn: RNN) -> None:
    """Its values change neither the losses nor their gradients."""
    clean, trainer = some_series(4, 8), RNNTrainer(rnn, 0)
    clean["real"][0, 3:] = clean["real"][2, 7:] = False
    garbage = {name: array.copy() for name, array in clean.items()}
    for i, last in ((0, 3), (2, 7)):  # the last real frame
        garbage["mu"][i, last + 1 :], garbage["log_var"][i, last + 1 :] = 1e4, 3
        garbage["reward"][i, last + 1 :], garbage["action"][i, last:] = 1, -7
    gradients = []
    for series in (clean, garbage):
        tensors = {name: tf.constant(array) for name, array in series.items()}
        with tf.GradientTape() as tape:
            loss = trainer.losses_of(tensors, tf.constant(0, tf.int64))["loss"]
        gradients.append([loss, *tape.gradient(loss, rnn.model.trainable_variables)])
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)
    changed = {name: array.copy() for name, array in clean.items()}
    changed["mu"][0, 3] += 1  # the last real frame is not masked
    assert losses_of(trainer, changed)["z_loss"] != losses_of(trainer, clean)["z_loss"]


def test_the_sampled_z_is_a_function_of_seed_and_step(rnn: RNN) -> None:
    series = some_series(2, 5)
    first, again, later = (losses_of(RNNTrainer(rnn, 1), series, step)["loss"] for step in (3, 3, 4))
    other = losses_of(RNNTrainer(rnn, 2), series, 3)["loss"]
    assert first == again
    assert len({first, later, other}) == 3


# --- the network ---------------------------------------------------------------------------------------------------


def test_the_sizes_are_the_papers(rnn: RNN) -> None:
    """The paper's 422,368 parameters and those of the reward: one more LSTM input, one more output."""
    lstm, dense = 4 * (Z + 3 + 256 + 1) * 256, (256 + 1) * (3 * K * Z)
    assert lstm + dense == 422_368
    assert rnn.model.count_params() == 422_368 + 4 * 256 + 257


def test_single_steps_equal_the_series(rnn: RNN) -> None:
    x = np.random.default_rng(0).normal(size=(4, 30, CAR.inputs)).astype(np.float32)
    series = rnn.hidden_model(x).numpy()
    h, c = np.zeros((2, 4, CAR.h), np.float32)
    for t in range(30):
        h, c = rnn.step(x[:, t], h, c)
        np.testing.assert_allclose(h, series[:, t], atol=1e-5)
    assert np.abs(h).max() > 0.1


def test_a_row_of_a_step_does_not_depend_on_the_other_rows(rnn: RNN) -> None:
    rng = np.random.default_rng(0)
    x, h, c = (rng.normal(size=(16, n)).astype(np.float32) for n in (CAR.inputs, 256, 256))
    together = rnn.step(x, h, c)
    for i in (0, 9, 15):
        alone = [np.zeros_like(array) for array in (x, h, c)]
        for array, full in zip(alone, (x, h, c), strict=True):
            array[3] = full[i]
        for one, full in zip(rnn.step(*alone), together, strict=True):
            np.testing.assert_array_equal(one[3], full[i])


def test_hidden_states_do_not_depend_on_the_other_series(rnn: RNN) -> None:
    x = np.random.default_rng(0).normal(size=(120, 4, CAR.inputs)).astype(np.float32)
    together = rnn.hidden_states(x)
    assert together.shape == (120, 4, CAR.h)
    for i in (0, 49, 50, 119):
        np.testing.assert_allclose(together[i], rnn.hidden_states(x[i : i + 1])[0], atol=1e-6)


# --- fast kernels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "steps"), [(5, 20), (1, 1), (0, 3)])
def test_the_fused_lstm_equals_keras_layer(rows: int, steps: int) -> None:
    """Values and gradients of all weights; also without rows, as in a tower of a batch smaller than TOWERS."""
    layer = keras.layers.LSTM(7, return_sequences=True)
    layer.build((None, None, 3))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(0, 0.5, weight.shape) for weight in layer.weights])
    x, dh = (tf.constant(rng.normal(size=(rows, steps, n)), tf.float32) for n in (3, 7))
    weights = [tf.convert_to_tensor(weight) for weight in layer.weights]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        ours = tf.transpose(lstm(tf.transpose(x, (1, 0, 2)), *weights), (1, 0, 2))
    assert ours.shape == (rows, steps, 7)
    ours = [ours, *tape.gradient(ours, weights, dh)]
    if not rows:
        assert all(not np.any(array) for array in ours)
        return
    with tf.GradientTape() as tape:
        theirs = layer(x)
    theirs = [theirs, *tape.gradient(theirs, [weight.value for weight in layer.weights], dh)]
    assert np.abs(theirs[0]).max() > 0.1
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [13, 12, 4, 3, 0])
def test_chunked_losses_equal_the_losses_of_all_rows(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, where the last chunk of four rows is short, full, the only one, or missing."""
    monkeypatch.setattr(fast_losses, "ROWS", 4)
    rng = np.random.default_rng(0)
    shapes = ((rows, 6), (6, CAR.mixture_outputs + 1), (CAR.mixture_outputs + 1,))
    inputs = [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]
    targets = [tf.constant(rng.normal(size=(rows, Z)), tf.float32), tf.ones(rows), tf.constant(rng.random(rows) < 0.7)]
    results = []
    for chunked in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            if chunked:
                loss, *parts = fast_losses.chunked_losses(summed_losses, *inputs, *targets)
            else:
                hidden, kernel, bias = inputs
                parts = summed_losses(tf.matmul(hidden, kernel) + bias, *targets)
                loss = parts[0] + parts[1]
            loss *= 3  # a gradient from above that is not 1
        results.append([loss, *parts, *tape.gradient(loss, inputs)])
    for ours, plain in zip(*results, strict=True):
        assert not rows or np.abs(plain).max() > 1e-3
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)


def test_the_gradients_of_the_trainer_are_those_of_the_keras_model(rnn: RNN) -> None:
    """Second formula: the model and mixture_nll on the whole batch; also for fewer episodes than TOWERS."""
    for n in (2, 7):
        series = some_series(n, 9) | {"log_var": np.full((n, 10, Z), -40, np.float32)}
        series["real"][0, 5:] = False
        tensors = {name: tf.constant(array) for name, array in series.items()}
        with tf.GradientTape() as tape:
            ours = RNNTrainer(rnn, 0).losses_of(tensors, tf.constant(0, tf.int64))["loss"]
        ours = [ours, *tape.gradient(ours, rnn.model.trainable_variables)]
        with tf.GradientTape() as tape:
            inputs = [tensors["mu"][:, :-1], tensors["action"], tensors["reward"][:, :-1, None]]
            log_pi, mu, log_sigma, logit = split_mixture(rnn.model(tf.concat(inputs, axis=-1)))
            losses = tf.reduce_mean(mixture_nll(tensors["mu"][:, 1:], log_pi, mu, log_sigma), axis=-1)
            losses += tf.nn.sigmoid_cross_entropy_with_logits(tensors["reward"][:, 1:], logit)
            plain = tf.reduce_mean(losses[tensors["real"]])
        plain = [plain, *tape.gradient(plain, rnn.model.trainable_variables)]
        for one, other in zip(ours, plain, strict=True):
            assert np.abs(other).max() > 1e-3
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


# --- learning ------------------------------------------------------------------------------------------------------


def test_the_rnn_learns_the_dynamics() -> None:
    """Latent 0 equals the last action, the reward is 1 after a positive action, all other latents are constant.

    A prediction that ignores the action has a reward loss of at least 0.69 nats, one that ignores z a z loss of 1.4.
    """
    seed_everything(0)
    trainer = RNNTrainer(RNN(), seed=0)
    trainer.compile(optimizer=keras.optimizers.Adam(5e-3, global_clipnorm=1.0))
    rng = np.random.default_rng(0)
    series = some_series(64, 10) | {"log_var": np.full((64, 11, Z), -6, np.float32)}
    series["action"] = rng.choice([-1.0, 1.0], (64, 10, 3)).astype(np.float32)
    series["mu"] = np.repeat(rng.normal(size=(64, 1, Z)), 11, axis=1).astype(np.float32)
    series["mu"][:, 1:, 0] = series["action"][:, :, 0]
    series["reward"][:, 1:] = series["action"][:, :, 0] > 0
    untrained = losses_of(trainer, series)
    assert untrained["z_loss"] > 1.2
    assert untrained["reward_loss"] > 0.5
    trainer.fit(tf.data.Dataset.from_tensor_slices(series).batch(32).repeat(80), verbose=0)
    trained = losses_of(trainer, series, step=10**6)
    assert trained["z_loss"] < -0.8
    assert trained["reward_loss"] < 0.1


# --- files ---------------------------------------------------------------------------------------------------------


def test_saved_weights_are_the_same_network(rnn: RNN, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, CAR.inputs)).astype(np.float32)
    rnn.save(tmp_path / "weights.h5", {})
    other = RNN()
    assert not np.array_equal(other.model(x), rnn.model(x))
    other.load(tmp_path / "weights.h5", "a VAE")
    np.testing.assert_array_equal(other.model(x), rnn.model(x))


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    inputs = keras.Input((None, CAR.inputs))
    hidden = keras.layers.LSTM(128, return_sequences=True)(inputs)
    smaller = keras.Model(inputs, keras.layers.Dense(CAR.mixture_outputs + 1)(hidden))
    smaller.save_weights(tmp_path / "a.weights.h5")
    (tmp_path / "a.weights.h5").rename(tmp_path / "weights.h5")
    with pytest.raises(UserError, match=r"weights\.h5 does not fit this rnn") as error:
        RNN().load(tmp_path / "weights.h5", "a VAE")
    assert "\n" not in str(error.value)
