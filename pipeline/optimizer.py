"""Adam in one pass over memory."""

from pipeline.networks import keras, tf


class Adam(keras.optimizers.Adam):
    """Keras' Adam, with TensorFlow's fused kernel for the update; the results agree up to rounding.

    Keras' own update is a dozen operations per variable, each a pass over memory and a node to trace: it costs 8 % of a
    gradient step of stage 02, the fused kernel 3 %.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        step = tf.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
