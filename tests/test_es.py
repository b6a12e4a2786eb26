"""Tests of the optimizers: convergence, determinism, refused inputs, saving and replaying a search."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from controller.saved_search import Search, load_search, save_search
from es import OPTIMIZERS, Optimizer, centered_ranks, replay
from pipeline.errors import UserError

NAMES = sorted(OPTIMIZERS)
DIMENSIONS = 147


def sphere(x: np.ndarray) -> np.ndarray:
    """Fitness (n,) of solutions (n, d); the optimum is 0, at 0.3 in every coordinate."""
    return -np.sum((x - 0.3) ** 2, axis=1)


def ellipsoid(x: np.ndarray) -> np.ndarray:
    """A rotated ellipsoid with curvatures from 1 to 1,000; the optimum is 0, at 0.3."""
    dimensions = x.shape[1]
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((dimensions, dimensions)))
    return -(((x - 0.3) @ rotation) ** 2) @ np.logspace(0, 3, dimensions)


def rastrigin(x: np.ndarray) -> np.ndarray:
    """A function with a local optimum at every integer distance from the global one, 0 at 0.5."""
    return -np.sum(10 + (x - 0.5) ** 2 - 10 * np.cos(2 * np.pi * (x - 0.5)), axis=1)


def climb(optimizer: Optimizer, fitness_of=sphere, generations: int = 20) -> np.ndarray:
    """Run a search; returns its fitness history (generations, popsize)."""
    history = []
    for _ in range(generations):
        history.append(fitness_of(optimizer.ask()))
        optimizer.tell(history[-1])
    return np.array(history)


# --- convergence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reached"), [("cma", -0.001), ("openes", -0.05), ("pepg", -0.1), ("ses", -1.0), ("ga", -6.0)]
)
def test_sphere(name: str, reached: float) -> None:
    optimizer = OPTIMIZERS[name](num_params=DIMENSIONS, popsize=32, seed=1)
    assert sphere(optimizer.mean[None])[0] < -13
    climb(optimizer, sphere, generations=300)
    assert sphere(optimizer.mean[None])[0] > reached


@pytest.mark.parametrize(
    ("name", "reached"), [("cma", -1e-9), ("openes", -1.0), ("pepg", -1.0), ("ses", -10.0), ("ga", -40.0)]
)
def test_rotated_ellipsoid(name: str, reached: float) -> None:
    optimizer = OPTIMIZERS[name](num_params=20, popsize=25, seed=1)
    assert ellipsoid(optimizer.mean[None])[0] < -400
    climb(optimizer, ellipsoid, generations=600)
    assert ellipsoid(optimizer.mean[None])[0] > reached


@pytest.mark.parametrize(
    ("name", "reached"), [("pepg", -1.5), ("openes", -2.5), ("cma", -7.5), ("ses", -9.5), ("ga", -15.5)]
)
def test_rastrigin(name: str, reached: float) -> None:
    """The search starts wide and narrows. The best of as many random samples from the first population has -27."""
    decay = {} if name == "cma" else {"sigma_decay": 0.98}
    optimizer = OPTIMIZERS[name](num_params=10, popsize=40, seed=1, sigma_init=1.0, **decay)
    assert rastrigin(optimizer.mean[None])[0] < -200
    climb(optimizer, rastrigin, generations=200)
    assert rastrigin(optimizer.mean[None])[0] > reached


# --- determinism ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("popsize", [12, 13])
def test_the_search_is_a_function_of_the_seed(name: str, popsize: int) -> None:
    one, same, other = (OPTIMIZERS[name](DIMENSIONS, popsize, seed) for seed in (1, 1, 2))
    assert one.ask().shape == (popsize, DIMENSIONS)
    assert one.ask().dtype == np.float64
    for optimizer in (one, same, other):
        climb(optimizer)
    np.testing.assert_array_equal(one.ask(), same.ask())
    assert one.sigma == same.sigma
    assert not np.array_equal(one.mean, other.mean)


@pytest.mark.parametrize("name", NAMES)
def test_numpys_global_random_state_is_neither_used_nor_changed(name: str) -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    one = OPTIMIZERS[name](DIMENSIONS, 12, seed=1)
    climb(one)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(2)
    two = OPTIMIZERS[name](DIMENSIONS, 12, seed=1)
    climb(two)
    np.testing.assert_array_equal(one.mean, two.mean)


@pytest.mark.parametrize("name", NAMES)
def test_a_caller_cannot_modify_the_search(name: str) -> None:
    one, two = (OPTIMIZERS[name](5, 12, seed=1) for _ in range(2))
    for _ in range(3):
        fitness = sphere(one.ask())
        two.ask()[:] = 7
        two.mean[:] = 7
        one.tell(fitness)
        two.tell(fitness)
    np.testing.assert_array_equal(one.ask(), two.ask())


@pytest.mark.parametrize("name", NAMES)
def test_a_search_starts_at_x0(name: str) -> None:
    x0 = np.linspace(-1, 1, 5)
    optimizer = OPTIMIZERS[name](5, 200, seed=1, sigma_init=0.01, x0=x0)
    np.testing.assert_array_equal(optimizer.mean, x0)
    np.testing.assert_allclose(optimizer.ask().mean(axis=0), x0, atol=0.005)
    assert optimizer.sigma == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_equal_fitness_does_not_move_the_mean_far(name: str) -> None:
    """The mean stays finite and within a few sigma of its start."""
    optimizer = OPTIMIZERS[name](5, 8, seed=1)
    for _ in range(5):
        optimizer.ask()
        optimizer.tell(np.zeros(8))
    assert np.abs(optimizer.mean).max() < 2


# --- refused inputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_bad_fitness_is_refused(name: str) -> None:
    optimizer = OPTIMIZERS[name](5, 8, seed=1)
    with pytest.raises(ValueError, match="tell without ask"):
        optimizer.tell(np.zeros(8))
    optimizer.ask()
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="finite"):
            optimizer.tell(np.array([0.0] * 7 + [bad]))
    with pytest.raises(ValueError, match="shape"):
        optimizer.tell(np.zeros(7))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma_init"):
        OPTIMIZERS["ses"](5, 8, seed=1, sigma_init=0)
    with pytest.raises(ValueError, match="popsize"):
        OPTIMIZERS["ses"](5, 1, seed=1)
    with pytest.raises(ValueError, match="x0"):
        OPTIMIZERS["ses"](5, 8, seed=1, x0=np.zeros(4))


# --- sigma decay and ranks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"cma", "pepg"}))
def test_sigma_decays_to_its_limit(name: str) -> None:
    optimizer = OPTIMIZERS[name](5, 8, seed=1, sigma_init=0.1, sigma_decay=0.5)
    climb(optimizer, generations=2)
    assert optimizer.sigma == 0.025
    climb(optimizer, generations=10)
    assert optimizer.sigma == optimizer.sigma_limit


def test_sigma_decay_multiplies_the_step_size_of_cma_down_to_its_limit() -> None:
    adapted, decaying = (OPTIMIZERS["cma"](5, 8, seed=1, sigma_decay=decay) for decay in (1.0, 0.9))
    for optimizer in (adapted, decaying):
        climb(optimizer, generations=1)  # both have the same solutions and fitness
    assert decaying.sigma == pytest.approx(0.9 * adapted.sigma)
    climb(decaying, generations=300)
    assert decaying._strategy.sigma >= decaying.sigma_limit


def test_centered_ranks() -> None:
    np.testing.assert_allclose(centered_ranks(np.array([30.0, -1.0, 7.0])), [0.5, -0.5, 0.0])
    np.testing.assert_allclose(centered_ranks(np.array([5.0, 1.0, 5.0, 9.0])), [0.0, -0.5, 0.0, 0.5])
    np.testing.assert_allclose(centered_ranks(np.zeros(4)), 0)


# --- saved searches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("popsize", [16, 17])
def test_replay_equals_the_uninterrupted_run(name: str, popsize: int, tmp_path: Path) -> None:
    settings = {"num_params": DIMENSIONS, "popsize": popsize, "seed": 3, "x0": [0.1] * DIMENSIONS}
    uninterrupted = OPTIMIZERS[name](**settings)
    fitness = climb(uninterrupted)
    save_search(tmp_path / "search.npz", settings, {}, fitness)
    saved = load_search(tmp_path / "search.npz")
    resumed = replay(name, saved.settings, saved.fitness)
    for _ in range(3):
        np.testing.assert_array_equal(uninterrupted.ask(), resumed.ask())
        np.testing.assert_array_equal(uninterrupted.mean, resumed.mean)
        assert uninterrupted.sigma == resumed.sigma
        for optimizer in (uninterrupted, resumed):
            optimizer.tell(sphere(optimizer.ask()))


def test_a_saved_search_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "car_racing.cma.4.32.es.npz"
    rng = np.random.default_rng(1)
    settings = {"seed": 1, "name": "cma", "sigma_init": 0.1, "x0": None}
    coordinates = {"w0": rng.standard_normal(867), "T": rng.standard_normal((867, 147)).astype(np.float32)}
    fitness = rng.standard_normal((6, 32))
    save_search(path, settings, coordinates, fitness)
    saved = load_search(path)
    assert saved.settings == settings
    np.testing.assert_array_equal(saved.fitness, fitness)
    assert saved.coordinates.keys() == coordinates.keys()
    for name in coordinates:
        np.testing.assert_array_equal(saved.coordinates[name], coordinates[name])
        assert saved.coordinates[name].dtype == coordinates[name].dtype
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_new_search_has_no_generations(tmp_path: Path) -> None:
    save_search(tmp_path / "search.npz", {}, {}, np.empty((0, 8)))
    assert load_search(tmp_path / "search.npz").fitness.shape == (0, 8)


def refused(path: Path, match: str) -> None:
    """Check that loading fails with one line that names the file."""
    with pytest.raises(UserError, match=match) as error:
        load_search(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.npz"
    save_search(path, {"seed": 1}, {"T": np.eye(3)}, np.zeros((2, 4)))
    whole = path.read_bytes()
    for length in range(0, len(whole), 50):
        path.write_bytes(whole[:length])
        refused(path, "not a saved search, or is damaged")


def test_a_flipped_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "search.npz"
    save_search(path, {"seed": 1}, {"T": np.eye(3)}, np.arange(8.0).reshape(2, 4))
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            fitness = load_search(path).fitness
        except UserError:
            continue
        np.testing.assert_array_equal(fitness, np.arange(8.0).reshape(2, 4))


class Trap:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("key", ["settings", "fitness", "coordinates/T"])
def test_a_pickle_is_refused_without_unpickling(tmp_path: Path, key: str) -> None:
    path, touched = tmp_path / "search.npz", tmp_path / "touched"
    arrays = {"settings": np.array("{}"), "fitness": np.zeros((1, 2))}
    np.savez(path, **{**arrays, key: np.array([Trap(touched)], dtype=object)})
    refused(path, "not a saved search, or is damaged")
    assert not touched.exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"fitness": None}, "fitness"),
        ({"settings": None}, "settings"),
        ({"settings": np.array("[1]")}, "settings"),
        ({"settings": np.array("{")}, "damaged"),
        ({"fitness": np.zeros(3)}, "generations, popsize"),
        ({"fitness": np.zeros((1, 2), np.float32)}, "float64"),
        ({"fitness": np.array([[1.0, np.nan]])}, "finite"),
        ({"coordinates/T": np.array([np.inf])}, "T contains"),
        ({"coordinates/T": np.array(["text"])}, "T contains"),
    ],
)
def test_a_file_with_the_wrong_content_is_refused(tmp_path: Path, changes: dict, match: str) -> None:
    path = tmp_path / "search.npz"
    arrays = {"settings": np.array("{}"), "fitness": np.zeros((1, 2)), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    refused(path, match)


def test_a_foreign_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.npz"
    refused(path, "does not exist")
    refused(tmp_path, "Is a directory")
    path.write_text(json.dumps([1, 2, 3]))
    refused(path, "not a saved search")
    single = io.BytesIO()
    np.save(single, np.zeros((2, 3)))
    path.write_bytes(single.getvalue())
    refused(path, "no .npz archive")


def test_content_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "search.npz"
    save_search(path, {"seed": 1}, {}, np.zeros((1, 2)))
    with pytest.raises(UserError, match="finite"):
        save_search(path, {"seed": 2}, {}, np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match="JSON"):
        save_search(path, {"seed": float("nan")}, {}, np.zeros((1, 2)))
    assert load_search(path).settings == Search({"seed": 1}, {}, np.zeros((1, 2))).settings


def test_pycma_is_only_imported_by_a_search_that_uses_it() -> None:
    program = "import sys, es; es.OPTIMIZERS['pepg'](5, 8, 1); print('cma' in sys.modules, 'matplotlib' in sys.modules)"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]
