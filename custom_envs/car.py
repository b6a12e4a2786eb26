"""Physics of the car: engine, brakes, steering, and the friction between tires and ground.

The results equal those of Gymnasium's `Car.steer`, `gas`, `brake` and `step` bit for bit (tests/test_car.py). Plain
Python arithmetic is faster here: NumPy is slow on scalars, and a call into Box2D costs more than the formula around it.
Skid marks, which only `render` shows, and fuel consumption are left out.
"""

from math import copysign, sqrt

import Box2D
from gymnasium.envs.box2d.car_dynamics import ENGINE_POWER, FRICTION_LIMIT, SIZE, WHEEL_MOMENT_OF_INERTIA, Car

GRASS_LIMIT = FRICTION_LIMIT * 0.6
STIFFNESS = 205000 * SIZE * SIZE  # force per unit of slip speed; removes most slip within a few steps
BRAKE_FORCE = 15  # radians per second
STEERING_SPEED = 3.0  # radians per second at most


def watch(car: Car) -> None:
    """Give the hull and each wheel `place`, `turn` and `velocity`: views of its position, rotation and velocity.

    Box2D returns references to a body's own numbers, so a view always shows the present ones. Call it once for a new
    car, before `drive`: to ask Box2D at every step would make five objects per wheel.
    """
    for body in car.drawlist:
        body.place, body.turn, body.velocity = body.position, body.transform.q, body.linearVelocity


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

    cosine, sine = wheel.turn.c, wheel.turn.s  # the wheel points to (-sine, cosine); its right is (cosine, sine)
    vx, vy = wheel.velocity.x, wheel.velocity.y
    along = (omega * wheel.wheel_rad - (cosine * vy - sine * vx)) * STIFFNESS
    across = -(cosine * vx + sine * vy) * STIFFNESS
    force = sqrt(along * along + across * across)
    limit = FRICTION_LIMIT if wheel.tiles else GRASS_LIMIT
    if force > limit:
        along, across = along / force * limit, across / force * limit
    wheel.omega = omega - dt * along * wheel.wheel_rad / WHEEL_MOMENT_OF_INERTIA
    wheel.ApplyForceToCenter((across * cosine - along * sine, across * sine + along * cosine), True)
