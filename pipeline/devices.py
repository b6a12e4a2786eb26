"""Training on several devices: TensorFlow's MirroredStrategy, and sums over its replicas.

Each device has a replica of the network and trains it on a part of every batch. Noise and means are those of the whole
batch, so the losses are those of one device up to rounding.
"""

from typing import Any

from pipeline.networks import tf


def strategy(distribute: str | None) -> Any:
    """The tf.distribute strategy of a training.

    Args:
        distribute: "mirrored": all GPUs that TensorFlow finds, or without one all its logical CPU devices. None: one
            device.
    """
    if distribute is None:
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    print(f"training on {', '.join(name.removeprefix('/device:') for name in names)}")
    return tf.distribute.MirroredStrategy(names)


def total(value: Any) -> Any:
    """The sum of a tensor, or of each in a list, over all replicas; on one device the value itself."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)


def rows_before(rows: tf.Tensor) -> tf.Tensor:
    """The rows of a batch that earlier replicas have, where this one has `rows`; int32 scalars."""
    replica = tf.distribute.get_replica_context()
    one_hot = tf.one_hot(replica.replica_id_in_sync_group, replica.num_replicas_in_sync, dtype=rows.dtype)
    return tf.reduce_sum(total(one_hot * rows)[: replica.replica_id_in_sync_group])
