"""The search for a controller: that it goes on where it was, what it keeps, and what it asks its drivers for."""

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import snapshot
from test_controller import some_features

import config
import controller.arch as arch
from controller import files as controller_files
from controller.coordinates import new_coordinates, principal_subspace
from controller.files import name_of, state_path, weights_path
from controller.generation import evaluate_mean, run_generation
from controller.search import ControllerSearch, check_settings, weights_to_start_from
from es import OPTIMIZERS
from pipeline.errors import UserError
from pipeline.files import file_hash, write_json
from simulation.rollout import Result, Task, evaluator

NAME = "car_racing.cma.2.8"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- the search ----------------------------------------------------------------------------------------------------


def new_search(**changes: object) -> ControllerSearch:
    settings = {"vae": "v", "rnn": "r", "seed": 1, "max_length": 9, "population": 8, "optimizer": "cma"}
    settings |= {
        "sigma_init": 0.1,
        "sigma_decay": 1.0,
        "retrain": 0,
        "num_episode": 3,
        "joint_steps": 100,
        "turn_steps": 2,
        "turn_sigma": 0.05,
    }
    settings |= {"subspace": 0, "z_only": 0, "sample_z": 0, "previous_action": 0, "dream_mode": 0, "cap_time": 0}
    settings |= {"eval_episode": 5, "hard_tracks": 0} | changes
    w0 = np.random.default_rng(0).normal(size=arch.NUM_WEIGHTS)
    return ControllerSearch(NAME, settings, principal_subspace(w0, some_features(100), 4))


def scores_of(weights: np.ndarray, env_seed: int) -> np.ndarray:
    """A score that is a function of weights (..., 867) and track alone; (...,)."""
    return -np.square(weights - np.sin(np.arange(arch.NUM_WEIGHTS) + env_seed)).sum(axis=-1)


