"""Curves and images for TensorBoard, below log/: `tensorboard --logdir log` shows all stages side by side.

Curves are derived from the saved state, as the other logs are: each process writes all points anew, from the first one
on, and then appends. So a resumed run continues them without a gap, and a point that was never saved is gone. Images
cannot be derived from it: they are written before the state, and those of steps that were never saved are removed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError, first_line
from pipeline.files import make_folder

EVENTS = "events.out.tfevents.*"
IMAGES = "images"  # the run, and the folder, of the images
STEP = ".step"  # ends the name of a file of images, before its gradient step


@dataclass(frozen=True)
class Point:
    """One point of a curve: TensorBoard shows `tag`, "group/name", in this run, with `step` as x and `value` as y."""

    run: str
    tag: str
    step: int
    value: float


class Curves:
    """The event files of one training. Nothing here draws random numbers; a folder without points is left alone.

    Args:
        folder: log/vae, say. A run is one of its sub-folders; the run "" is the folder itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.written = folder, 0
        self.writers: dict[str, Any] = {}  # run -> tf.summary.SummaryWriter

    def write(self, points: Sequence[Point]) -> None:
        """Write all points that were not among those of the last call, which `points` must begin with.

        The first call replaces the curves of earlier processes.

        Raises:
            UserError: a file cannot be written.
        """
        if len(points) == self.written:
            return
        with _summaries(self.folder) as summary:
            if not self.written:
                self._remove(path for path in self.folder.rglob(EVENTS) if path.parent.name != IMAGES)
            for point in points[self.written :]:
                if point.run not in self.writers:
                    self.writers[point.run] = summary.create_file_writer(str(self.folder / point.run))
                with self.writers[point.run].as_default():
                    summary.scalar(point.tag, point.value, step=point.step)
            for writer in self.writers.values():
                writer.flush()
        self.written = len(points)

    def write_images(self, images: Mapping[str, np.ndarray], step: int, saved_step: int) -> None:
        """Write images, tag -> uint8 (n, height, width, 1 or 3), into a file of their own, before `step` is saved.

        Images of steps after `saved_step`, the last that was saved, are removed; 0 removes all.

        Raises:
            UserError: the file cannot be written.
        """
        self.remove_images(saved_step)
        with _summaries(self.folder) as summary:
            writer = summary.create_file_writer(str(self.folder / IMAGES), filename_suffix=f"{STEP}{step}")
            with writer.as_default():
                for tag, image in images.items():
                    summary.image(tag, image, step=step, max_outputs=len(image))
            writer.close()

    def remove_images(self, saved_step: int) -> None:
        """Remove the images of steps after the last saved one."""
        steps = {path: path.suffix.removeprefix(STEP) for path in (self.folder / IMAGES).glob(f"{EVENTS}{STEP}*")}
        self._remove(path for path, step in steps.items() if step.isdecimal() and int(step) > saved_step)

    def _remove(self, paths: Iterable[Path]) -> None:
        with _summaries(self.folder):
            for path in list(paths):
                path.unlink()


@contextmanager
def _summaries(folder: Path) -> Iterator[Any]:
    """Yield tf.summary with the folder made; a failed write is a UserError."""
    from pipeline.networks import tf  # TensorFlow takes seconds to import: --help of stage 05 must not wait

    try:
        make_folder(folder)
        yield tf.summary
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"cannot write into {folder}/: {first_line(error).rpartition('}} ')[2]}") from None
