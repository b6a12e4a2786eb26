"""Tests of the controller search: resuming, the files it writes, evaluations, --init_opt."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import snapshot
from helpers.settings import search_settings
from test_controller import some_features

import config
import controller.arch as arch
from controller import files as controller_files
from controller.coordinates import new_coordinates, principal_subspace
from controller.files import name_of, search_name, state_path, weights_path
from controller.generation import evaluate_mean, run_generation
from controller.groups import groups_of
from controller.resume import best_mean, check_settings, initial_weights, start_or_resume
from controller.saved_search import describe
from controller.search import ControllerSearch
from controller.settings import SearchSettings
from es import OPTIMIZERS
from pipeline.errors import UserError
from pipeline.new_model import how_to_go_on, how_to_start_again, until_saved
from pipeline.sizes import CAR
from simulation.rollout import Result, Task, evaluator

NAME = "car_racing.cma.2.8"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- the search ----------------------------------------------------------------------------------------------------


def new_search(**changes: object) -> ControllerSearch:
    w0 = np.random.default_rng(0).normal(size=arch.NUM_WEIGHTS)
    return ControllerSearch(NAME, search_settings(**changes), principal_subspace(w0, some_features(100), 4))


def scores_of(weights: np.ndarray, env_seed: int) -> np.ndarray:
    """Scores (...,) that are a function of weights (..., 867) and environment seed alone."""
    return -np.square(weights - np.sin(np.arange(arch.NUM_WEIGHTS) + env_seed)).sum(axis=-1)


def run_generation_with_scores(search: ControllerSearch) -> None:
    """Run a generation on two tracks; every second one is evaluated, generation 4 best, the others ever worse."""
    candidates = search.ask()
    scores = np.stack([scores_of(candidates, 2 * search.generation + i) for i in range(2)], axis=1)
    search.tell(scores, np.full(scores.shape, 30), seconds=0.0)
    if search.generation % 2 == 0:
        bonus = 1e4 if search.generation == 4 else 0
        search.record_evaluation(bonus - 100 * search.generation + np.array([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize(("population", "retrain"), [(8, 0), (8, 1), (40, 0)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_search_equals_the_uninterrupted_one(
    here: Path, optimizer: str, population: int, retrain: int
) -> None:
    """Bit for bit after every generation, including the restarts of the optimizer by --retrain."""
    changes = {"optimizer": optimizer, "population": population, "retrain": retrain}
    uninterrupted = new_search(**changes)
    for _ in range(9):
        run_generation_with_scores(uninterrupted)
    uninterrupted.save()
    files = snapshot(here)
    assert (uninterrupted.start_generation > 0) == bool(retrain)
    resumed = new_search(**changes)
    for _ in range(9):
        run_generation_with_scores(resumed)
        resumed.save()
        resumed = ControllerSearch.load(state_path(NAME))
    np.testing.assert_array_equal(resumed.ask(), uninterrupted.ask())
    resumed.save()
    assert snapshot(here) == files


def test_another_seed_is_another_search() -> None:
    assert not np.array_equal(new_search(seed=1).ask(), new_search(seed=2).ask())


def test_retrain_restarts_from_the_best_mean() -> None:
    search = new_search(retrain=1)
    for _ in range(4):
        run_generation_with_scores(search)
    best = search.mean_weights  # generation 4 has the best evaluation
    for _ in range(2):
        run_generation_with_scores(search)
    np.testing.assert_array_equal(search.mean_weights, best)
    assert search.start_generation == 6
    without_retrain = new_search(retrain=0)
    for _ in range(6):
        run_generation_with_scores(without_retrain)
    assert not np.array_equal(without_retrain.mean_weights, best)


def test_the_controller_files_hold_the_best_and_the_current_mean() -> None:
    search = new_search()
    for _ in range(5):
        run_generation_with_scores(search)
        if search.generation == 4:
            best = search.mean_weights
    search.save()
    weights, score, metadata = controller_files.load(weights_path(NAME, "best"))
    np.testing.assert_array_equal(weights, best)
    assert score == search.real.rows[1, 1]
    assert (metadata["vae"], metadata["rnn"], metadata["generation"]) == ("v", "r", 4)
    weights, score, metadata = controller_files.load(weights_path(NAME, "current"))
    np.testing.assert_array_equal(weights, search.mean_weights)
    assert score == search.fitness[-1].mean()
    rows = json.loads(Path(f"log/{NAME}.hist.json").read_text())
    assert [row["generation"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[2]["max"] == search.fitness[2].max()


def test_the_search_improves_the_score() -> None:
    """On one track, by at least a third of the distance from the first mean to the optimum in the subspace."""
    search = new_search(sigma_init=0.5)
    T = search.coordinates.T
    start = scores_of(search.mean_weights, 0)
    u, *_ = np.linalg.lstsq(T, np.sin(np.arange(arch.NUM_WEIGHTS)) - search.coordinates.w0)
    optimum = scores_of(search.coordinates.weights(u), 0)
    for _ in range(40):
        search.tell(scores_of(search.ask(), 0)[:, None], np.ones((8, 1)), 0.0)
    assert scores_of(search.mean_weights, 0) > start + (optimum - start) / 3


def test_changed_settings_are_refused_and_changed_versions_are_not() -> None:
    search = new_search(versions={"numpy": "2"})
    check_settings(search, replace(search.settings, versions={"numpy": "3"}))
    with pytest.raises(UserError, match="made with seed = 1, now it is 2"):
        check_settings(search, replace(search.settings, seed=2))


def _change(key: str, new: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict], dict]:
    return lambda arrays: arrays | {f"coordinates/{key}": new(arrays[f"coordinates/{key}"])}


def _set(key: str, value: object) -> Callable[[dict], dict]:
    return lambda arrays: arrays | {"settings": json.dumps(json.loads(str(arrays["settings"])) | {key: value})}


DAMAGES = {
    "another initial sigma": _set("sigma_init", 0.2),
    "a huge initial sigma": _set("sigma_init", 1e308),
    "another decay": _set("sigma_decay", 0.9),
    "another mean": _change("mean_u", lambda u: u + 1e-6),
    "another start": _change("start_u", lambda u: u + 1e-6),
    "another fitness": lambda arrays: arrays | {"fitness": arrays["fitness"][:, ::-1]},
    "fewer generations": lambda arrays: arrays | {"fitness": arrays["fitness"][:-1]},
    "another dimension": _change("start_u", lambda u: u[:-1]),
    "another population": lambda arrays: arrays | {"fitness": arrays["fitness"][:, :-1]},
    "rows with fewer columns": _change("rows", lambda rows: rows[:, :-1]),
    "fewer rows": _change("rows", lambda rows: rows[:-1]),
    "a best evaluation out of range": _change("best", lambda best: best + 7),
    "coordinates of fewer weights": _change("T", lambda T: T[:-1]),
    "a coordinate without effect": _change("T", lambda T: T * (np.arange(T.shape[1]) > 0)),
    "a restart without --retrain": lambda arrays: arrays | {"coordinates/start_generation": np.array(1)},
    "a setting of version 0.1.0": _set("hard_tracks", False),
    "no evaluations": lambda arrays: {key: array for key, array in arrays.items() if "evaluations" not in key},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_tampered_search_is_refused_in_one_line(damage: str) -> None:
    search = new_search()
    for _ in range(4):
        run_generation_with_scores(search)
    search.save()
    with np.load(state_path(NAME)) as file:
        arrays = dict(file)
    np.savez(state_path(NAME).open("wb"), **DAMAGES[damage](arrays))
    with pytest.raises(UserError, match=r"car_racing.cma.2.8.es.npz") as error:
        ControllerSearch.load(state_path(NAME))
    assert "\n" not in str(error.value)


# --- generations and evaluations -----------------------------------------------------------------------------------


def test_z_only_searches_weights_of_z_only(monkeypatch: pytest.MonkeyPatch) -> None:
    z_columns = np.tile(np.arange(arch.FEATURES) < CAR.z, CAR.actions)
    monkeypatch.setattr("controller.coordinates.real_features", lambda *_: some_features(500).astype(np.float32))
    settings = search_settings(subspace=48, z_only=True)
    T = new_coordinates(settings, None, np.zeros(arch.NUM_WEIGHTS)).T
    assert T.shape == (867, 99)
    assert not T[:864][~z_columns].any()
    assert np.linalg.matrix_rank(T) == 99
    w0 = new_coordinates(settings, None, np.ones(arch.NUM_WEIGHTS)).w0  # --init_opt may start from weights of h
    np.testing.assert_array_equal(w0, [*z_columns, 1, 1, 1])
    assert new_coordinates(replace(settings, z_only=False), None, np.zeros(arch.NUM_WEIGHTS)).T[:864][~z_columns].any()


def test_a_small_population_shares_its_tracks_and_no_track_is_used_twice() -> None:
    search, calls = new_search(max_length=1000), []

    def roll_out(world: str, tasks: list[Task]) -> list[Result]:
        assert world == "real"
        calls.append(tasks)
        return [Result(scores_of(task.weights, 0), steps=20) for task in tasks]

    for _ in range(2):
        candidates = search.ask()
        row = run_generation(search, evaluator(roll_out), start_time=0.0)
        np.testing.assert_array_equal([task.weights for task in calls[-1][::3]], candidates)
        assert row[2] == pytest.approx(scores_of(candidates, 0).mean())
        evaluate_mean(search, evaluator(roll_out))
        assert all((task.weights == search.mean_weights).all() for task in calls[-1])
    all_env_seeds = [[task.env_seed for task in tasks] for tasks in calls]
    assert [len(env_seeds) for env_seeds in all_env_seeds] == [24, 5, 24, 5]
    assert all(env_seeds == env_seeds[:3] * 8 for env_seeds in all_env_seeds[::2])
    assert len({env_seed for env_seeds in all_env_seeds for env_seed in env_seeds}) == 3 + 5 + 3 + 5
    assert {task.max_length for tasks in calls for task in tasks} == {1000}


def test_groups_of_candidates_drive_other_tracks_whose_difficulty_does_not_count() -> None:
    """A population of 40: two groups of 20, on tracks of which those of one group all give 100 more."""
    search, calls = new_search(population=40), []

    def roll_out(world: str, tasks: list[Task]) -> list[Result]:
        calls.append(np.reshape([task.env_seed for task in tasks], (40, 3)))
        return [Result(float(task.weights[0]) + 100 * (i // 3 % 2), steps=20) for i, task in enumerate(tasks)]

    for _ in range(2):
        own = search.ask()[:, 0]
        row = run_generation(search, evaluator(roll_out), start_time=0.0)
        assert row[2:5] == pytest.approx(((own + [0, 100] * 20).mean(), own[::2].min(), own[1::2].max() + 100))
        expected = own - np.tile([own[::2].mean(), own[1::2].mean()], 20) + own.mean() + 50
        np.testing.assert_allclose(search.fitness[-1], expected)
    for tracks in calls:
        assert (tracks == np.tile(tracks[:2], (20, 1))).all()
    assert len({env_seed for tracks in calls for env_seed in tracks.flat}) == 2 * 2 * 3


@pytest.mark.parametrize(("population", "smallest"), [(2, 2), (16, 16), (31, 31), (33, 16), (50, 16), (64, 16)])
def test_groups_have_sixteen_candidates_or_more_and_both_of_a_pair(population: int, smallest: int) -> None:
    """Fewer than 32 candidates are one group."""
    groups = groups_of(population)
    sizes = np.bincount(groups)
    assert (sizes.sum(), sizes.min()) == (population, smallest)
    half = population // 2
    np.testing.assert_array_equal(groups[:half], groups[-half:])


def test_cap_time_is_twice_the_last_mean() -> None:
    search, lengths = new_search(max_length=1000, cap_time=1), []

    def roll_out(world: str, tasks: list[Task]) -> list[Result]:
        lengths.append({task.max_length for task in tasks})
        return [Result(0.0, steps=100 + task.env_seed % 3) for task in tasks]

    for _ in range(2):
        run_generation(search, evaluator(roll_out), start_time=0.0)
    assert lengths == [{1000}, {202}]


def test_a_search_in_dreams_is_evaluated_in_both_worlds() -> None:
    search, calls = new_search(dream_mode=1, retrain=1), []

    def roll_out(world: str, tasks: list[Task]) -> list[Result]:
        """Real scores are the negative of dream scores."""
        calls.append(world)
        sign = 1 if world == "dream" else -1
        return [Result(sign * float(10 * search.generation + task.weights[0]), steps=20) for task in tasks]

    for _ in range(3):
        run_generation(search, evaluator(roll_out), start_time=0.0)
        evaluate_mean(search, evaluator(roll_out))
    assert calls == ["dream", "real", "dream"] * 3
    assert (search.real.best, search.dream.best) == (0, 2)
    loaded = ControllerSearch.load(state_path(NAME))
    np.testing.assert_array_equal(loaded.dream.rows, search.dream.rows)
    for which, evaluations in {"best": search.real, "dream_best": search.dream}.items():
        weights, score, metadata = controller_files.load(weights_path(NAME, which))
        np.testing.assert_array_equal(weights, search.coordinates.weights(evaluations.best_u))
        assert score == evaluations.rows[:, 1].max()
        assert metadata["score_is"] == f"mean over unseen {'dreams' if which == 'dream_best' else 'tracks'}"
    assert len(json.loads((config.LOG_DIR / f"{NAME}.dream_log.json").read_text())) == 3


def test_the_name_of_a_controller_file_contains_that_of_its_search() -> None:
    for which in ("best", "dream_best", "current"):
        assert name_of(weights_path("car_racing_dream.cma.4.32", which)) == "car_racing_dream.cma.4.32"
    assert name_of(Path("elsewhere/mine.json")) == "mine"


# --- --init_opt ----------------------------------------------------------------------------------------------------


def unused(path: Path, hashes: dict[str, str], weights: np.ndarray) -> np.ndarray:
    raise AssertionError("the controller is of the same V and M")


def test_init_opt_starts_from_the_mean_of_a_search_without_evaluations() -> None:
    other = new_search()
    run_generation_with_scores(other)
    other.save()

    def start(settings: SearchSettings) -> ControllerSearch:
        name = search_name(replace(settings, num_episode=9))
        return start_or_resume(name, settings, None, new_model=False, init_opt=state_path(NAME), transfer=unused)

    started = start(other.settings)
    assert (started.generation, started.name) == (0, "car_racing.cma.9.8")
    np.testing.assert_array_equal(started.mean_weights, other.mean_weights)
    assert started.coordinates.T.shape == (867, 867)


@pytest.mark.parametrize(("dream_mode", "best"), [(0, 1), (1, 2)])
def test_init_opt_starts_from_the_best_mean_of_another_search(dream_mode: int, best: int) -> None:
    """The best by real scores or, for a search in dreams, by dream scores: generation 1 or 2 of three."""
    other, means = new_search(dream_mode=dream_mode), {}
    for real_score, dream_score in ((9.0, 1.0), (5.0, 7.0), (6.0, 3.0)):
        other.tell(scores_of(other.ask(), 0)[:, None], np.full((8, 1), 30), seconds=0.0)
        means[other.generation] = other.mean_weights
        other.record_evaluation(np.full(5, real_score), np.full(5, dream_score) if dream_mode else None)
    other.save()
    np.testing.assert_array_equal(initial_weights(state_path(NAME), "another", other.settings, unused), means[best])


def test_init_opt_needs_no_replay_and_refuses_a_damaged_search() -> None:
    """A search of another machine may replay to another mean, which matters only to resuming it."""
    other = new_search()
    run_generation_with_scores(other)
    run_generation_with_scores(other)
    other.save()
    with np.load(state_path(NAME)) as file:
        arrays = dict(file)
    np.savez(state_path(NAME).open("wb"), **arrays | {"fitness": arrays["fitness"][:, ::-1]})
    with pytest.raises(UserError, match="does not replay"):
        ControllerSearch.load(state_path(NAME))
    best, settings = best_mean(state_path(NAME))
    np.testing.assert_array_equal(best, other.coordinates.weights(other.real.best_u))
    assert settings == other.settings
    for damage in ("another dimension", "coordinates of fewer weights", "no evaluations"):
        damaged = DAMAGES[damage](arrays) | {"coordinates/best_u": arrays["coordinates/best_u"][:-1]}
        np.savez(state_path(NAME).open("wb"), **damaged)
        with pytest.raises(UserError, match=r"es.npz is not a saved controller search \("):
            best_mean(state_path(NAME))


def test_init_opt_may_be_a_controller_file(capsys: pytest.CaptureFixture) -> None:
    """Of the same V and M; a file that names none, as the tutorial's, is not checked."""
    settings, weights = new_search().settings, np.random.default_rng(0).normal(size=arch.NUM_WEIGHTS)
    path = Path("a.best.json")
    controller_files.save(path, weights, 1.0, {"vae": settings.vae_hash, "rnn": settings.rnn_hash})
    name = search_name(settings)
    started = start_or_resume(name, settings, None, new_model=False, init_opt=path, transfer=unused)
    np.testing.assert_array_equal(started.mean_weights, weights)
    path.write_text(json.dumps([controller_files.in_tutorial_order(weights).tolist(), 1.0]))
    np.testing.assert_array_equal(initial_weights(path, name, replace(settings, rnn_hash="another"), unused), weights)
    assert "read in the tutorial's layout" in capsys.readouterr().out
    path.parent.joinpath("controller").mkdir(exist_ok=True)
    own = path.rename(weights_path(name, "best"))
    with pytest.raises(UserError, match="would be overwritten by this search"):
        initial_weights(own, name, settings, unused)
    Path("a.es.pk").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UserError, match=r"a.es.pk is not a saved search, or is damaged: it is no .npz archive$"):
        initial_weights(Path("a.es.pk"), name, settings, unused)


