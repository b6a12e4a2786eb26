"""The MDN-RNN (M): an LSTM with a mixture density output that predicts the next latents and the next reward.

Shapes are those of the car (pipeline.sizes.CAR), whose M models whether a reward is positive. For another environment M
may model the value of rewards, and predict the end of an episode.

Paper: arXiv 1803.10122, appendix A.2; mixture density networks: Bishop 1994, equations 22-25. As in sketch-rnn, every
latent has its own mixture of five Gaussians. All densities are computed in log space.
"""

import math
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import numpy as np

import config
from pipeline.errors import UserError
from pipeline.networks import keras, load_weights, save_weights, tf, towers, traced
from pipeline.sizes import CAR, Sizes
from pipeline.training import Trainer
from pipeline.weights import training_settings
from rnn.fast_losses import chunked_losses
from rnn.lstm import lstm

layers = keras.layers
MAKER = "04_train_rnn.py"
SHOWN = 4  # episodes in the images of a training


def log_sum_exp(x: tf.Tensor) -> tf.Tensor:
    """log of the sum of exp(x) over the mixtures; (..., 5, 32) -> (..., 1, 32)."""
    largest = tf.stop_gradient(tf.reduce_max(x, axis=-2, keepdims=True))  # cancels out; keeps exp finite
    return tf.math.log(tf.reduce_sum(tf.exp(x - largest), axis=-2, keepdims=True)) + largest


def split_outputs(outputs: tf.Tensor, sizes: Sizes = CAR) -> tuple[tf.Tensor, ...]:
    """Split the dense layer's output (..., 481) into log_pi, mu, log_sigma (..., 5, 32) and the reward logit (...).

    log_pi is not normalized: softmax over the mixtures gives pi. Where M models the value of rewards, it takes the
    place of the logit; where M predicts the end of an episode, the logit of that follows.
    """
    *mixture, rest = tf.split(outputs, [*[sizes.mixtures * sizes.z] * 3, 1 + sizes.done], axis=-1)
    shape = tf.concat([tf.shape(outputs)[:-1], [sizes.mixtures, sizes.z]], axis=0)
    log_pi, mu, log_sigma = (tf.reshape(part, shape) for part in mixture)
    return log_pi, mu, log_sigma, *tf.unstack(rest, axis=-1)


def split_mixture(outputs: tf.Tensor, sizes: Sizes = CAR) -> tuple[tf.Tensor, ...]:
    """As `split_outputs`, with log_pi normalized over the mixtures."""
    log_pi, *others = split_outputs(outputs, sizes)
    return tf.nn.log_softmax(log_pi, axis=-2), *others


def mixture_nll(z: tf.Tensor, log_pi: tf.Tensor, mu: tf.Tensor, log_sigma: tf.Tensor) -> tf.Tensor:
    """-log sum_k pi_k N(z; mu_k, sigma_k) in nats; z (..., 32), the others (..., 5, 32) -> (..., 32).

    log_pi need not be normalized.
    """
    scaled = (z[..., None, :] - mu) * tf.exp(-log_sigma)
    log_normal = -0.5 * tf.square(scaled) - log_sigma - 0.5 * math.log(2 * math.pi)
    return (log_sum_exp(log_pi) - log_sum_exp(log_pi + log_normal))[..., 0, :]


def summed_losses(
    outputs: tf.Tensor,
    z: tf.Tensor,
    reward: tf.Tensor,
    real: tf.Tensor,
    done: tf.Tensor | None = None,
    sizes: Sizes = CAR,
) -> tuple[tf.Tensor, ...]:
    """z_loss (nats per latent), reward_loss and, where M predicts it, done_loss, summed over the real transitions.

    Both are in nats: cross-entropies or, for the value of a reward, half the squared error.

    Args:
        outputs: output (n, 481) of the dense layer.
        z, reward: targets (n, 32) and (n,); the modeled reward, of the car 0 or 1.
        real: bool (n,), False where the episode had already ended.
        done: target (n,), 1 where the episode ends; None where M does not predict it.
    """
    log_pi, mu, log_sigma, predicted, *ends = split_outputs(outputs, sizes)
    nll = tf.reduce_mean(mixture_nll(z, log_pi, mu, log_sigma), axis=-1)
    if sizes.reward is None:
        reward_loss = tf.nn.sigmoid_cross_entropy_with_logits(reward, predicted)
    else:
        reward_loss = 0.5 * tf.square(predicted - reward)
    done_loss = [tf.nn.sigmoid_cross_entropy_with_logits(done, logit) for logit in ends]
    # where() and not a product with the mask: padding may give inf, and 0 * inf is NaN
    # (test_padding_after_the_end_of_an_episode_is_masked).
    return tuple(tf.reduce_sum(tf.where(real, losses, 0.0)) for losses in (nll, reward_loss, *done_loss))


