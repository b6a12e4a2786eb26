"""What Deep Q-Learning needs of TensorFlow: its loss, its gradient step, its target network.

Mnih et al. 2015 (Nature 518, 529), Algorithm 1; van Hasselt et al. 2016 (arXiv 1509.06461), equation 4, for double-Q.
"""

import numpy as np

from experiments.baselines.replay import Minibatch
from pipeline.networks import keras, tf


def smooth_l1(error: tf.Tensor) -> tf.Tensor:
    """Huber's loss of width 1, elementwise: error² / 2 where it is below 1, |error| - 1/2 beyond."""
    size = tf.abs(error)
    return tf.where(size < 1, tf.square(error) / 2, size - 0.5)


LOSSES = {"mse": tf.square, "smooth_l1": smooth_l1}


def bellman_targets(
    reward: tf.Tensor, terminal: tf.Tensor, next_q: tf.Tensor, chosen_by: tf.Tensor, gamma: float
) -> tf.Tensor:
    """What Q(state, action) should have been: reward + gamma * value of the next state, which is 0 after the end.

    Args:
        reward, terminal: float32 (n,); terminal is 1 where the episode ended for good.
        next_q: float32 (n, actions), the target network's values of the next states.
        chosen_by: float32 (n, actions): the next action is the best by these; `next_q` itself, or, for double-Q, the
            values of the network that learns.
    Returns: float32 (n,).
    """
    best = tf.argmax(chosen_by, axis=1)
    return reward + gamma * (1 - terminal) * tf.gather(next_q, best, axis=1, batch_dims=1)


class Learner:
    """A Q network that learns from minibatches.

    Attributes:
        updates: gradient steps done.

    Args:
        network: states -> Q values, float32 (n, actions).
        loss: a name in LOSSES.
        own_target: the targets come from a copy of the network, which `refresh_target` brings up to date; else from
            the network itself.
        double: the next action is chosen by the network, and valued by its copy.
    """

    def __init__(
        self, network: keras.Model, learning_rate: float, gamma: float, loss: str, own_target: bool, double: bool
    ) -> None:
        self.network, self.gamma, self.loss_of, self.double = network, gamma, LOSSES[loss], double
        self.target = keras.models.clone_model(network) if own_target else network
        self.refresh_target()
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(network.trainable_variables)
        self._q = tf.function(network, reduce_retracing=True)
        self._train = tf.function(self._train_step, reduce_retracing=True)

    @property
    def updates(self) -> int:
        return int(self.optimizer.iterations)

    def variables(self) -> dict[str, list]:
        """All that learning goes on from."""
        target = [] if self.target is self.network else self.target.weights
        return {"model": self.network.weights, "target": target, "optimizer": self.optimizer.variables}

    def q(self, states: np.ndarray) -> np.ndarray:
        """Q values of states (n, ...), float32 (n, actions)."""
        return self._q(tf.constant(states)).numpy()

    def train(self, batch: Minibatch) -> float:
        """One gradient step; returns the loss before it."""
        arrays = (batch.state, batch.action, batch.reward, batch.terminal, batch.next_state)
        return float(self._train(*map(tf.constant, arrays)))

    def refresh_target(self) -> None:
        """From now on the targets are those of the network as it is."""
        if self.target is not self.network:
            self.target.set_weights(self.network.get_weights())

    def _train_step(
        self, state: tf.Tensor, action: tf.Tensor, reward: tf.Tensor, terminal: tf.Tensor, next_state: tf.Tensor
    ) -> tf.Tensor:
        next_q = self.target(next_state)
        targets = bellman_targets(
            reward, terminal, next_q, self.network(next_state) if self.double else next_q, self.gamma
        )
        with tf.GradientTape() as tape:
            q = tf.gather(self.network(state, training=True), action, axis=1, batch_dims=1)
            loss = tf.reduce_mean(self.loss_of(tf.stop_gradient(targets) - q))
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss
