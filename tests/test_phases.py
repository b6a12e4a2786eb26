"""Tests of the block-coordinate phases: which weights they search, from which mean and with which sigma."""

from pathlib import Path

import numpy as np
import pytest
from test_search import NAME, new_search, run_generation_with_scores, scores_of

import config
import controller.arch as arch
from controller.files import state_path
from controller.search import ControllerSearch


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run_unevaluated_generation(search: ControllerSearch) -> None:
    """Run a generation on unseen tracks, without an evaluation."""
    candidates = search.ask()
    scores = np.stack([scores_of(candidates, env_seed) for env_seed in search.next_env_seeds()], axis=1)
    search.tell(scores, np.ones(scores.shape), 0.0)


def test_the_phases_search_gas_then_brake_then_steer() -> None:
    """In each generation, the weights in which the candidates differ and those of the mean that change."""
    search, searched, env_seeds = new_search(joint_steps=3, turn_steps=2), [], []
    for _ in range(11):
        before, candidates = search.mean_weights, search.ask()
        env_seeds += search.next_env_seeds()
        run_unevaluated_generation(search)
        changed = [name for name in config.ACTIONS if (search.mean_weights != before)[arch.is_weight_of(name)].any()]
        varied = [name for name in config.ACTIONS if np.ptp(candidates, axis=0)[arch.is_weight_of(name)].any()]
        assert changed == varied
        searched.append("+".join(changed))
        search.save()
        search = ControllerSearch.load(state_path(NAME))
    phases = ["gas", "gas", "brake", "brake", "steer", "steer", "gas", "gas"]
    assert searched == ["steer+gas+brake"] * 3 + phases
    assert len(set(env_seeds)) == len(env_seeds) == 11 * 3
    assert search.rows[:, -1].tolist() == [3 * 8] * 11
    np.testing.assert_array_equal(search.rows[:, 0], np.arange(1, 12))


def test_a_phase_starts_at_the_mean_of_the_search_with_its_own_sigma() -> None:
    phased, joint = new_search(joint_steps=3, turn_sigma=0.02), new_search()
    for _ in range(3):
        for search in (phased, joint):
            run_unevaluated_generation(search)
    np.testing.assert_array_equal(phased.mean_weights, joint.mean_weights)
    assert (phased.actions, joint.actions) == (("gas",), config.ACTIONS)
    assert phased.optimizer.sigma == pytest.approx(0.04, rel=1e-3)
    for _ in range(2):
        run_unevaluated_generation(phased)
    assert phased.actions == ("brake",)
    assert phased.optimizer.sigma == pytest.approx(0.02, rel=1e-3)


def test_sigma_decays_outside_the_phases_only() -> None:
    """Two searches with the same fitness and different decays."""
    decaying, constant = (new_search(joint_steps=2, turn_steps=9, sigma_decay=decay) for decay in (0.5, 1.0))
    rng, ratios = np.random.default_rng(0), []
    for _ in range(4):
        scores = rng.normal(size=(8, 3))
        for search in (decaying, constant):
            search.ask()
            search.tell(scores, np.ones(scores.shape), 0.0)
        ratios.append(decaying.rows[-1, 6] / constant.rows[-1, 6])
    np.testing.assert_allclose(ratios, [0.5, 0.25, 1.0, 1.0])


def test_a_search_may_start_with_a_phase() -> None:
    search = new_search(joint_steps=0, turn_sigma=0.02)
    assert search.actions == ("gas",)
    assert search.optimizer.sigma == pytest.approx(0.04, rel=1e-3)
    run_unevaluated_generation(search)
    search.save()
    np.testing.assert_array_equal(ControllerSearch.load(state_path(NAME)).ask(), search.ask())


def test_retrain_in_a_phase_restarts_from_the_best_mean_and_searches_one_action() -> None:
    search = new_search(retrain=1, joint_steps=4, turn_steps=5)
    for _ in range(6):
        run_generation_with_scores(search)  # the best evaluation is that of generation 4
    assert (search.start_generation, search.actions) == (6, ("gas",))
    np.testing.assert_allclose(search.mean_u, search.real.best_u, rtol=0, atol=0)
    varied = np.ptp(search.ask(), axis=0) > 0
    assert varied.any()
    assert not varied[~arch.is_weight_of("gas")].any()


def test_is_weight_of_an_action_selects_its_row_of_w_and_its_bias() -> None:
    """Replacing all other weights leaves this action unchanged and changes the others."""
    rng = np.random.default_rng(0)
    weights, others, x = *rng.normal(size=(2, arch.NUM_WEIGHTS)), rng.normal(size=arch.FEATURES)
    for i, name in enumerate(config.ACTIONS):
        mask = arch.is_weight_of(name)
        (W, b), (W2, b2) = arch.unpack(weights), arch.unpack(np.where(mask, weights, others))
        same = np.isclose(W @ x + b, W2 @ x + b2)
        assert mask.sum() == arch.FEATURES + 1
        assert same.tolist() == [j == i for j in range(3)]