class RNN:
    """The MDN-RNN, as Keras models over series and as single steps, all with the same weights.

    Attributes:
        model: (B, T, 36) -> (B, T, 481), see `split_mixture`.
        hidden_model: (B, T, 36) -> h after each step (B, T, 256).
    """

    def __init__(self, sizes: Sizes = CAR) -> None:
        self.sizes = sizes
        inputs = keras.Input((None, sizes.inputs), name="z_action_reward")
        self.lstm = layers.LSTM(sizes.h, return_sequences=True)
        hidden = self.lstm(inputs)
        self.hidden_model = keras.Model(inputs, hidden, name="hidden")
        self.model = keras.Model(inputs, layers.Dense(sizes.outputs, name="mixture")(hidden), name="rnn")

    @cached_property
    def _step(self) -> Callable[..., list[tf.Tensor]]:
        return traced(lambda x, h, c: self.lstm.cell(x, [h, c])[1], *self._rows())

    @cached_property
    def _dream(self) -> Callable[..., tuple[tf.Tensor, ...]]:
        temperature = tf.TensorSpec((), tf.float32)
        return traced(
            self._sample_step, *self._rows(self.sizes.noise), temperature, jit_compile=True
        )  # XLA: a third less time

    def _rows(self, *widths: int) -> list[tf.TensorSpec]:
        """Signatures of x, h and c, and of further arrays: float32 (B, width) each."""
        widths = (self.sizes.inputs, self.sizes.h, self.sizes.h, *widths)
        return [tf.TensorSpec((None, width), tf.float32) for width in widths]

    def step(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step of the LSTM alone: x = [z_t, action_t, reward_t > 0] (B, 36), h_t, c_t (B, 256) -> h_{t+1}, c_{t+1}.

        All arrays are float32. B should be the same in every call (pad if necessary): kernels round differently at
        another batch size.
        """
        next_h, next_c = self._step(tf.constant(x), tf.constant(h), tf.constant(c))
        return next_h.numpy(), next_c.numpy()

    def dream(
        self, x: np.ndarray, h: np.ndarray, c: np.ndarray, noise: np.ndarray, temperature: float
    ) -> tuple[np.ndarray, ...]:
        """One step of the LSTM and one sample of the next z and reward from the predicted distribution.

        Args:
            x, h, c: as in `step`; B should be the same in every call.
            noise: one step of `dream_noise` per row, float32 (B, 65); the sample is a function of it.
            temperature: above zero; divides log_pi and the logits, and its square root scales sigma. At 1 the
                sample follows the learned distribution, below it varies less, above more (Ha & Eck 2017, sketch-rnn,
                section 3.3).

        Returns: z_{t+1} (B, 32), modeled reward (B,), of the car 0 or 1, h_{t+1} and c_{t+1} (B, 256), the mean (B, 32)
            of the Gaussians that z_{t+1} was drawn from, all float32, and, where M predicts it, whether the episode
            ends, bool (B,).
        """
        arguments = map(tf.constant, (x, h, c, noise, np.float32(temperature)))
        return tuple(result.numpy() for result in self._dream(*arguments))

    def _sample_step(self, x: tf.Tensor, h: tf.Tensor, c: tf.Tensor, noise: tf.Tensor, temperature: tf.Tensor) -> tuple:
        h, c = self.lstm.cell(x, [h, c])[1]
        log_pi, mu, log_sigma, reward, *ends = split_mixture(self.model.get_layer("mixture")(h), self.sizes)
        normal, uniform, reward_uniform, done_uniform = tf.split(
            noise, [self.sizes.z, self.sizes.z, 1, int(self.sizes.done)], axis=1
        )
        cdf = tf.cumsum(tf.nn.softmax(log_pi / temperature, axis=-2), axis=-2)[:, :-1]
        mixture = tf.reduce_sum(tf.cast(uniform[:, None] > cdf, tf.int32), axis=1)  # (B, 32), 0..4
        one_hot = tf.one_hot(mixture, self.sizes.mixtures, axis=1)
        sigma = tf.exp(tf.reduce_sum(one_hot * log_sigma, axis=1)) * tf.sqrt(temperature)
        mean = tf.reduce_sum(one_hot * mu, axis=1)
        z = mean + sigma * normal
        if self.sizes.reward is None:
            reward = tf.cast(reward_uniform[:, 0] < tf.sigmoid(reward / temperature), tf.float32)
        return z, reward, h, c, mean, *(done_uniform[:, 0] < tf.sigmoid(logit / temperature) for logit in ends)

    def expected_reward(self, h: np.ndarray) -> np.ndarray:
        """The modeled reward that M expects at t, given h_t, float32 (n, 256) -> float32 (n,).

        That is 1 where a positive reward is more likely than none, else 0; or the mean of its value.
        """
        kernel, bias = self.model.get_layer("mixture").get_weights()
        output: np.ndarray = h @ kernel[:, self.sizes.mixture_outputs] + bias[self.sizes.mixture_outputs]
        return output if self.sizes.reward else (output > 0).astype(np.float32)

    def hidden_states(self, inputs: np.ndarray, cell: bool = False) -> np.ndarray:
        """h, or with `cell` [h, c], after each step of a series: (n, T, 36) -> float32 (n, T, 256) or (n, T, 512)."""
        if cell:
            return self._hidden_and_cell_states(inputs)
        return np.concatenate([self.hidden_model(inputs[i : i + 50]).numpy() for i in range(0, len(inputs), 50)])

    def _hidden_and_cell_states(self, inputs: np.ndarray) -> np.ndarray:
        h, c = np.zeros((2, len(inputs), self.sizes.h), np.float32)
        states = []
        for t in range(inputs.shape[1]):
            h, c = self.step(inputs[:, t], h, c)
            states.append(np.concatenate([h, c], axis=1))
        return np.stack(states, axis=1)

    def save(self, path: Path, metadata: dict) -> None:
        save_weights(self.model, path, metadata)

    def load(self, path: Path, vae_hash: str | None = None) -> str:
        """Load weights and return their hash.

        Args:
            vae_hash: the VAE whose latents the weights must have been trained on. None accepts any VAE: a training
                that starts from earlier weights may use a new one.

        Raises:
            UserError: the weights are missing, damaged, of another architecture, or were trained on another VAE.
        """
        digest = load_weights(self.model, path, MAKER)
        settings = training_settings(path)
        if settings is not None and vae_hash not in (None, settings.vae_hash):
            what = f"{path.parent}/ was trained on VAE {settings.vae_hash}, {config.VAE_DIR}/ holds {vae_hash}"
            raise UserError(f"{what}: run 03_generate_rnn_data.py and {MAKER} --new_model")
        return digest


def dream_noise(rng: np.random.Generator, steps: int, sizes: Sizes = CAR) -> np.ndarray:
    """The noise of one dream, float32 (steps, 65): per step 32 standard normal and 33 uniform (0..1) samples.

    Where M predicts the end of an episode, one more is for that.
    """
    normal = rng.standard_normal((steps, sizes.z), np.float32)
    return np.concatenate([normal, rng.random((steps, sizes.noise - sizes.z), np.float32)], axis=1)


class RNNTrainer(Trainer):
    """Gradient steps of the MDN-RNN; every step samples z = mu + sigma * noise anew."""

    def __init__(self, rnn: RNN, seed: int):
        self.rnn, self.parts = rnn, ("loss", "z_loss", "reward_loss", *["done_loss"] * rnn.sizes.done)
        super().__init__(rnn.model, seed)

    @cached_property
    def _outputs(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """(n, T, 36) -> (n, T, 481); traced, since the LSTM step by step takes longer than a gradient step."""
        return traced(self.network, tf.TensorSpec((None, None, self.rnn.sizes.inputs), tf.float32))

    def images(self, series: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """z of four episodes and, below it, the mean that M predicts from the step before: uint8 (4, 260, T, 1).

        Time runs to the right; each of the 32 latents is four pixels high, from -3 (black) to 3 (white).

        Args:
            series: that of `losses_of`.
        """
        mu, action, reward = (series[name][:SHOWN] for name in ("mu", "action", "reward"))
        inputs = np.concatenate([mu[:, :-1], action, reward[:, :-1, None]], axis=-1)
        log_pi, means, *_ = split_mixture(self._outputs(tf.constant(inputs)), self.rnn.sizes)
        predicted = tf.reduce_sum(tf.exp(log_pi) * means, axis=-2).numpy()
        z, predicted = (np.repeat(np.swapaxes(latents, 1, 2), 4, axis=1) for latents in (mu[:, 1:], predicted))
        gap = np.full_like(z[:, :4], np.inf)
        gray = np.clip(127.5 + 42.5 * np.concatenate([z, gap, predicted], axis=1), 0, 255)
        return {"rnn/latents": gray.astype(np.uint8)[..., None]}

    def count_of(self, series: dict[str, tf.Tensor]) -> tf.Tensor:
        """The real transitions of a batch, float32."""
        return tf.reduce_sum(tf.cast(series["real"], tf.float32))

    def losses_of(self, series: dict[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
        """Mean losses over the real transitions of a batch: z_loss in nats per latent, the others in nats.

        Args:
            series: mu, log_var (B, T+1, 32); action (B, T, 3); reward (B, T+1), modeled, of the car 0 or 1; real, bool
                (B, T), False for a transition from t to t+1 after the end of the episode; where M predicts it, done
                (B, T), float32, 1 for a transition to that end.
        """
        z = series["mu"] + tf.exp(series["log_var"] / 2) * self.noise_like(series["mu"], step)
        inputs = tf.concat([z[:, :-1], series["action"], series["reward"][:, :-1, None]], axis=-1)
        arrays = [inputs, z[:, 1:], series["reward"][:, 1:], series["real"]]
        if self.rnn.sizes.done:
            arrays.append(series["done"])
        # Sorted by length, most towers are cut to less than the longest episode.
        order = tf.argsort(tf.reduce_sum(tf.cast(series["real"], tf.int32), axis=1), stable=True)
        arrays = [tf.gather(array, order) for array in arrays]
        layers = (self.rnn.lstm.cell, self.network.get_layer("mixture"))
        weights = [tf.convert_to_tensor(weight) for layer in layers for weight in layer.weights]
        losses = [self._tower_losses(weights, *tower) for tower in zip(*map(towers, arrays), strict=True)]
        count = tf.maximum(self.count_of(series), 1.0)
        return {name: tf.add_n([part[i] for part in losses]) / count for i, name in enumerate(self.parts)}

    @cached_property
    def _tower_losses(self) -> Callable[..., tuple[tf.Tensor, ...]]:
        """The function below for the sizes of M; one trace serves all towers."""
        return tf.function(partial(_tower_losses, self.rnn.sizes), autograph=False, reduce_retracing=True)


def _tower_losses(
    sizes: Sizes, weights: list[tf.Tensor], inputs: tf.Tensor, *targets: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Summed losses, their sum and each, of one tower: inputs (B, T, 36), targets of `summed_losses`.

    No step after the end of the tower's longest episode is computed.
    """
    lstm_weights, dense_weights = weights[:3], weights[3:]
    _, _, real, *_ = targets
    steps = tf.maximum(tf.math.count_nonzero(tf.reduce_any(real, axis=0), dtype=tf.int32), 1)
    series, *series_targets = (_time_major(array)[:steps] for array in (inputs, *targets))
    hidden = lstm(series, *lstm_weights)
    flat = [tf.reshape(array, (-1, *array.shape[2:])) for array in (hidden, *series_targets)]
    losses = partial(summed_losses, sizes=sizes)
    return chunked_losses(losses, flat[0], *dense_weights, *flat[1:], count=2 + sizes.done)


def _time_major(array: tf.Tensor) -> tf.Tensor:
    """(B, T, ...) -> (T, B, ...)."""
    return tf.transpose(array, (1, 0, *range(2, array.shape.rank)))
