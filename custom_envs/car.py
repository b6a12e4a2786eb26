"""Physics of the car: engine, brakes, steering, and the friction between tires and ground.

The results equal those of Gymnasium's `Car.steer`, `gas`, `brake` and `step` bit for bit (tests/test_car.py). Plain
Python arithmetic is faster here: NumPy is slow on scalars, and a call into Box2D costs more than the formula around it.
Skid marks, which only `render` shows, and fuel consumption are left out.
"""

from math import copysign, sqrt

import Box2D
from gymnasium.envs.box2d.car_dynamics import ENGINE_POWER, FRICTION_LIMIT, SIZE, WHEEL_MOMENT_OF_INERTIA, Car

AHEAD = Box2D.b2Vec2(0, 1)
GRASS_LIMIT = FRICTION_LIMIT * 0.6
STIFFNESS = 205000 * SIZE * SIZE  # force per unit of slip speed; removes most slip within a few steps
BRAKE_FORCE = 15  # radians per second
STEERING_SPEED = 3.0  # radians per second at most


def drive(car: Car, steer: float, gas: float, brake: float, dt: float) -> None:
    """Apply the controls and each wheel's force for the next `dt` seconds; Box2D then moves the bodies.

    Args:
        steer: target angle of the front wheels, -1 (right) .. 1 (left).
        gas: 0 .. 1; the engine's gas rises by at most 0.1 a step and falls at once.
        brake: 0 .. 1; from 0.9 on the wheels lock.
    """
    front_left, front_right, *rear = car.wheels
    front_left.steer = front_right.steer = steer
    for wheel in rear:
        wheel.gas += min(gas - wheel.gas, 0.1)
    for wheel in car.wheels:
        wheel.brake = brake
        roll(wheel, dt)


def roll(wheel: Box2D.b2Body, dt: float) -> None:
    """Steer one wheel, update its angular velocity from engine and brake, and apply the friction force of its slip."""
    joint = wheel.joint
    difference = wheel.steer - joint.angle
    joint.motorSpeed = copysign(min(50.0 * abs(difference), STEERING_SPEED), difference)

    omega = wheel.omega
    # Power = inertia * omega * domega/dt. The 5 avoids a division by zero while the wheel stands still.
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
