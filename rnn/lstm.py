"""The LSTM over whole series, for training: TensorFlow's fused kernels, and weight gradients after the last step.

Keras' layer does a dozen small operations per time step, and computes the gradients of its weights as a sum of small
products, one per step. Here, one kernel does all steps of the forward pass. The backward pass has one kernel and one
product per step; the gradients of the weights are one large product over all steps.
"""

from collections.abc import Callable

from pipeline.networks import tf


@tf.custom_gradient
def lstm(x: tf.Tensor, kernel: tf.Tensor, recurrent_kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """h after every step of keras.layers.LSTM with these weights, from an initial state of zeros.

    Args:
        x: inputs, time-major, (T, B, inputs). Their gradient is not computed: they are data.
        kernel, recurrent_kernel, bias: the layer's weights, (inputs, 4H), (H, 4H) and (4H,).

    Returns: h, (T, B, H).
    """
    steps, units = tf.shape(x)[0], recurrent_kernel.shape[0]
    state = tf.zeros((tf.shape(x)[1], units))
    weights = {"w": tf.concat([kernel, recurrent_kernel], axis=0), "b": bias, "use_peephole": False}
    weights |= dict.fromkeys(("wci", "wcf", "wco"), tf.zeros(units))  # of the peephole, unused
    series = tf.raw_ops.BlockLSTMV2(
        x=x, cs_prev=state, h_prev=state, seq_len_max=tf.cast(steps, tf.int64), cell_clip=0, **weights
    )
    saved = {"i": series.i, "f": series.f, "o": series.o, "ci": series.ci, "co": series.co}

    def gradient(dh: tf.Tensor) -> tuple[None, tf.Tensor, tf.Tensor, tf.Tensor]:
        back = tf.transpose(_reorder(recurrent_kernel))

        def step(t: tf.Tensor, c: tf.Tensor, dc: tf.Tensor, dh_next: tf.Tensor, d_gates: tf.TensorArray) -> tuple:
            c_before = tf.where(t > 0, series.cs[tf.maximum(t - 1, 0)], 0.0)
            d_step = tf.raw_ops.LSTMBlockCellGrad(
                **{name: array[t] for name, array in saved.items()},
                **{"cs": c, "cs_prev": c_before, "cs_grad": dc, "h_grad": dh[t] + dh_next},
                **{"x": x[t], "h_prev": state, **weights},  # the kernel asks for them and does not read them
            )
            d_gates = d_gates.write(t, d_step.dicfo)
            return t - 1, c_before, d_step.cs_prev_grad, tf.matmul(d_step.dicfo, back), d_gates

        d_gates = tf.TensorArray(tf.float32, steps, element_shape=(None, 4 * units))
        *_, d_gates = tf.while_loop(lambda t, *_: t >= 0, step, (steps - 1, series.cs[-1], state, state, d_gates))
        d_gates = d_gates.stack()
        d_kernel = _summed_products(x, d_gates)
        d_recurrent_kernel = _summed_products(series.h[:-1], d_gates[1:])  # h is zero before the first step
        d_bias = tf.raw_ops.BiasAddGrad(out_backprop=d_gates)
        return None, *map(_reorder, (d_kernel, d_recurrent_kernel, d_bias))

    return series.h, gradient


def _summed_products(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """The sum over steps and rows of the outer products; (T, B, n), (T, B, m) -> (n, m)."""
    left, right = (tf.reshape(array, (-1, array.shape[2])) for array in (left, right))
    return tf.matmul(left, right, transpose_a=True)


def _reorder(gates: tf.Tensor) -> tf.Tensor:
    """Swap gates 1 and 2: Keras has input, forget, cell, output; LSTMBlockCellGrad input, cell, forget, output."""
    first, second, third, fourth = tf.split(gates, 4, axis=-1)
    return tf.concat([first, third, second, fourth], axis=-1)