@pytest.mark.parametrize("network", ["vae", "rnn"])
def test_init_opt_of_another_v_or_m_is_fitted_to_these(network: str) -> None:
    other = new_search()
    run_generation_with_scores(other)
    other.save()

    def transfer(path: Path, hashes: dict[str, str], weights: np.ndarray) -> np.ndarray:
        assert (path, hashes) == (state_path(NAME), {"vae": "v", "rnn": "r"})
        np.testing.assert_array_equal(weights, other.mean_weights)
        return weights + 1

    settings = replace(other.settings, **{f"{network}_hash": "another"})
    weights = initial_weights(state_path(NAME), "another", settings, transfer)
    np.testing.assert_array_equal(weights, other.mean_weights + 1)


# --- what a stopped search says ---------------------------------------------------------------------------------------


def test_a_stopped_search_says_what_is_saved_and_how_to_go_on() -> None:
    state = state_path(NAME)
    assert how_to_go_on(state, False, describe) == "nothing is saved yet; run the same command to start again"
    search = new_search()
    for saved in ("1 generation is", "2 generations are"):
        run_generation_with_scores(search)
        search.save()
        assert how_to_go_on(state, False, describe) == f"{saved} saved in {state}; run the same command to resume"
    began = state.stat().st_mtime + 1
    saved = "2 generations are saved in"
    assert how_to_go_on(state, True, describe, began) == how_to_start_again(True)  # the state is the earlier search's
    assert how_to_go_on(state, True, describe, began - 2).startswith(saved)
    assert how_to_go_on(state, False, describe, began).startswith(saved)


