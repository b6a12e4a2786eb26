"""One generation of a search, and one evaluation of its mean, given a function that scores candidates."""

import time
from typing import Protocol

import numpy as np

from controller.search import ROW, ControllerSearch
from pipeline.scores import summary

SECONDS, MEAN_STEPS = ROW.index("seconds"), ROW.index("mean steps")


class Evaluate(Protocol):
    """The interface of the function that scores the candidates of a search, each on environment seeds of its own."""

    def __call__(
        self, candidates: np.ndarray, env_seeds: list[list[int]], max_length: int, dream: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score candidates (n, 867) on n lists of env_seeds of one length, with `dream` in dreams.

        Returns: scores and steps, (n, seeds per candidate) each.
        """


def run_generation(search: ControllerSearch, evaluate: Evaluate, start_time: float) -> tuple[float, ...]:
    """Ask, evaluate, tell and save; returns the row of the generation, see ROW.

    Args:
        start_time: time.monotonic() at the start of the search, from which its seconds count.
    """
    mean_steps = search.rows[-1, MEAN_STEPS] if search.generation else 0
    max_length = search.schedule.max_length(search.generation, mean_steps)
    scores, steps = evaluate(search.ask(), search.next_env_seeds(), max_length, bool(search.settings.dream_mode))
    row = search.tell(scores, steps, time.monotonic() - start_time)
    search.save()
    return row


def evaluate_mean(search: ControllerSearch, evaluate: Evaluate) -> None:
    """Score the mean of the search on unseen tracks, record it, save the search and print the result.

    The mean of a search in dreams is scored in unseen dreams as well.
    """
    settings = search.settings
    env_seeds = search.schedule.evaluation_seeds(search.generation)

    def score(dream: bool) -> np.ndarray:
        scores, _ = evaluate(search.mean_weights[None], [env_seeds], search.schedule.evaluation_length(dream), dream)
        return np.ravel(scores)

    scores = score(dream=False)
    dream_scores = score(dream=True) if settings.dream_mode else None
    mark = ", the best so far" if search.record_evaluation(scores, dream_scores) else ""
    search.save()
    print(f"evaluation: {summary(scores, 'unseen tracks')}{mark}")
    if dream_scores is not None:
        print(f"  in dreams: {summary(dream_scores, 'unseen dreams')}")


def seconds_per_generation(rows: np.ndarray) -> float:
    """The pace of the last five generations, evaluations included, given the rows of a search: (n, 10), n above 0."""
    seconds = np.concatenate([[0.0], rows[:, SECONDS]])[-6:]
    return float((seconds[-1] - seconds[0]) / (len(seconds) - 1))


def time_left(search: ControllerSearch, generations: int) -> float:
    """Seconds until so many generations are finished, at the pace of the last five."""
    return seconds_per_generation(search.rows) * (generations - search.generation)
