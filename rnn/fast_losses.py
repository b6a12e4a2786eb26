"""The dense layer and the losses of the MDN-RNN together with their gradients, in chunks that fit the cache.

The dense layer has 481 outputs per transition: 60 MB for a gradient step of 100 episodes. The losses pass over them
some forty times. A chunk at a time, those passes run in the cache, and neither outputs nor their gradients are stored.
"""

import operator
from collections.abc import Callable
from functools import reduce

from pipeline.networks import tf

ROWS = 600  # of a chunk


def chunked_losses(
    losses: Callable, hidden: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, *targets: tf.Tensor, count: int = 2
) -> tuple:
    """The losses of a dense layer's outputs.

    Args:
        losses: (outputs (n, O), *targets (n, ...)) -> sums of `count` losses over n rows.
        hidden: inputs of the dense layer, (N, H).
        kernel, bias: weights of the dense layer, (H, O) and (O,).
        count: number of losses.

    Returns: the sum of the losses, and each of them, for all N rows. Only the former has a gradient.
    """

    @tf.custom_gradient
    def total(hidden: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tuple, Callable]:
        back = tf.transpose(kernel)

        def chunk(i: tf.Tensor, sums: tuple, d_hidden: tf.TensorArray, d_kernel: tf.Tensor, d_bias: tf.Tensor) -> tuple:
            rows, *at_rows = (array[i * ROWS : (i + 1) * ROWS] for array in (hidden, *targets))
            outputs = tf.nn.bias_add(tf.matmul(rows, kernel), bias)
            with tf.GradientTape() as tape:
                tape.watch(outputs)
                parts = losses(outputs, *at_rows)
                added = reduce(operator.add, parts)
            d_outputs = tape.gradient(added, outputs)
            return (
                i + 1,
                tuple(s + part for s, part in zip(sums, parts, strict=True)),
                d_hidden.write(i, tf.matmul(d_outputs, back)),
                d_kernel + tf.matmul(rows, d_outputs, transpose_a=True),
                d_bias + tf.raw_ops.BiasAddGrad(out_backprop=d_outputs),
            )

        n = tf.maximum((tf.shape(hidden)[0] + ROWS - 1) // ROWS, 1)  # one empty chunk where there are no rows
        d_hidden = tf.TensorArray(tf.float32, n, element_shape=(None, hidden.shape[1]), infer_shape=False)
        state = (0, (0.0,) * count, d_hidden, tf.zeros_like(kernel), tf.zeros_like(bias))
        _, sums, d_hidden, d_kernel, d_bias = tf.while_loop(lambda i, *_: i < n, chunk, state)
        gradients = (tf.reshape(d_hidden.concat(), tf.shape(hidden)), d_kernel, d_bias)

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple:
            return tuple(upstream * grad for grad in gradients)

        return (reduce(operator.add, sums), *sums), gradient

    return total(hidden, kernel, bias)
