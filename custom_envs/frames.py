"""Wrappers of frames, uint8 (height, width, 3), for entries of config.py; others are in gymnasium.wrappers."""

import gymnasium as gym
import numpy as np


class Crop(gym.ObservationWrapper):
    """Cuts a part out of each frame, such as the one without a status bar.

    Args:
        env: its observations are frames.
        top, left: the first row and column, pixels.
        height, width: of the part, pixels.

    Raises:
        ValueError: the part is not within the frame.
    """

    def __init__(self, env: gym.Env, top: int, left: int, height: int, width: int) -> None:
        super().__init__(env)
        self.part = slice(top, top + height), slice(left, left + width)
        space = env.observation_space
        assert isinstance(space, gym.spaces.Box)
        low, high = space.low[self.part], space.high[self.part]
        if min(top, left) < 0 or low.shape[:2] != (height, width):
            found = f"{height} x {width} pixels from ({top}, {left})"
            raise ValueError(f"{found} are not within a frame of {space.shape}")
        self.observation_space = gym.spaces.Box(low, high, low.shape, np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[self.part]


class Dim(gym.ObservationWrapper):
    """Scales colors from 0..255 into a range within: V is slow to see what is small on plain white or black.

    There its sigmoid saturates before it has found the few pixels that differ.

    Args:
        env: its observations are frames.
        darkest, brightest: colors for 0 and for 255.
    """

    def __init__(self, env: gym.Env, darkest: int = 32, brightest: int = 176) -> None:
        super().__init__(env)
        self.colors = np.linspace(darkest, brightest, 256).round().astype(np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return self.colors[observation]
