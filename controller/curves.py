"""The curves of a search for TensorBoard: its population in every generation, and the evaluations of its mean."""

import numpy as np

from controller.search import ROW, ControllerSearch
from pipeline.curves import Point

STATISTICS = ("mean", "max", "std", "sigma")  # columns of ROW


def points(search: ControllerSearch) -> list[Point]:
    """The curves of a search over generations, in the order in which they grow.

    `evaluations` are the rollouts of candidates so far; real and dream scores are means over unseen tracks and dreams.
    """
    evaluations = np.cumsum(search.rows[:, ROW.index("episodes")])
    found = []
    for row, count in zip(search.rows, evaluations, strict=True):
        values = {f"population/{name}": row[ROW.index(name)] for name in STATISTICS} | {"population/evaluations": count}
        found += [Point("", f"controller_{tag}", int(row[0]), float(value)) for tag, value in values.items()]
    for name, scored in (("real", search.real), ("dream", search.dream)):
        for generation, *statistics in scored.rows.tolist():
            for what, value in zip(("mean", "std", "min"), statistics, strict=True):
                found.append(Point("", f"controller_{name}_score/{what}", int(generation), value))
    return sorted(found, key=lambda point: point.step)  # stable: an evaluation follows the row of its generation
