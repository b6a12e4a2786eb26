"""An environment whose episodes terminate: a dot that is steered to the center of the frame.

Steering moves the dot; gas and brake have no effect. The reward is 1 when the dot moves towards the center, else -0.1.
An episode terminates after 20 to 30 steps, depending on its seed.
"""

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import register


class Dot(gym.Env):
    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Box(np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32))
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.x, self.remaining = self.np_random.uniform(4, 60), self.np_random.integers(20, 31)
        return self.render(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        before = abs(self.x - 32)
        self.x = float(np.clip(self.x + 3 * action[0], 4, 60))
        self.remaining -= 1
        reward = 1.0 if abs(self.x - 32) < before else -0.1
        return self.render(), reward, self.remaining == 0, False, {}

    def render(self) -> np.ndarray:
        frame = np.zeros((64, 64, 3), np.uint8)
        column = round(self.x)
        frame[28:36, column - 4 : column + 4] = 255
        return frame


register("WorldModels/Dot-v0", Dot)
