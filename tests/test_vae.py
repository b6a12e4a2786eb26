"""Tests of the VAE: losses by a second formula, sizes, independence of the batch, learning, weight files."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.batches import ObsSettings
from pipeline.errors import UserError
from pipeline.networks import TOWERS, keras, seed_everything, tf
from pipeline.sizes import CAR
from simulation import collect
from vae.arch import VAE, VAETrainer, kl_divergence, reconstruction_loss
from vae.conv import Conv2DTranspose

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def vae(one_thread: None) -> VAE:
    seed_everything(0)
    return VAE()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Frames of two episodes of stage 01: uint8 (100, 64, 64, 3)."""
    settings = ObsSettings(env="car_racing", seed=0, action_refresh_rate=5, time_steps=50, episodes=2)
    return np.concatenate([episode["obs_data"] for episode in collect.record_exploration(settings, (1, 2))])


# --- the losses ----------------------------------------------------------------------------------------------------


def test_kl_divergence_equals_its_integral() -> None:
    """Second formula: the integral of q log(q / p) on a grid, summed over latents."""
    rng = np.random.default_rng(0)
    mu, log_var = rng.normal(0, 1.5, (4, 3)), rng.normal(-1, 1.5, (4, 3))
    z = np.linspace(-40, 40, 200_001)
    log_q = -0.5 * ((z - mu[..., None]) ** 2 / np.exp(log_var[..., None]) + log_var[..., None] + np.log(2 * np.pi))
    log_p = -0.5 * (z**2 + np.log(2 * np.pi))
    integral = np.trapezoid(np.exp(log_q) * (log_q - log_p), z, axis=-1).sum(axis=1)
    np.testing.assert_allclose(kl_divergence(tf.constant(mu), tf.constant(log_var)), integral, rtol=1e-6)


def test_reconstruction_loss_is_a_sum_over_pixels() -> None:
    one, other = np.random.default_rng(0).random((2, 3, 64, 64, 3), np.float32)
    expected = [sum(float(d) ** 2 for d in (a - b).ravel()) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(reconstruction_loss(one, other), expected, rtol=1e-5)


# --- the network ---------------------------------------------------------------------------------------------------


def test_the_sizes_are_the_tutorials(vae: VAE) -> None:
    """2,115,971 parameters: per layer (kernel area x input channels + 1) x output channels."""
    encoder = sum((16 * n + 1) * m for n, m in ((3, 32), (32, 64), (64, 64), (64, 128)))
    encoder += 2 * (2 * 2 * 128 + 1) * 32
    decoder = (32 + 1) * 1024
    decoder += sum((k * k * n + 1) * m for k, n, m in ((5, 1024, 64), (5, 64, 64), (6, 64, 32), (6, 32, 3)))
    assert vae.full_model.count_params() == encoder + decoder == 2_115_971
    assert vae.encoder.count_params() == encoder
    assert vae.decoder.count_params() == decoder


def test_the_shapes_of_the_four_models(vae: VAE, frames: np.ndarray) -> None:
    mu, log_var = vae.encoder_mu_log_var(frames[:3])
    assert mu.shape == log_var.shape == (3, CAR.z)
    assert vae.encoder(frames[:3]).shape == (3, CAR.z)
    assert vae.decoder(mu).shape == (3, 64, 64, 3)
    reconstructions = vae.full_model(frames[:3]).numpy()
    assert reconstructions.shape == (3, 64, 64, 3)
    assert 0 <= reconstructions.min() < reconstructions.max() <= 1
    assert vae.decode(mu.numpy()).dtype == np.uint8


@pytest.mark.parametrize("size, inputs, kernel, filters", [(1, 20, 5, 8), (4, 6, 5, 3), (5, 6, 6, 4), (7, 4, 2, 3)])
def test_a_transposed_convolution_equals_keras_own(size: int, inputs: int, kernel: int, filters: int) -> None:
    """Values and gradients of all three paths: matrix product, Keras' own layer, sub-pixel convolution."""
    x = tf.random.stateless_normal((3, size, size, inputs), seed=(1, 2))
    results = []
    for kind in (Conv2DTranspose, keras.layers.Conv2DTranspose):
        layer = kind(filters, kernel, strides=2, activation="tanh")
        layer.build(x.shape)
        layer.set_weights([np.random.default_rng(i).normal(0, 0.1, w.shape) for i, w in enumerate(layer.weights)])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        results.append([y, *tape.gradient(loss, [x, *(weight.value for weight in layer.weights)])])
    for ours, keras_own in zip(*results, strict=True):
        assert np.abs(keras_own).max() > 0.1
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-5)


