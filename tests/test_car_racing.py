"""Tests of CarRacing: rules against an independent count, pixels against a second rasterizer and golden frames.

`PYTHONPATH=. python tests/test_car_racing.py` writes the golden frames; inspect the differences before.
"""

import hashlib
import os
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path

import Box2D
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_dynamics import SIZE, WHEELPOS
from gymnasium.envs.box2d.car_racing import PLAYFIELD, TRACK_WIDTH
from gymnasium.utils.env_checker import check_env
from helpers import slow_raster

from custom_envs.car_pixels import MAX_ZOOM, hull_pixels
from custom_envs.car_racing import CarRacing
from custom_envs.texture import TEXELS_PER_UNIT

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "frames.npz"
GOLDEN_STEPS = (0, 20, 60, 120, 199)
COAST = np.zeros(3, np.float32)


def random_actions(steps: int, seed: int) -> np.ndarray:
    """Random actions, each held for eight frames: (steps, 3) float32."""
    actions = np.random.default_rng(seed).uniform((-1, 0, 0), (1, 1, 0.3), (-(-steps // 8), 3))
    return actions.repeat(8, axis=0)[:steps].astype(np.float32)


def play(env: CarRacing, seed: int, steps: int = 120) -> str:
    """A hash of an episode's frames, rewards, ends and infos."""
    digest = hashlib.sha256(env.reset(seed=seed)[0])
    for action in random_actions(steps, seed):
        frame, reward, terminated, _, info = env.step(action)
        digest.update(frame)
        digest.update(repr((float(reward), terminated, info)).encode())
    return digest.hexdigest()


def place_car(env: CarRacing, x: float, y: float, angle: float, velocity: tuple[float, float] = (0, 0)) -> None:
    """Place the car, its wheels straight."""
    hull = env.car.hull
    hull.position, hull.angle = (x, y), angle
    for wheel, offset in zip(env.car.wheels, WHEELPOS, strict=True):
        wheel.position, wheel.angle = hull.GetWorldPoint(np.multiply(offset, SIZE).tolist()), angle
    for body in (hull, *env.car.wheels):
        body.linearVelocity, body.angularVelocity = velocity, 0


@pytest.fixture
def env() -> CarRacing:
    env = CarRacing()
    env.reset(seed=3)
    return env


# --- Gymnasium's interface -------------------------------------------------------------------------------------------


def test_environment_passes_gymnasiums_checker() -> None:
    made = gym.make("custom_envs:WorldModels/CarRacing-v0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")  # gas and brake run from 0 to 1
        check_env(made.unwrapped)
    assert made.observation_space == gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert made.spec.max_episode_steps == 1000


def test_same_seed_same_episode() -> None:
    env, new = CarRacing(), CarRacing()
    first = play(env, 3)
    play(env, 4, steps=200)
    env.reset()
    assert play(env, 3) == first == play(new, 3)


def test_same_seed_same_episode_in_another_process() -> None:
    program = "import test_car_racing as t; print(t.play(t.CarRacing(), 3))"
    tests = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run([sys.executable, "-c", program], env=tests, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == play(CarRacing(), 3)


def test_environments_that_share_a_track_do_not_affect_each_other() -> None:
    """One environment visits tiles while the other one starts; the track exists once, and no longer than needed."""
    env, other = CarRacing(), CarRacing()
    alone = play(env, 3)
    assert other.reset(seed=3)[0].tobytes() == env.reset(seed=3)[0].tobytes()
    assert other._raster.texture is env._raster.texture
    for action in random_actions(60, 4):
        other.step(action)
    assert play(env, 3) == alone
    texture = weakref.ref(env._raster.texture)
    env.reset(seed=4)
    assert texture() is not None
    other.reset(seed=5)
    assert texture() is None


def test_unseeded_reset_continues_the_random_numbers_of_the_seed() -> None:
    """Also where the seed's track is not drawn again but shared."""
    tracks = []
    for env in (CarRacing(), CarRacing()):
        env.reset(seed=3)
        env.reset()
        tracks.append(env.track)
    assert tracks[0] == tracks[1]


def test_nothing_of_an_episode_stays_in_memory(env: CarRacing) -> None:
    """Box2D's Python interface neither frees a shape that was assigned nor releases the user data of a world."""
    objects = [weakref.ref(thing) for thing in (env.road[0], env.car.wheels[0], env._contacts)]
    assert all(tile.shape.thisown for tile in env.road)
    env.reset(seed=4)
    assert [thing() for thing in objects] == [None] * 3


def test_other_seed_other_track() -> None:
    env = CarRacing()
    tracks = {tuple(env.track[100]) for seed in range(5) if env.reset(seed=seed)}
    assert len(tracks) == 5


def test_render_opens_no_window() -> None:
    program = (
        "import pygame; from custom_envs.car_racing import CarRacing; env = CarRacing(render_mode='rgb_array');"
        "env.reset(seed=3); image = env.render(); print(image.shape, image.dtype, image.std() > 20,"
        "pygame.display.get_init(), pygame.display.get_surface())"
    )
    environ = {"PATH": "/usr/bin:/bin", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}  # no DISPLAY
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.stdout.split("\n")[-2] == "(400, 600, 3) uint8 True False None", done.stderr


def test_unknown_render_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="human"):
        CarRacing(render_mode="human")


# --- actions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf], [0, 0], [0] * 4, [[0, 0, 0]], 0.0])
def test_bad_action_is_refused(env: CarRacing, bad: object) -> None:
    before = env.t
    with pytest.raises(ValueError, match=r"an action (must be finite|is 3 numbers)"):
        env.step(np.array(bad, np.float32))
    assert env.t == before  # the refused step had no effect


def test_actions_are_clipped() -> None:
    ends = []
    for action in ((5, 9, -3), (1, 1, 0)):
        env = CarRacing()
        env.reset(seed=3)
        for _ in range(50):
            frame = env.step(np.array(action, np.float32))[0]
        ends.append((frame.tobytes(), tuple(env.car.hull.position)))
    assert ends[0] == ends[1]


# --- rules -----------------------------------------------------------------------------------------------------------


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether convex polygons (n, 2), (m, 2) touch: no edge of either separates them by more than two Box2D skins."""
    for polygon in (a, b):
        edges = np.roll(polygon, -1, axis=0) - polygon
        for normal in np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.hypot(*edges.T)[:, None]:
            gap = max((b @ normal).min() - (a @ normal).max(), (a @ normal).min() - (b @ normal).max())
            if gap > 2 * Box2D.b2_polygonRadius:
                return False
    return True


def test_reward_counts_tiles_under_the_wheels(env: CarRacing) -> None:
    tiles = [np.array(tile.shape.vertices) for tile in env.road]
    visited, total = set(), 0.0  # the first step also pays for the tiles under the wheels at the start
    expected, found = [], []
    for action in random_actions(150, 2) * np.float32([0.2, 1, 1]):
        for wheel in env.car.wheels:  # a step's contacts are those of the positions before it
            corners = np.array([wheel.transform * v for v in wheel.fixtures[0].shape.vertices])
            near = [i for i, t in enumerate(tiles) if np.abs(t.mean(axis=0) - wheel.position).max() < 10]
            visited |= {i for i in near if overlap(corners, tiles[i])}
        reward = env.step(action)[1]
        total += reward
        expected.append(1000 / len(tiles) * len(visited) - 0.1 * (len(expected) + 1))
        found.append(total)
    assert len(visited) > 12
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_lap_ends_with_the_last_tile(env: CarRacing) -> None:
    """The car is placed on each tile; on the first one when six are missing, where v3's 95 % rule would end the lap."""
    place_car(env, 0, 0, 0)
    env.step(COAST)
    for tile in env.road:
        tile.road_visited = False
    env._contacts.visited = 0
    order = [*range(4, len(env.track) - 6), 0, 1, 2, 3, *range(len(env.track) - 6, len(env.track))]
    total, steps, ends = 0.0, 0, []
    for i in order:
        place_car(env, *env.track[i][2:], env.track[i][1])
        for _ in range(2):
            if not ends:
                _, reward, terminated, truncated, info = env.step(COAST)
                total, steps = total + reward, steps + 1
                assert not truncated
                assert terminated == all(tile.road_visited for tile in env.road)
                ends += [info] if terminated else []
    assert ends == [{"lap_finished": True}]
    assert total == pytest.approx(1000 - 0.1 * steps)


@pytest.mark.parametrize(("x", "y"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_leaving_the_playfield_ends_the_episode(env: CarRacing, x: int, y: int) -> None:
    env.step(COAST)  # pays for the tiles at the start
    place_car(env, x * (PLAYFIELD - 2), y * (PLAYFIELD - 2), 0.0, velocity=(40 * x, 40 * y))
    ends = []
    while not any(ends):
        _, reward, terminated, _, info = env.step(COAST)
        ends.append(terminated)
        outside = np.abs(env.car.hull.position).max() > PLAYFIELD
        assert (terminated, info) == ((True, {"lap_finished": False}) if outside else (False, {}))
        assert reward == pytest.approx(-100 if outside else -0.1)
    assert 2 <= len(ends) < 9


# --- pixels ----------------------------------------------------------------------------------------------------------


def disturb(env: CarRacing, rng: np.random.Generator) -> None:
    """Place the car near the track in a random state of motion."""
    x, y = env.track[rng.integers(len(env.track))][2:]
    velocity = tuple(rng.normal(0, rng.choice((0.1, 40)), 2))
    place_car(env, x + rng.normal(0, 6), y + rng.normal(0, 6), rng.uniform(-9, 9), velocity)
    env.car.hull.angularVelocity = rng.normal(0, 6)
    for wheel in env.car.wheels:
        wheel.angle += rng.uniform(-0.4, 0.4)
        wheel.phase, wheel.omega = rng.uniform(0, 99), rng.normal(0, 60)
    env.t = rng.choice((0.02, 0.5, 1.0, 7.0))


def check_pixels(env: CarRacing, frame: np.ndarray) -> float:
    """Assert that car and bar are exact, and the ground to within a texel; returns the share of equal pixels."""
    size = len(frame)
    ground, above = slow_raster.ground(env), slow_raster.car(env) + slow_raster.bar(env)
    expected, bare = slow_raster.paint(ground + above, size), slow_raster.paint(ground, size)
    covered = (slow_raster.paint([*ground, *((p, (1, 2, 3)) for p, _ in above)], size) != bare).any(axis=-1)
    np.testing.assert_array_equal(frame[covered], expected[covered])
    texel = np.hypot(*slow_raster.view(env)[0][0]) / TEXELS_PER_UNIT  # in window pixels
    shifts = [(texel * x, texel * y) for x in (-0.75, 0, 0.75) for y in (-0.75, 0, 0.75)]
    allowed = np.stack([slow_raster.paint(ground, size, shift) for shift in shifts])
    explained = (allowed == frame).all(axis=-1).any(axis=0) | covered
    assert explained.all(), np.argwhere(~explained)
    return (frame == expected).all(axis=-1).mean()


@pytest.mark.parametrize("size", [64, 96])
def test_pixels_have_the_color_that_covers_their_center(size: int) -> None:
    env, rng, shares = CarRacing(size=size), np.random.default_rng(size), []
    for seed in range(6):
        env.reset(seed=seed)
        for _ in range(2):
            disturb(env, rng)
            shares.append(check_pixels(env, env._render("state_pixels")))
    assert np.mean(shares) >= 0.99


def test_pixels_of_an_episode(env: CarRacing) -> None:
    """The same for frames returned by step, which show the state after the step."""
    for t, action in enumerate(random_actions(121, 5)):
        frame = env.step(action)[0]
        if t % 40 == 0:
            assert check_pixels(env, frame) >= 0.99


@pytest.mark.parametrize("size", [64, 96])
def test_table_of_the_hulls_pixels_is_exact(size: int) -> None:
    """It is read at full zoom only; a hair below the pixels are computed."""
    hair_below = np.nextafter(MAX_ZOOM, 0)
    for angle in np.random.default_rng(size).uniform(-9, 9, 20_000).tolist():
        assert np.array_equal(hull_pixels(size, angle, MAX_ZOOM), hull_pixels(size, angle, hair_below)), angle


def pixel(env: CarRacing, point: tuple[float, float], size: int = 64) -> tuple[int, int]:
    """(row, column) of the pixel that shows a point of the world."""
    turn, offset = slow_raster.view(env)
    x, y = turn @ point + offset
    return int(size - y * size / 800), int(x * size / 1000)


def test_visited_tile_is_recolored(env: CarRacing) -> None:
    for _ in range(60):
        env.step(np.array([0, 0.3, 0], np.float32))
    frame, _, _, _, _ = env.step(COAST)
    seen = set()
    for i, tile in enumerate(env.road[:25]):
        center = np.mean(tile.shape.vertices, axis=0)
        ahead = env.car.hull.GetLocalPoint(center)[1]
        if not -3 < ahead < 6 and 0 <= (row := pixel(env, center)[0]) < 56:
            gray = 102 if ahead < 0 else round(102 + 2.55 * (i % 3))
            assert frame[row, pixel(env, center)[1]].tolist() == [gray] * 3
            seen.add((ahead < 0, gray))
    assert {(True, 102), (False, 105), (False, 107)} <= seen


def test_camera_follows_the_velocity(env: CarRacing) -> None:
    for _ in range(60):
        env.step(COAST)
    x, y, angle = *env.car.hull.position, env.car.hull.angle
    shapes = {}
    for name, velocity in {"at rest": (0, 0), "sideways": env.car.hull.GetWorldVector((30, 0)).tuple}.items():
        place_car(env, x, y, angle, velocity)
        red = np.argwhere((env.step(COAST)[0] == (204, 0, 0)).all(axis=-1))
        shapes[name] = tuple(np.ptp(red, axis=0) + 1)  # rows, columns
    assert shapes == {"at rest": (4, 2), "sideways": (4, 5)}  # the wheels cover some of the red hull


def test_camera_zooms_in_during_the_first_second(env: CarRacing) -> None:
    widths = []
    for _ in range(75):
        frame = env.step(COAST)[0]
        row = pixel(env, env.car.hull.GetWorldPoint((0, 3.5)))[0]
        widths.append(((frame[row] > 100).all(axis=-1) & (frame[row] < 109).all(axis=-1)).sum())
    seconds = np.minimum(np.arange(2, 77) / 50, 1)
    zoom = 0.6 * (1 - seconds) + 16.2 * seconds
    np.testing.assert_allclose(widths, 2 * TRACK_WIDTH * zoom * 64 / 1000, atol=2)


@pytest.mark.parametrize(
    ("setting", "columns", "color"),
    [
        (lambda car: setattr(car.hull, "linearVelocity", (0, 100)), (8, 10), (255, 255, 255)),
        (lambda car: setattr(car.wheels[0], "omega", 200.0), (11, 13), (0, 0, 255)),
        (lambda car: setattr(car.wheels[3], "omega", 200.0), (16, 18), (51, 0, 255)),
        (lambda car: setattr(car.wheels[0], "angle", car.hull.angle + 0.4), (26, 32), (0, 255, 0)),
        (lambda car: setattr(car.hull, "angularVelocity", -5.0), (48, 54), (255, 0, 0)),
    ],
)
def test_indicators(env: CarRacing, setting: Callable, columns: tuple[int, int], color: tuple[int, int, int]) -> None:
    place_car(env, *env.car.hull.position, env.car.hull.angle)
    for wheel in env.car.wheels:
        wheel.omega = 0.0
    bars = [env._render("state_pixels")[56:]]
    setting(env.car)
    bars.append(env._render("state_pixels")[56:])
    assert not bars[0].any()
    lit = np.flatnonzero((bars[1] == color).all(axis=-1).any(axis=0))
    assert (lit[0], lit[-1] + 1) == columns


def golden_frames() -> dict[str, np.ndarray]:
    """Frames of one episode, (5, size, size, 3) uint8, for both sizes."""
    golden = {}
    for size in (64, 96):
        env = CarRacing(size=size)
        frames = [env.reset(seed=7)[0], *(env.step(action)[0] for action in random_actions(200, 7))]
        golden[f"size_{size}"] = np.stack([frames[t] for t in GOLDEN_STEPS])
    return golden


def test_frames_equal_the_golden_frames() -> None:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        for name, frames in golden_frames().items():
            differing = (frames != golden[name]).any(axis=-1).sum(axis=(1, 2))
            # Rounding differs between processors, so a texel on a polygon's border may belong to either side.
            assert differing.max() <= 4, differing


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden_frames())
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")