def one_generation(search: ControllerSearch) -> None:
    """Two tracks a generation; every second one is evaluated, the fourth with luck, the others worse each time."""
    weights = search.ask()
    scores = np.stack([scores_of(weights, 2 * search.generation + i) for i in range(2)], axis=1)
    search.tell(scores, np.full(scores.shape, 30), seconds=0.0)
    if search.generation % 2 == 0:
        lucky = 1e4 if search.generation == 4 else 0
        search.evaluated(lucky - 100 * search.generation + np.array([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize("retrain", [0, 1])
@pytest.mark.parametrize("joint_steps", [3, 4, 100])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_search_is_the_unbroken_one(here: Path, optimizer: str, joint_steps: int, retrain: int) -> None:
    """Bit for bit, wherever it was broken off, also when a turn had begun or it had gone back to its best."""
    changes = {"optimizer": optimizer, "retrain": retrain, "joint_steps": joint_steps}
    unbroken = new_search(**changes)
    for _ in range(9):
        one_generation(unbroken)
    unbroken.save()
    files = snapshot(here)
    assert (unbroken.start_generation > 0) == bool(retrain or joint_steps < 9)
    broken = new_search(**changes)
    for _ in range(9):
        one_generation(broken)
        broken.save()
        broken = ControllerSearch.load(state_path(NAME))
    np.testing.assert_array_equal(broken.ask(), unbroken.ask())
    broken.save()
    assert snapshot(here) == files


def test_another_seed_is_another_search() -> None:
    assert not np.array_equal(new_search(seed=1).ask(), new_search(seed=2).ask())


def test_retrain_goes_back_to_the_best_mean() -> None:
    search = new_search(retrain=1)
    for _ in range(4):
        one_generation(search)
    best = search.mean_weights  # evaluated with luck
    for _ in range(2):
        one_generation(search)
    np.testing.assert_array_equal(search.mean_weights, best)
    assert search.start_generation == 6
    keeps_on = new_search(retrain=0)
    for _ in range(6):
        one_generation(keeps_on)
    assert not np.array_equal(keeps_on.mean_weights, best)


def test_what_is_written_is_the_mean_that_was_evaluated_best() -> None:
    search = new_search()
    for _ in range(5):
        one_generation(search)
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


def test_the_search_climbs() -> None:
    """From the first mean a third of the way to the best that its subspace holds, on one track."""
    search = new_search(sigma_init=0.5)
    T = search.coordinates.T
    start = scores_of(search.mean_weights, 0)
    u, *_ = np.linalg.lstsq(T, np.sin(np.arange(arch.NUM_WEIGHTS)) - search.coordinates.w0)
    top = scores_of(search.coordinates.weights(u), 0)
    for _ in range(40):
        search.tell(scores_of(search.ask(), 0)[:, None], np.ones((8, 1)), 0.0)
    assert scores_of(search.mean_weights, 0) > start + (top - start) / 3


def test_changed_settings_are_refused_but_not_changed_versions() -> None:
    search = new_search(versions={"numpy": "2"})
    check_settings(search, search.settings | {"versions": {"numpy": "3"}})
    with pytest.raises(UserError, match="made with seed = 1, now it is 2"):
        check_settings(search, search.settings | {"seed": 2})


def _change(key: str, new: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict], dict]:
    return lambda arrays: arrays | {f"coordinates/{key}": new(arrays[f"coordinates/{key}"])}


def _set(key: str, value: object) -> Callable[[dict], dict]:
    return lambda arrays: arrays | {"settings": json.dumps(json.loads(str(arrays["settings"])) | {key: value})}


DAMAGES = {
    "another first sigma": _set("sigma_init", 0.2),
    "a first sigma without bounds": _set("sigma_init", 1e308),
    "another decay": _set("sigma_decay", 0.9),
    "another mean": _change("mean_u", lambda u: u + 1e-6),
    "another start": _change("start_u", lambda u: u + 1e-6),
    "another fitness": lambda arrays: arrays | {"fitness": arrays["fitness"][:, ::-1]},
    "fewer generations": lambda arrays: arrays | {"fitness": arrays["fitness"][:-1]},
    "another width": _change("start_u", lambda u: u[:-1]),
    "another population": lambda arrays: arrays | {"fitness": arrays["fitness"][:, :-1]},
    "rows of another width": _change("rows", lambda rows: rows[:, :-1]),
    "fewer rows": _change("rows", lambda rows: rows[:-1]),
    "a best that never was": _change("best", lambda best: best + 7),
    "other coordinates": _change("T", lambda T: T[:-1]),
    "a coordinate that moves nothing": _change("T", lambda T: T * (np.arange(T.shape[1]) > 0)),
    "a coordinate that moves everything": _change("T", lambda T: np.where(np.arange(T.shape[1]) > 0, T, 1.0)),
    "no evaluations": lambda arrays: {key: array for key, array in arrays.items() if "evaluations" not in key},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_tampered_search_is_refused_in_one_line(damage: str) -> None:
    search = new_search()
    for _ in range(4):
        one_generation(search)
    search.save()
    with np.load(state_path(NAME)) as file:
        arrays = dict(file)
    np.savez(state_path(NAME).open("wb"), **DAMAGES[damage](arrays))
    with pytest.raises(UserError, match=r"car_racing.cma.2.8.es.npz") as error:
        ControllerSearch.load(state_path(NAME))
    assert "\n" not in str(error.value)


# --- hard tracks ---------------------------------------------------------------------------------------------------


def test_every_second_track_is_one_that_the_mean_drove_badly(here: Path) -> None:
    search = new_search(num_episode=4, hard_tracks=1)
    unseen, hard = search.next_env_seeds(), []
    search.note_hard_tracks([900 + i for i in range(32)], np.arange(32.0)[::-1])
    for _ in range(5):
        search.ask()
        search.tell(np.tile(np.arange(8.0)[:, None], 4), np.full((8, 4), 30), seconds=0.0)
        tracks = search.next_env_seeds()
        unseen, hard = [*unseen, *tracks[:2]], [*hard, *tracks[2:]]
    assert set(hard) == set(range(924, 932))  # in turn
    assert len(set(unseen)) == 4 + 5 * 2
    search.save()
    assert ControllerSearch.load(state_path(NAME)).next_env_seeds() == search.next_env_seeds()


@pytest.mark.parametrize(("wishes", "kept"), [({}, 8), ({"hard_tracks": 0}, 0), ({"dream_mode": 1}, 0)])
def test_the_last_evaluation_says_which_tracks_are_hard(here: Path, wishes: dict, kept: int) -> None:
    """But not to a search that dreams: the road must not lead it."""
    search, driven = new_search(**{"hard_tracks": 1, "eval_episode": 32} | wishes), []

    def drive(tasks: list[Task]) -> list[Result]:
        driven.append([task.env_seed for task in tasks])
        return [Result(float(-(task.env_seed % 1000)), steps=20) for task in tasks]

    run_generation(search, evaluator(drive), started=0.0)
    evaluate_mean(search, evaluator(drive))
    assert search.hard_tracks.tolist() == sorted(driven[1], key=lambda env_seed: -(env_seed % 1000))[:kept]


# --- what stage 05 asks for ----------------------------------------------------------------------------------------


def stage_05(**changes: object) -> argparse.Namespace:
    """Arguments of stage 05, as far as starting a search needs them."""
    arguments = {
        "seed_start": 1,
        "num_episode": 2,
        "num_worker": 2,
        "num_worker_trial": 4,
        "dream_mode": 0,
        "init_opt": None,
    }
    arguments |= {"env_name": "car_racing", "optimizer": "cma", "new_model": False, "subspace": 0, **changes}
    return argparse.Namespace(**arguments)


def test_z_only_searches_where_c_is_without_h(monkeypatch: pytest.MonkeyPatch) -> None:
    z_columns = np.tile(np.arange(arch.FEATURES) < config.Z_DIM, config.ACTION_DIM)
    monkeypatch.setattr("controller.coordinates.real_features", lambda *_: some_features(500).astype(np.float32))
    settings = {"subspace": 48, "z_only": 1, "env_name": "car_racing", "vae": "v"}
    T = new_coordinates(settings, None, np.zeros(arch.NUM_WEIGHTS)).T
    assert T.shape == (867, 99)
    assert not T[:864][~z_columns].any()
    assert np.linalg.matrix_rank(T) == 99
    seen = new_coordinates(settings, None, np.ones(arch.NUM_WEIGHTS)).w0  # as --init_opt might bring
    np.testing.assert_array_equal(seen, [*z_columns, 1, 1, 1])
    assert new_coordinates(settings | {"z_only": 0}, None, np.zeros(arch.NUM_WEIGHTS)).T[:864][~z_columns].any()


def test_all_members_drive_the_same_tracks_and_no_track_comes_twice() -> None:
    search, asked = new_search(max_length=1000), []

    def drive(tasks: list[Task]) -> list[Result]:
        asked.append(tasks)
        return [Result(scores_of(task.weights, 0), steps=20) for task in tasks]

    for _ in range(2):
        population = search.ask()
        row = run_generation(search, evaluator(drive), started=0.0)
        np.testing.assert_array_equal([task.weights for task in asked[-1][::3]], population)
        assert row[2] == pytest.approx(scores_of(population, 0).mean())
        evaluate_mean(search, evaluator(drive))
        assert all((task.weights == search.mean_weights).all() for task in asked[-1])
    generations = [[task.env_seed for task in tasks] for tasks in asked]
    assert [len(tracks) for tracks in generations] == [24, 5, 24, 5]
    assert all(tracks == tracks[:3] * 8 for tracks in generations[::2])
    assert len({env_seed for tracks in generations for env_seed in tracks}) == 3 + 5 + 3 + 5
    assert {task.max_length for tasks in asked for task in tasks} == {1000}


def test_cap_time_is_twice_the_last_mean() -> None:
    search, lengths = new_search(max_length=1000, cap_time=1), []

    def drive(tasks: list[Task]) -> list[Result]:
        lengths.append({task.max_length for task in tasks})
        return [Result(0.0, steps=100 + task.env_seed % 3) for task in tasks]

    for _ in range(2):
        run_generation(search, evaluator(drive), started=0.0)
    assert lengths == [{1000}, {202}]


def test_a_dreaming_search_dreams_and_is_scored_on_the_road_too() -> None:
    search, asked = new_search(dream_mode=1, retrain=1), []

    def drive(tasks: list[Task]) -> list[Result]:
        """The road punishes what dreams reward."""
        asked.append({task.dream for task in tasks})
        sign = 1 if tasks[0].dream else -1
        return [Result(sign * float(10 * search.generation + task.weights[0]), steps=20) for task in tasks]

    for _ in range(3):
        run_generation(search, evaluator(drive), started=0.0)
        evaluate_mean(search, evaluator(drive))
    assert asked == [{True}, {False}, {True}] * 3
    assert (search.real.best, search.dream.best) == (0, 2)
    loaded = ControllerSearch.load(state_path(NAME))
    np.testing.assert_array_equal(loaded.dream.rows, search.dream.rows)
    for which, evaluations in {"best": search.real, "dream_best": search.dream}.items():
        weights, score, metadata = controller_files.load(weights_path(NAME, which))
        np.testing.assert_array_equal(weights, search.coordinates.weights(evaluations.best_u))
        assert score == evaluations.rows[:, 1].max()
        assert metadata["score_is"] == f"mean over unseen {'dreams' if which == 'dream_best' else 'tracks'}"
    assert len(json.loads((config.LOG_DIR / f"{NAME}.dream_log.json").read_text())) == 3


def test_weights_say_which_search_they_are_of() -> None:
    for which in ("best", "dream_best", "current"):
        assert name_of(weights_path("car_racing_dream.cma.4.32", which)) == "car_racing_dream.cma.4.32"
    assert name_of(Path("elsewhere/mine.json")) == "mine"


def test_init_opt_starts_from_the_mean_of_another_search_before_it_was_evaluated() -> None:
    stage, other = importlib.import_module("05_train_controller"), new_search()
    one_generation(other)
    other.save()
    before = other.mean_weights
    arguments = stage_05(init_opt=state_path(NAME), num_episode=9)  # another name, so another search
    agent = argparse.Namespace(rnn=argparse.Namespace(hidden_states=None))  # searching all weights asks for no features
    started = stage.start_or_resume(arguments, other.settings, agent)
    assert (started.generation, started.name) == (0, "car_racing.cma.9.8")
    np.testing.assert_array_equal(started.mean_weights, before)
    assert started.coordinates.T.shape == (867, 867)
    with pytest.raises(UserError, match=r"was made with rnn = .*, now it is another"):
        stage.start_or_resume(arguments, other.settings | {"rnn": "another"}, agent)


@pytest.mark.parametrize(("dream_mode", "best"), [(0, 1), (1, 2)])
def test_init_opt_starts_from_the_best_mean_of_another_search(dream_mode: int, best: int) -> None:
    """The best on the road or, of a search that dreams, the best in dreams: generation 1 or 2 of three."""
    other, means = new_search(dream_mode=dream_mode), {}
    for on_the_road, in_dreams in ((9.0, 1.0), (5.0, 7.0), (6.0, 3.0)):
        other.tell(scores_of(other.ask(), 0)[:, None], np.full((8, 1), 30), seconds=0.0)
        means[other.generation] = other.mean_weights
        other.evaluated(np.full(5, on_the_road), np.full(5, in_dreams) if dream_mode else None)
    other.save()
    np.testing.assert_array_equal(weights_to_start_from(state_path(NAME), "another", other.settings), means[best])


def test_init_opt_may_be_of_the_networks_that_these_have_learned_on_from() -> None:
    other = new_search()
    one_generation(other)
    other.save()
    settings = other.settings | {"vae": "v2", "rnn": "r2"}
    for network, earlier in {"vae": "v", "rnn": "r"}.items():
        with pytest.raises(UserError, match=f"was made with {network} = "):
            weights_to_start_from(state_path(NAME), "another", settings)
        weights = Path(network) / "weights.h5"
        weights.parent.mkdir()
        weights.write_bytes(b"weights")
        metadata = {"settings": {"init_weights": earlier}, "weights_sha256": file_hash(weights)}
        write_json(weights.with_suffix(".json"), metadata)
    np.testing.assert_array_equal(weights_to_start_from(state_path(NAME), "another", settings), other.mean_weights)
