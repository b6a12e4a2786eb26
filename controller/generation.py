"""What a search asks its drivers for: the episodes of a generation, and of an evaluation of its mean."""

import time
from collections.abc import Callable

import numpy as np

import config
from controller.search import ROW, ControllerSearch
from lanes import Result, Task, summary

MEAN_STEPS = ROW.index("mean steps")

Drive = Callable[[list[Task]], list[Result]]


def drive_generation(search: ControllerSearch, drive: Drive, started: float) -> tuple:
    """Ask, drive, tell, save; returns the generation's row. `started` is when generation 0 was, by time.monotonic."""
    settings = search.settings
    tracks = search.next_tracks()
    max_length, dream = settings["max_length"], bool(settings["dream_mode"])
    if settings["cap_time"] and search.generation:
        max_length = min(max_length, 2 * int(search.rows[-1, MEAN_STEPS]))
    tasks = [Task(weights, track, max_length, dream=dream) for weights in search.ask() for track in tracks]
    results = drive(tasks)
    scores = np.array([result.score for result in results]).reshape(-1, len(tracks))
    steps = np.array([result.steps for result in results]).reshape(-1, len(tracks))
    row = search.tell(scores, steps, time.monotonic() - started)
    search.save()
    return row


def evaluate(search: ControllerSearch, drive: Drive) -> None:
    """Score the mean of the search on tracks that it has not met, keep it if it is the best so far, save, and say so.

    A search that dreams is scored in dreams that it has not dreamt, too.
    """
    first = search.generation * search.settings["eval_episode"]
    seeds = config.track_seeds("evaluate", search.settings["seed"], first, search.settings["eval_episode"])

    def score(dream: bool) -> np.ndarray:
        max_length = search.settings["max_length"]
        results = drive([Task(search.mean_weights, seed, max_length, dream=dream) for seed in seeds])
        return np.array([result.score for result in results])

    scores = score(dream=False)
    dreamt = score(dream=True) if search.settings["dream_mode"] else None
    mark = ", the best so far" if search.evaluated(scores, dreamt) else ""
    search.note_hard_tracks(seeds, scores)
    search.save()
    print(f"evaluation: {summary(scores, 'fresh tracks')}{mark}")
    if dreamt is not None:
        print(f"    dreamt: {summary(dreamt, 'fresh dreams')}")
