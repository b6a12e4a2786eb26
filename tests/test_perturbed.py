"""Tests of CarRacing with other pixels: colors against Gymnasium and a second rasterizer, bars and blob."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import CarRacing as GymCarRacing
from gymnasium.utils.env_checker import check_env
from helpers import slow_raster
from test_car_racing import check_pixels, disturb, random_actions

import config
from custom_envs.car_racing import CarRacing
from custom_envs.perturbed import Blob, ShiftedColors, SideBars
from simulation.environments import make_env

NAMES = [f"car_racing_{name}" for name in config.PERTURBED]


def drive(env: CarRacing, seed: int, steps: int = 60) -> tuple[list[np.ndarray], list[float]]:
    """The frames and rewards of an episode with random actions."""
    frames, rewards = [env.reset(seed=seed)[0]], []
    for action in random_actions(steps, seed):
        frame, reward, *_ = env.step(action)
        frames.append(frame)
        rewards.append(float(reward))
    return frames, rewards


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized.*")
def test_environment_passes_gymnasiums_checker_and_repeats_an_episode(name: str) -> None:
    env, new = make_env(name), make_env(name)
    assert isinstance(env, CarRacing) and isinstance(new, CarRacing)
    check_env(env)
    first = drive(env, 3)
    drive(env, 4)
    for other in (env, new, pickle.loads(pickle.dumps(new))):
        frames, rewards = drive(other, 3)
        assert np.array_equal(frames, first[0]) and rewards == first[1]
    assert not np.array_equal(drive(env, 4)[0], first[0])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "car_racing_randomized"])
def test_only_the_pixels_differ(name: str) -> None:
    env = make_env(name)
    assert isinstance(env, CarRacing)
    for seed in range(3):
        frames, rewards = drive(env, seed)
        usual, usual_rewards = drive(CarRacing(), seed)
        assert rewards == usual_rewards and not np.array_equal(frames, usual)


# --- colors ----------------------------------------------------------------------------------------------------------


def test_randomized_colors_and_track_are_gymnasiums() -> None:
    env, theirs = CarRacing(domain_randomize=True), GymCarRacing(domain_randomize=True)
    for seed in range(4):
        env.reset(seed=seed)
        theirs.reset(seed=seed)
        for color in ("road_color", "bg_color", "grass_color"):
            np.testing.assert_array_equal(getattr(env, color), getattr(theirs, color))
        assert env.track == theirs.track
        for (_, mine), (_, gyms) in zip(env.road_poly[80:160], theirs.road_poly[80:160], strict=True):
            np.testing.assert_array_equal(mine, np.rint(gyms))


def test_without_randomize_the_colors_stay_and_the_track_is_the_usual_one() -> None:
    env, usual = CarRacing(domain_randomize=True), CarRacing()
    env.reset(seed=1)
    color, track = env.road_color, env.track
    env.reset(seed=2, options={"randomize": False})
    usual.reset(seed=2)
    np.testing.assert_array_equal(env.road_color, color)
    assert env.track == usual.track != track


@pytest.mark.parametrize("make", [lambda: CarRacing(domain_randomize=True), lambda: ShiftedColors(channels=3)])
def test_pixels_have_the_colors_of_the_episode(make) -> None:
    """Those of visited tiles, playfield and grass included, by the reference rasterizer."""
    env, rng = make(), np.random.default_rng(5)
    for seed in range(3):
        env.reset(seed=seed)
        for action in random_actions(60, seed):
            env.step(action)
        visited = [color for tile, (_, color) in zip(env.road, road(env), strict=True) if tile.touched]
        assert visited and all(np.array_equal(color, np.rint(env.road_color)) for color in visited)
        for _ in range(2):
            disturb(env, rng)
            assert check_pixels(env, env._render("state_pixels")) >= 0.98


def road(env: CarRacing) -> list:
    """The polygons of the road's tiles, without the borders."""
    return [env.road_poly[i] for i in env._shared_track.tiles]


@pytest.mark.parametrize("channels", [1, 3])
def test_shifts_are_drawn_for_each_episode(channels: int) -> None:
    env, shifts = ShiftedColors(channels), []
    for seed in range(40):
        env.reset(seed=seed)
        shifts += [env.road_color - (102, 102, 102), env.bg_color - (102, 204, 102)]
        np.testing.assert_array_equal(env.grass_color, (102, 230, 102))
    assert np.abs(shifts).max() <= 51 and np.min(shifts) < -40 and np.max(shifts) > 40
    assert len(np.unique(np.round(shifts, 9))) == 80 * channels
    if channels == 1:
        np.testing.assert_allclose(np.ptp(shifts, axis=1), 0, atol=1e-9)


# --- bars and blob ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 96])
def test_bars_hide_three_fortieths_at_each_side(size: int) -> None:
    env, usual = SideBars(size=size), CarRacing(size=size)
    centers = (np.arange(size) + 0.5) * 40 / size
    hidden = np.outer(centers < 35, (centers < 3) | (centers > 37))
    for mine, theirs in zip(drive(env, 3)[0], drive(usual, 3)[0], strict=True):
        assert not mine[hidden].any() and theirs[hidden].any()
        np.testing.assert_array_equal(mine[~hidden], theirs[~hidden])


@pytest.mark.parametrize("size", [64, 96])
def test_the_blob_has_its_place_beside_the_car(size: int) -> None:
    """By Box2D's own transform and the reference rasterizer; the bar at the bottom covers it."""
    env, rng, seen = Blob(size=size), np.random.default_rng(1), 0
    for seed in range(12):
        env.reset(seed=seed)
        disturb(env, rng)
        frame, usual = env._render("state_pixels"), CarRacing._render(env, "state_pixels")
        turn, offset = slow_raster.view(env)
        x, y = env.car.hull.fixtures[3].shape.vertices[0]  # of the hull's last polygon, as published
        local = np.add((x + 20, y + 10), [(0, 0), (8, 0), (8, 8), (0, 8)])
        corners = np.array([env.car.hull.GetWorldPoint(point.tolist()) for point in local]) @ turn.T + offset
        blob = slow_raster.paint([(corners, (204, 0, 0)), *slow_raster.bar(env)[:1]], size).any(axis=-1)
        expected = np.where(blob[..., None], (204, 0, 0), usual)
        assert (frame != expected).any(axis=-1).sum() <= 2  # pixels whose centers lie on the blob's border
        seen += blob.sum() > 20
    assert seen >= 4


def test_gymnasium_makes_the_environments() -> None:
    made = gym.make("custom_envs:WorldModels/CarRacingBlob-v0", size=96).unwrapped
    assert isinstance(made, Blob) and made.observation_space.shape == (96, 96, 3)
    assert gym.make("custom_envs:WorldModels/CarRacing-v0", domain_randomize=True).unwrapped.domain_randomize