# --- --new_model over an earlier search -------------------------------------------------------------------------------


def test_an_earlier_search_is_lost_only_when_the_new_one_has_saved_a_state() -> None:
    def start(new_model: bool) -> ControllerSearch:
        return start_or_resume(NAME, new_search().settings, None, new_model, init_opt=None, transfer=unused)

    earlier = new_search()
    run_generation_with_scores(earlier)
    earlier.save()
    state = state_path(NAME).read_bytes()
    files = snapshot(Path())
    with pytest.raises(KeyboardInterrupt) as stop, until_saved(state_path(NAME), new_model=True):
        raise KeyboardInterrupt
    assert stop.value.__notes__ == ["nothing is saved yet; run the same command, with --new_model, to start again"]
    assert Path(f"{state_path(NAME)}.previous").read_bytes() == state
    assert {name.removesuffix(".previous"): digest for name, digest in snapshot(Path()).items()} == files
    with pytest.raises(UserError, match="--new_model was stopped before it saved a state"):
        start(new_model=False)
    with pytest.raises(KeyboardInterrupt) as stop, until_saved(state_path(NAME), new_model=True):
        search = start(new_model=True)
        run_generation_with_scores(search)
        search.save()
        raise KeyboardInterrupt
    assert stop.value.__notes__ == ["run the same command, without --new_model, to resume"]
    assert snapshot(Path()).keys() == files.keys()
    assert start(new_model=False).generation == 1
