"""Exploration policies, by which stage 01 acts without a controller."""

import numpy as np

FULL_GAS_STEPS = 20


def explore_car_racing(t: int, action: np.ndarray, rng: np.random.Generator, refresh_rate: int) -> np.ndarray:
    """The tutorial's random policy: full gas at the start, then one random control at a time, held for some frames.

    Without full gas at the start the car barely leaves its first tile, and every episode shows the same curve.

    Args:
        t: step of the episode, from 0.
        action: float32 (3,), the action at t-1.
        rng: the episode's random generator.
        refresh_rate: frames for which an action is held.
    Returns: float32 (3,), the action at t.
    """
    if t < FULL_GAS_STEPS:
        return np.array([-0.1, 1, 0], np.float32)
    if t % refresh_rate:
        return action
    kind, strength = rng.integers(10), rng.random()
    new: tuple[float, float, float]
    if kind == 0:
        new = (0, 0, 0)  # coast
    elif kind <= 4:
        new = (0, strength, 0)
    elif kind <= 6:
        new = (-strength, 0, 0)
    elif kind <= 8:
        new = (strength, 0, 0)
    else:
        new = (0, 0, strength)
    return np.array(new, np.float32)


def explore_box(
    t: int, action: np.ndarray, rng: np.random.Generator, refresh_rate: int, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Actions drawn uniformly from a Box, each held for some frames: the default where actions are a Box.

    Args:
        t, action, rng, refresh_rate: as for explore_car_racing.
        low, high: the bounds, (A,).
    """
    return action if t % refresh_rate else rng.uniform(low, high).astype(np.float32)


def explore_choices(t: int, action: np.ndarray, rng: np.random.Generator, refresh_rate: int) -> np.ndarray:
    """Choices drawn uniformly, one-hot, each held for some frames: the default where actions are Discrete."""
    return action if t % refresh_rate else np.eye(len(action), dtype=np.float32)[rng.integers(len(action))]
