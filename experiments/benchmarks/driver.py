"""A driver that knows the track: actions like those of a trained agent, for measuring the environment.

A random policy soon stands on the grass, where a step costs less: no tile makes contact and no tile is recolored.
"""

import math
from functools import lru_cache

import numpy as np

from custom_envs.car_racing import CarRacing

STEER_AHEAD, BRAKE_AHEAD = 5, 9  # tiles
TOP_SPEED, SLOWEST = 55, 15  # world units per second, on a straight and in a sharp bend


@lru_cache(maxsize=64)
def driving_actions(env_seed: int, steps: int) -> np.ndarray:
    """Actions that follow the road of a track from its start, float32 (steps, 3); zeros after a finished lap."""
    env, actions, tile = CarRacing(), np.zeros((steps, 3), np.float32), 0
    env.reset(seed=env_seed)
    for action in actions:
        tile = nearest_tile(env, tile)
        speed = env.car.hull.linearVelocity.length
        target = TOP_SPEED - (TOP_SPEED - SLOWEST) * min(abs(bearing(env, tile + BRAKE_AHEAD)), 1)
        action[0] = np.clip(1.5 * bearing(env, tile + STEER_AHEAD), -1, 1)
        action[1] = np.clip(0.2 * (target - speed), 0, 1)
        action[2] = np.clip(0.05 * (speed - target - 5), 0, 0.3)
        if env.step(action)[2]:
            break
    return actions


def nearest_tile(env: CarRacing, last: int) -> int:
    """Index of the tile nearest to the car, not far from the last one."""
    x, y = env.car.hull.position
    near = range(last - 3, last + 12)
    return min(near, key=lambda i: math.dist((x, y), env.track[i % len(env.track)][2:]))


def bearing(env: CarRacing, tile: int) -> float:
    """Direction in which the car sees a tile, radians; 0 is ahead, positive is right."""
    x, y = env.car.hull.GetLocalPoint(env.track[tile % len(env.track)][2:])
    return math.atan2(x, y)
