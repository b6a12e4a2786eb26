"""Event files of TensorBoard, as the stages write them."""

from pathlib import Path

from pipeline.curves import EVENTS
from pipeline.networks import tf


def read_events(folder: Path) -> dict[tuple[str, str], list[tuple[int, float | tuple[int, ...]]]]:
    """Run and tag -> steps and values, sorted; the value of images is their (number, height, width)."""
    found: dict[tuple[str, str], list] = {}
    for path in folder.rglob(EVENTS):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                key = (str(path.parent.relative_to(folder)), value.tag)
                array = tf.make_ndarray(value.tensor)
                size = (len(array) - 2, int(array[1]), int(array[0])) if array.ndim else None
                found.setdefault(key, []).append((event.step, size or float(array)))
    return {key: sorted(points) for key, points in found.items()}
