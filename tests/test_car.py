"""Tests that the car's physics equal Gymnasium's bit for bit."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import CarRacing as GymnasiumCarRacing

from custom_envs.car import drive, watch
from custom_envs.car_racing import DT, CarRacing


def make_env(seed: int) -> GymnasiumCarRacing:
    env = gym.make("CarRacing-v3", disable_env_checker=True).unwrapped
    env.reset(seed=seed)
    return env


def state(env: GymnasiumCarRacing) -> list:
    """The state of the car's bodies and wheels."""
    bodies = [env.car.hull, *env.car.wheels]
    moving = [(*body.position, body.angle, *body.linearVelocity, body.angularVelocity) for body in bodies]
    return [moving, [(w.omega, w.phase, w.gas, w.brake, w.joint.motorSpeed) for w in env.car.wheels]]


def controls(seed: int) -> list[list[float]]:
    """700 steps of (steer, gas, brake): full gas, skids, locked wheels, partial braking, coasting."""
    actions = np.random.default_rng(seed).uniform((-1, 0, -0.3), (1, 1, 0.6), (140, 3)).clip((-1, 0, 0), 1)
    actions[:12] = (0, 1, 0)
    actions[30:34] = (1, 0, 0.95)
    actions[50] = actions[90] = 0
    return actions.repeat(5, axis=0).tolist()


@pytest.mark.parametrize("seed", [1, 2])
def test_motion_equals_gymnasiums(seed: int) -> None:
    ours, theirs = make_env(seed), make_env(seed)
    watch(ours.car)
    on_road = skidded = 0
    for steer, gas, brake in controls(seed):
        drive(ours.car, -steer, gas, brake, DT)
        theirs.car.steer(-steer)
        theirs.car.gas(gas)
        theirs.car.brake(brake)
        theirs.car.step(DT)
        for env in (ours, theirs):
            env.world.Step(DT, 180, 60)
        assert state(ours) == state(theirs)
        on_road += any(wheel.tiles for wheel in ours.car.wheels)
        skidded += any(wheel.skid_particle for wheel in theirs.car.wheels)
    assert 0 < on_road < 700  # the controls cover road, grass and skidding
    assert skidded


def test_render_mode_does_not_change_an_episode() -> None:
    """With a render mode Gymnasium's own physics are used, for their skid marks."""
    rendered, plain = CarRacing(render_mode="rgb_array"), CarRacing()
    for env in (rendered, plain):
        env.reset(seed=5)
    for action in np.array(controls(5), np.float32)[:300]:
        one, other = rendered.step(action), plain.step(action)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]
    assert len(rendered.car.particles) > 0
    assert len(plain.car.particles) == 0
