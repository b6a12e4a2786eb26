"""The VAE (V): a convolutional variational autoencoder from a 64x64 frame to 32 latents and back.

The layer sizes are the tutorial's; some layers of the paper (arXiv 1803.10122, appendix A.1) have twice the filters.
The loss is, up to a constant, the negative evidence lower bound of Kingma and Welling (arXiv 1312.6114, equation 10)
for Gaussian pixels: squared error summed over pixels and divided by twice their variance, plus KL divergence in nats
summed over latents, averaged over the batch. The tutorial's sum of the two is that of variance 1/2.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

import config
from pipeline.networks import TOWERS, keras, load_weights, save_weights, tf, towers, traced
from pipeline.sizes import CAR
from pipeline.training import Trainer
from vae.conv import Conv2DTranspose

layers = keras.layers
MAKER = "02_train_vae.py"
SHOWN = 8  # frames in the images of a training


def reconstruction_loss(frames: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """Squared error summed over pixels and channels; two of (B, 64, 64, 3), values 0..1 -> (B,)."""
    return tf.reduce_sum(tf.square(frames - reconstructions), axis=(1, 2, 3))


def kl_divergence(mu: tf.Tensor, log_var: tf.Tensor) -> tf.Tensor:
    """KL(N(mu, exp(log_var)) || N(0, 1)) in nats summed over latents; two of (B, 32) -> (B,)."""
    return -0.5 * tf.reduce_sum(1 + log_var - tf.square(mu) - tf.exp(log_var), axis=1)


class Sampling(keras.layers.Layer):
    """z = mu + sigma * epsilon, epsilon ~ N(0, 1)."""

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        mu, log_var = inputs
        return mu + tf.exp(log_var / 2) * keras.random.normal(tf.shape(mu), seed=self.seed_generator)


class VAE:
    """The variational autoencoder, as four Keras models that share their weights.

    Attributes:
        encoder_mu_log_var: uint8 (B, 64, 64, 3) -> mu (B, 32), log_var (B, 32).
        encoder: uint8 (B, 64, 64, 3) -> sampled z (B, 32).
        decoder: z (B, 32) -> frames (B, 64, 64, 3), values 0..1.
        full_model: uint8 (B, 64, 64, 3) -> reconstructed frames (B, 64, 64, 3), values 0..1.
    """

    def __init__(self, z_dim: int = CAR.z) -> None:
        self.z_dim = z_dim
        frames = keras.Input(config.FRAME_SHAPE, dtype="uint8", name="frames")
        x = layers.Rescaling(1 / 255)(frames)
        for filters in (32, 64, 64, 128):
            x = layers.Conv2D(filters, 4, strides=2, activation="relu")(x)
        x = layers.Flatten()(x)
        mu = layers.Dense(z_dim, name="mu")(x)
        log_var = layers.Dense(z_dim, name="log_var")(x)

        z = keras.Input((z_dim,), name="z")
        y = layers.Dense(1024)(z)
        y = layers.Reshape((1, 1, 1024))(y)
        for filters, kernel in ((64, 5), (64, 5), (32, 6)):
            y = Conv2DTranspose(filters, kernel, strides=2, activation="relu")(y)
        y = Conv2DTranspose(3, 6, strides=2, activation="sigmoid")(y)

        self.encoder_mu_log_var = keras.Model(frames, [mu, log_var], name="encoder_mu_log_var")
        self.encoder = keras.Model(frames, Sampling()((mu, log_var)), name="encoder")
        self.decoder = keras.Model(z, y, name="decoder")
        self.full_model = keras.Model(frames, self.decoder(self.encoder(frames)), name="vae")

    @cached_property
    def _encode(self) -> Callable[[tf.Tensor], list[tf.Tensor]]:
        return traced(self.encoder_mu_log_var, tf.TensorSpec((None, *config.FRAME_SHAPE), tf.uint8))

    def encode(self, frames: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Encode frames, uint8 (n, 64, 64, 3), to mu and log_var, float32 (n, 32) each, in calls of `rows` frames.

        The last call is padded to `rows` frames: on some processors TensorFlow rounds calls of 4 and of 16 frames
        differently, and the z of a frame must not depend on the number of frames encoded with it
        (test_a_frames_z_does_not_depend_on_its_neighbors).

        Raises:
            ValueError: the frames have another dtype or shape; values 0..1 would give a wrong z.
        """
        if frames.dtype != np.uint8 or frames.shape[1:] != config.FRAME_SHAPE:
            needed = f"uint8 (n, {', '.join(map(str, config.FRAME_SHAPE))}), values 0 to 255"
            raise ValueError(f"frames are {frames.dtype} {frames.shape}, need {needed}")
        mu = np.empty((len(frames), self.z_dim), np.float32)
        log_var = np.empty_like(mu)
        for i in range(0, len(frames), rows):
            block = frames[i : i + rows]
            n = len(block)
            if n < rows:
                block = np.concatenate([block, np.zeros((rows - n, *config.FRAME_SHAPE), np.uint8)])
            block_mu, block_log_var = self._encode(tf.constant(block))
            mu[i : i + n], log_var[i : i + n] = block_mu.numpy()[:n], block_log_var.numpy()[:n]
        return mu, log_var

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Decode z, floats (n, 32), to frames, uint8 (n, 64, 64, 3); ValueError for another dtype or shape."""
        if z.dtype.kind != "f" or z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z is {z.dtype} {z.shape}, need floats (n, {self.z_dim})")
        return np.round(self.decoder(z).numpy() * 255).astype(np.uint8)

    def save(self, path: Path, metadata: dict) -> None:
        save_weights(self.full_model, path, metadata)

    def load(self, path: Path) -> str:
        """Load weights and return their hash; UserError if they are missing, damaged or of another architecture."""
        return load_weights(self.full_model, path, MAKER)


class VAETrainer(Trainer):
    """Gradient steps of the VAE on batches of frames, uint8 (B, 64, 64, 3).

    Args:
        vae: V.
        seed: of the noise.
        pixel_variance: of a pixel (0..1) around its reconstruction. What a detail costs that V leaves out is inverse to
            it: V keeps a detail where that is more than the nats that the detail takes.
    """

    parts = ("loss", "reconstruction", "kl")

    def __init__(self, vae: VAE, seed: int, pixel_variance: float = 0.5):
        super().__init__(vae.full_model, seed)
        self.vae, self.pixel_variance = vae, pixel_variance

    def images(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Eight frames of a batch and, below them, their reconstructions from z = mu: uint8 (1, 128, 512, 3)."""
        frames = frames[:: -(-len(frames) // SHOWN)]
        rows = (frames, self.vae.decode(self.vae.encode(frames, len(frames))[0]))
        return {"vae/frames": np.concatenate([np.concatenate(row, axis=1) for row in rows])[None]}

    def losses_of(self, frames: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(frames)[0]
        missing = tf.maximum(TOWERS - count, 0)  # convolutions need a row in every tower
        real = tf.sequence_mask(count, count + missing, tf.float32)
        noise = self.noise_like(tf.zeros((count, self.vae.z_dim)), step)
        frames = tf.pad(frames, [[0, missing], [0, 0], [0, 0], [0, 0]])
        noise = tf.pad(noise, [[0, missing], [0, 0]])
        rows = [towers(array) for array in (frames, noise, real)]
        parts = [self._summed_losses(*tower) for tower in zip(*rows, strict=True)]
        reconstruction, kl = (tf.add_n(sums) / tf.cast(count, tf.float32) for sums in zip(*parts, strict=True))
        loss = reconstruction / (2 * self.pixel_variance) + kl
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}

    def _summed_losses(self, frames: tf.Tensor, noise: tf.Tensor, real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstruction loss and KL divergence, summed over the frames of one tower where `real`, (n,), is 1."""
        mu, log_var = self.vae.encoder_mu_log_var(frames, training=True)
        reconstructions = self.vae.decoder(mu + tf.exp(log_var / 2) * noise, training=True)
        losses = (
            reconstruction_loss(tf.cast(frames, tf.float32) / 255, reconstructions),
            kl_divergence(mu, log_var),
        )
        return tuple(tf.reduce_sum(real * loss) for loss in losses)
