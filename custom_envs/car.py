"""The car's own physics: pedals, wheels, tyres and the road's grip on them.

The same numbers as Gymnasium's `Car.steer`, `gas`, `brake` and `step`, to the last bit (tests compare them), in plain
Python arithmetic: NumPy is slow on single numbers, and a call into Box2D costs more than the formula around it. What
only a picture shows, skid marks, is left out; fuel is not counted.
"""

from math import copysign, sqrt

import Box2D
from gymnasium.envs.box2d.car_dynamics import ENGINE_POWER, FRICTION_LIMIT, SIZE, WHEEL_MOMENT_OF_INERTIA, Car

AHEAD = Box2D.b2Vec2(0, 1)
GRASS_LIMIT = FRICTION_LIMIT * 0.6
STIFFNESS = 205000 * SIZE * SIZE  # force a unit of slip; so large that a slip is gone in few steps
BRAKE_FORCE = 15  # radians per second
STEERING_SPEED = 3.0  # radians per second at most


def drive(car: Car, steer: float, gas: float, brake: float, dt: float) -> None:
    """Work the controls and give every wheel the force of the next `dt` seconds; Box2D then moves the bodies.

    Args:
        steer: where the front wheels are to point, -1 (right) .. 1 (left).
        gas: 0 .. 1; the engine takes up at most 0.1 of it a step, and lets go at once.
        brake: 0 .. 1; from 0.9 on the wheels stand.
    """
    front_left, front_right, *rear = car.wheels
    front_left.steer = front_right.steer = steer
    for wheel in rear:
        wheel.gas += min(gas - wheel.gas, 0.1)
    for wheel in car.wheels:
        wheel.brake = brake
        roll(wheel, dt)


def roll(wheel: Box2D.b2Body, dt: float) -> None:
    """Turn one wheel towards where it is steered, spin it by engine and brake, and push the car by its slip."""
    joint = wheel.joint
    missing = wheel.steer - joint.angle
    joint.motorSpeed = copysign(min(50.0 * abs(missing), STEERING_SPEED), missing)

    omega = wheel.omega
    # Power is work a second: W = inertia omega domega/dt. The 5 keeps a standing wheel from dividing by zero.
    omega += dt * ENGINE_POWER * wheel.gas / WHEEL_MOMENT_OF_INERTIA / (abs(omega) + 5.0)
    if wheel.brake >= 0.9:
        omega = 0.0
    elif wheel.brake > 0:
        omega -= copysign(min(BRAKE_FORCE * wheel.brake, abs(omega)), omega)
    wheel.phase += omega * dt

    ahead_x, ahead_y = wheel.GetWorldVector(AHEAD)
    side_x, side_y = ahead_y, -ahead_x
    vx, vy = wheel.linearVelocity
    along = (omega * wheel.wheel_rad - (ahead_x * vx + ahead_y * vy)) * STIFFNESS
    across = -(side_x * vx + side_y * vy) * STIFFNESS
    force = sqrt(along * along + across * across)
    limit = max([GRASS_LIMIT, *[FRICTION_LIMIT * tile.road_friction for tile in wheel.tiles]])
    if force > limit:
        along, across = along / force * limit, across / force * limit
    wheel.omega = omega - dt * along * wheel.wheel_rad / WHEEL_MOMENT_OF_INERTIA
    wheel.ApplyForceToCenter((across * side_x + along * ahead_x, across * side_y + along * ahead_y), True)
