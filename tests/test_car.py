"""The car's physics beside Gymnasium's, which is the same formula written another way: equal to the last bit."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.car_racing import CarRacing as GymnasiumCarRacing

from custom_envs.car import drive
from custom_envs.car_racing import DT, CarRacing


def a_car(seed: int) -> GymnasiumCarRacing:
    env = gym.make("CarRacing-v3", disable_env_checker=True).unwrapped
    env.reset(seed=seed)
    return env


def state(env: GymnasiumCarRacing) -> list:
    """All that the car's motion depends on."""
    bodies = [env.car.hull, *env.car.wheels]
    moving = [(*body.position, body.angle, *body.linearVelocity, body.angularVelocity) for body in bodies]
    return [moving, [(w.omega, w.phase, w.gas, w.brake, w.joint.motorSpeed) for w in env.car.wheels]]


def controls(seed: int) -> list[list[float]]:
    """Full gas, skids, blocked wheels, half brakes, coasting: (steer, gas, brake) of 700 steps."""
    actions = np.random.default_rng(seed).uniform((-1, 0, -0.3), (1, 1, 0.6), (140, 3)).clip((-1, 0, 0), 1)
    actions[:12] = (0, 1, 0)
    actions[30:34] = (1, 0, 0.95)
    actions[50] = actions[90] = 0
    return actions.repeat(5, axis=0).tolist()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_car_moves_as_gymnasiums_does(seed: int) -> None:
    ours, theirs = a_car(seed), a_car(seed)
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
    assert 0 < on_road < 700  # both kinds of ground were met, and so was the tyres' limit
    assert skidded


def test_watching_an_episode_does_not_change_it() -> None:
    """With a render mode Gymnasium's own car is driven, for its skid marks."""
    watched, alone = CarRacing(render_mode="rgb_array"), CarRacing()
    for env in (watched, alone):
        env.reset(seed=5)
    for action in np.array(controls(5), np.float32)[:300]:
        one, other = watched.step(action), alone.step(action)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]
    assert len(watched.car.particles) > 0
    assert len(alone.car.particles) == 0