def test_the_encoder_samples_from_mu_and_log_var(vae: VAE, frames: np.ndarray) -> None:
    same = np.repeat(frames[:1], 1000, axis=0)
    z = vae.encoder(same).numpy()
    mu, log_var = (moment.numpy()[0] for moment in vae.encoder_mu_log_var(same[:1]))
    deviations = (z - mu) / np.exp(log_var / 2)
    assert np.abs(deviations.mean(axis=0)).max() < 5 / np.sqrt(len(z))
    np.testing.assert_allclose(deviations.std(axis=0), 1, atol=0.1)


def test_a_frames_z_does_not_depend_on_its_neighbors(vae: VAE, frames: np.ndarray) -> None:
    """Bit for bit: neither on the other frames of the call, nor on its position, nor on the padding."""
    mu, log_var = vae.encode(frames[:40], rows=16)
    for i in (0, 7, 15, 16, 39):
        alone = vae.encode(frames[i : i + 1], rows=16)
        np.testing.assert_array_equal(alone[0][0], mu[i])
        np.testing.assert_array_equal(alone[1][0], log_var[i])
    for n in range(1, 17):
        for moment, few in zip((mu, log_var), vae.encode(frames[3 : 3 + n], rows=16), strict=True):
            np.testing.assert_array_equal(few, moment[3 : 3 + n])
    reversed_frames = vae.encode(frames[:40][::-1], rows=16)
    np.testing.assert_array_equal(reversed_frames[0][::-1], mu)
    assert len(np.unique(mu, axis=0)) == len(np.unique(frames[:40], axis=0)) > 1


def test_encode_equals_the_keras_model(vae: VAE, frames: np.ndarray) -> None:
    for ours, keras_own in zip(vae.encode(frames[:20], rows=16), vae.encoder_mu_log_var(frames[:20]), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-5)


# --- learning ------------------------------------------------------------------------------------------------------


def test_the_vae_learns_to_distinguish_frames(frames: np.ndarray) -> None:
    """The loss falls below that of the mean frame, which is the optimum of a decoder that ignores z."""
    seed_everything(0)
    frames = frames[::5]
    trainer = VAETrainer(VAE(), seed=0)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3))
    mean_frame_loss = np.square(frames / 255 - (frames / 255).mean(axis=0)).sum(axis=(1, 2, 3)).mean()
    untrained = trainer.evaluate(frames, batch_size=100, return_dict=True, verbose=0)
    assert untrained["reconstruction"] > 2 * mean_frame_loss
    trainer.fit(frames, batch_size=10, epochs=60, verbose=0)
    trained = trainer.evaluate(frames, batch_size=100, return_dict=True, verbose=0)
    assert trained["reconstruction"] < 0.9 * mean_frame_loss
    assert trained["kl"] > 3
    assert trained["loss"] == pytest.approx(trained["reconstruction"] + trained["kl"], rel=1e-6)


def test_the_noise_is_a_function_of_seed_and_step(one_thread: None) -> None:
    trainers = [VAETrainer(VAE(), seed) for seed in (1, 1, 2)]
    shape = tf.zeros((5, CAR.z))
    same, again, other = (trainer.noise_like(shape, tf.constant(3, tf.int64)).numpy() for trainer in trainers)
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)
    assert not np.array_equal(same, trainers[0].noise_like(shape, tf.constant(4, tf.int64)))


