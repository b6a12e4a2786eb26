"""Gas, brake and steering searched in turn: which weights move, from where, and how wide."""

from pathlib import Path

import numpy as np
import pytest
from test_search import NAME, new_search, one_generation, scores_of

import config
import controller.arch as arch
from controller.files import state_path
from controller.search import ControllerSearch


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def one_quiet_generation(search: ControllerSearch) -> None:
    """A generation on tracks of its own that is not evaluated."""
    solutions = search.ask()
    scores = np.stack([scores_of(solutions, env_seed) for env_seed in search.next_env_seeds()], axis=1)
    search.tell(scores, np.ones(scores.shape), 0.0)


def test_gas_brake_and_steering_take_turns() -> None:
    """Which weights a generation moves, and which its members differ in, after 3 that move all of them."""
    search, moved, tracks = new_search(joint_steps=3, turn_steps=2), [], []
    for _ in range(11):
        before, members = search.mean_weights, search.ask()
        tracks += search.next_env_seeds()
        one_quiet_generation(search)
        changed = [name for name in config.ACTIONS if (search.mean_weights != before)[arch.is_weight_of(name)].any()]
        varied = [name for name in config.ACTIONS if np.ptp(members, axis=0)[arch.is_weight_of(name)].any()]
        assert changed == varied
        moved.append("+".join(changed))
        search.save()
        search = ControllerSearch.load(state_path(NAME))
    turns = ["gas", "gas", "brake", "brake", "steer", "steer", "gas", "gas"]
    assert moved == ["steer+gas+brake"] * 3 + turns
    assert len(set(tracks)) == len(tracks) == 11 * 3
    assert search.rows[:, -1].tolist() == [3 * 8] * 11
    np.testing.assert_array_equal(search.rows[:, 0], np.arange(1, 12))


def test_a_turn_begins_where_the_search_was_and_as_wide_as_turns_are() -> None:
    turned, twin = new_search(joint_steps=3, turn_sigma=0.02), new_search()
    for _ in range(3):
        for search in (turned, twin):
            one_quiet_generation(search)
    np.testing.assert_array_equal(turned.mean_weights, twin.mean_weights)
    assert (turned.actions, twin.actions) == (("gas",), config.ACTIONS)
    assert turned.optimizer.sigma == pytest.approx(0.04, rel=1e-3)
    for _ in range(2):
        one_quiet_generation(turned)
    assert turned.actions == ("brake",)
    assert turned.optimizer.sigma == pytest.approx(0.02, rel=1e-3)


def test_sigma_decays_in_the_joint_search_alone() -> None:
    """Two searches that are told the same, but for their decay."""
    narrowing, twin = (new_search(joint_steps=2, turn_steps=9, sigma_decay=decay) for decay in (0.5, 1.0))
    rng, sigmas = np.random.default_rng(0), []
    for _ in range(4):
        scores = rng.normal(size=(8, 3))
        for search in (narrowing, twin):
            search.ask()
            search.tell(scores, np.ones(scores.shape), 0.0)
        sigmas.append(narrowing.rows[-1, 6] / twin.rows[-1, 6])
    np.testing.assert_allclose(sigmas, [0.5, 0.25, 1.0, 1.0])


def test_a_search_may_begin_with_a_turn() -> None:
    search = new_search(joint_steps=0, turn_sigma=0.02)
    assert search.actions == ("gas",)
    assert search.optimizer.sigma == pytest.approx(0.04, rel=1e-3)
    one_quiet_generation(search)
    search.save()
    np.testing.assert_array_equal(ControllerSearch.load(state_path(NAME)).ask(), search.ask())


def test_retrain_in_a_turn_searches_on_from_the_best_of_that_action_alone() -> None:
    search = new_search(retrain=1, joint_steps=4, turn_steps=5)
    for _ in range(6):
        one_generation(search)  # the fourth is evaluated best
    assert (search.start_generation, search.actions) == (6, ("gas",))
    np.testing.assert_allclose(search.mean_u, search.real.best_u, rtol=0, atol=0)
    varied = np.ptp(search.ask(), axis=0) > 0
    assert varied.any()
    assert not varied[~arch.is_weight_of("gas")].any()


def test_what_is_weight_of_an_action_is_its_row_of_w_and_its_bias() -> None:
    """By acting: other weights than these may be anything."""
    rng = np.random.default_rng(0)
    weights, others, x = *rng.normal(size=(2, arch.NUM_WEIGHTS)), rng.normal(size=arch.FEATURES)
    for i, name in enumerate(config.ACTIONS):
        mine = arch.is_weight_of(name)
        (W, b), (W2, b2) = arch.unpack(weights), arch.unpack(np.where(mine, weights, others))
        same = np.isclose(W @ x + b, W2 @ x + b2)
        assert mine.sum() == arch.FEATURES + 1
        assert same.tolist() == [j == i for j in range(3)]
