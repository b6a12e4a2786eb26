"""How much of a generation's ranking was luck: against least squares, and where it is known."""

import numpy as np
import pytest

from controller.search import share_of_luck


def test_the_share_of_luck_is_what_least_squares_leave_over() -> None:
    """1 / F of the members in a linear model of member and track, fitted here with a column for each."""
    population, tracks = 7, 4
    scores = np.random.default_rng(0).normal(size=(population, tracks)) + np.arange(population)[:, None] / 2
    member, track = np.divmod(np.arange(scores.size), tracks)

    def residual(*columns: np.ndarray) -> float:
        design = np.concatenate([np.ones((scores.size, 1)), *columns], axis=1)
        fitted = design @ np.linalg.lstsq(design, scores.ravel())[0]
        return ((scores.ravel() - fitted) ** 2).sum()

    members, both = np.eye(population)[member], (np.eye(population)[member], np.eye(tracks)[track])
    explained = (residual(np.eye(tracks)[track]) - residual(*both)) / (population - 1)
    left = residual(*both) / ((population - 1) * (tracks - 1))
    assert share_of_luck(scores) == pytest.approx(left / explained)
    assert residual(members) > residual(*both)


def test_luck_is_known_where_it_is_all_and_where_there_is_none() -> None:
    rng = np.random.default_rng(1)
    noise = [share_of_luck(100 * rng.normal(size=(64, 2))) for _ in range(50)]
    assert 0.8 < np.mean(noise) <= 1
    by_track = 100 * rng.normal(size=(1, 2))
    assert share_of_luck(by_track + np.arange(64)[:, None]) == pytest.approx(0, abs=1e-20)
    half = [share_of_luck(rng.normal(size=(64, 1)) + np.sqrt(2) * rng.normal(size=(64, 2))) for _ in range(200)]
    assert np.mean(half) == pytest.approx(0.5, abs=0.05)
    assert share_of_luck(rng.normal(size=(8, 1))) == 0
    assert share_of_luck(np.zeros((8, 2))) == 0