@pytest.mark.parametrize(("rows", "pixel_variance"), [(1, 0.5), (3, 0.5), (4, 0.5), (7, 0.5), (7, 0.05)])
def test_losses_are_means_over_the_batch(vae: VAE, frames: np.ndarray, rows: int, pixel_variance: float) -> None:
    """Also where there are fewer frames than towers; computed a second time without towers.

    The loss is the negative evidence lower bound without the logarithm of the pixels' variance.
    """
    trainer, step, batch = VAETrainer(vae, 3, pixel_variance), tf.constant(5, tf.int64), frames[:rows]
    losses = trainer.losses_of(tf.constant(batch), step)
    noise = trainer.noise_like(tf.zeros((max(rows, TOWERS), 32)), step)[:rows].numpy()
    mu, log_var = (array.numpy().astype(float) for array in vae.encoder_mu_log_var(batch))
    decoded = vae.decoder((mu + np.exp(log_var / 2) * noise).astype(np.float32)).numpy().astype(float)
    reconstruction = np.square(batch / 255 - decoded).sum(axis=(1, 2, 3)).mean()
    kl = (0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)).sum(axis=1).mean()
    found = [float(losses[name]) for name in VAETrainer.parts]
    # of a normal distribution, up to its scale
    density = np.exp(-np.square(batch / 255 - decoded) / (2 * pixel_variance))
    loss = kl - np.log(density).sum(axis=(1, 2, 3)).mean()
    np.testing.assert_allclose(found, [loss, reconstruction, kl], rtol=1e-4, atol=1e-4)


# --- files ---------------------------------------------------------------------------------------------------------


def test_saved_weights_are_the_same_network(vae: VAE, frames: np.ndarray, tmp_path: Path) -> None:
    """Under the tutorial's file name, without leftovers of the alias that Keras needs."""
    path = tmp_path / "vae" / "weights.h5"
    vae.save(path, {"made": "here"})
    other = VAE()
    assert not np.array_equal(other.encode(frames[:2], 2)[0], vae.encode(frames[:2], 2)[0])
    other.load(path)
    np.testing.assert_array_equal(other.encode(frames[:2], 2)[0], vae.encode(frames[:2], 2)[0])
    assert sorted(file.name for file in path.parent.iterdir()) == ["weights.h5", "weights.json"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "not finite", "another network", "a missing layer"])
def test_unusable_weights_are_refused_in_one_line(vae: VAE, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "weights.h5"
    if damage == "not finite":
        broken = VAE()
        broken.full_model.set_weights([np.full_like(weight, np.nan) for weight in broken.full_model.get_weights()])
        broken.save(path, {})
    elif damage == "another network":
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(tmp_path / "a.weights.h5")
        (tmp_path / "a.weights.h5").rename(path)
    elif damage == "a missing layer":
        vae.save(path, {})
        with h5py.File(path, "r+") as file:
            del file["layers/functional_1"]  # the decoder
    elif damage == "truncated":
        vae.save(path, {})
        path.write_bytes(path.read_bytes()[:1_000_000])
    elif damage == "text":
        path.write_text("no weights")
    with pytest.raises(UserError, match=str(path)) as error:
        VAE().load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("group", ["", "model_weights/"], ids=["save_weights", "save"])
def test_weights_of_keras_2_are_called_by_their_name(vae: VAE, tmp_path: Path, group: str) -> None:
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs.update({"layer_names": [b"conv2d_1", b"mu"], "backend": b"tensorflow", "keras_version": b"2.2.4"})
        for name, shape in (("conv2d_1", (4, 4, 3, 32)), ("mu", (512, 32))):
            root.create_dataset(f"{name}/{name}/kernel:0", data=np.zeros(shape, np.float32))
            root[name].attrs["weight_names"] = [f"{name}/kernel:0".encode()]
    with pytest.raises(UserError, match=r"weights.h5 holds weights of Keras 2, .*: train anew, with 02_train_vae.py"):
        vae.load(path)
