"""One generation of a search, and one evaluation of its mean, given a function that scores candidates."""

import time
from typing import Protocol

import numpy as np

from controller.search import ROW, ControllerSearch
from pipeline.scores import summary
from pipeline.seeds import env_seed_range

MEAN_STEPS = ROW.index("mean steps")


class Evaluate(Protocol):
    """The interface of the function that scores the candidates of a search, all on the same environment seeds."""

    def __call__(
        self, candidates: np.ndarray, env_seeds: list[int], max_length: int, dream: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score candidates (n, 867), with `dream` in dreams; returns scores and steps, (n, seeds) each."""


def run_generation(search: ControllerSearch, evaluate: Evaluate, start_time: float) -> tuple:
    """Ask, evaluate, tell and save; returns the row of the generation, see ROW.

    Args:
        start_time: time.monotonic() at the start of the search, from which its seconds count.
    """
    settings = search.settings
    max_length = settings["max_length"]
    if settings["cap_time"] and search.generation:
        max_length = min(max_length, 2 * int(search.rows[-1, MEAN_STEPS]))
    scores, steps = evaluate(search.ask(), search.next_env_seeds(), max_length, bool(settings["dream_mode"]))
    row = search.tell(scores, steps, time.monotonic() - start_time)
    search.save()
    return row


def evaluate_mean(search: ControllerSearch, evaluate: Evaluate) -> None:
    """Score the mean of the search on unseen tracks, record it, save the search and print the result.

    The mean of a search in dreams is scored in unseen dreams as well.
    """
    settings = search.settings
    first = search.generation * settings["eval_episode"]
    env_seeds = env_seed_range("evaluate", settings["seed"], first, settings["eval_episode"])

    def score(dream: bool) -> np.ndarray:
        return evaluate(search.mean_weights[None], env_seeds, settings["max_length"], dream)[0][0]

    scores = score(dream=False)
    dream_scores = score(dream=True) if settings["dream_mode"] else None
    mark = ", the best so far" if search.record_evaluation(scores, dream_scores) else ""
    search.record_hard_tracks(env_seeds, scores)
    search.save()
    print(f"evaluation: {summary(scores, 'unseen tracks')}{mark}")
    if dream_scores is not None:
        print(f"  in dreams: {summary(dream_scores, 'unseen dreams')}")
