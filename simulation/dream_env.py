"""The dream as a Gymnasium environment: observations are z, and M predicts the next z and the reward.

    env = gym.make("simulation:WorldModels/CarRacingDream-v0", temperature=1.15)

Loads the V, M and initial states that stages 02 to 04 wrote into the working directory or, where it holds no trained
agent, the pretrained ones. Actions are those of CarRacing.
A step's reward is 3.33, a tile of a 300-tile track, if M predicts a positive reward, less 0.1. A dream ends after 300
positive rewards or after 100 steps without one; there is no step limit, so the caller sets one.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pipeline.actions import CAR_ACTIONS
from pipeline.sizes import CAR


class CarRacingDream(gym.Env):
    """A DreamWorld of one row with Gymnasium's interface.

    Args:
        render_mode: None, or "rgb_array": `render()` then decodes z, uint8 (64, 64, 3).
        temperature: above zero; see RNN.dream.

    Raises:
        UserError: V, M or initial_z.npz are missing or damaged, or do not belong together.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (as Gymnasium declares it)
    observation_space = spaces.Box(-np.inf, np.inf, (CAR.z,), np.float32)
    action_space = spaces.Box(np.array(CAR_ACTIONS.low, np.float32), np.array(CAR_ACTIONS.high, np.float32))

    def __init__(self, render_mode: str | None = None, temperature: float = 1.0) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode {render_mode!r} is none of {self.metadata['render_modes']}")
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be above zero, not {temperature}")
        # Deferred: registering the environment must not load TensorFlow.
        from simulation.agent import Agent, default_folder
        from simulation.dream import single_dream

        self.render_mode, folder, agent = render_mode, default_folder(), Agent()
        agent.load(folder)
        self.world = single_dream(agent, folder, temperature)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start a dream; it is a function of the seed, the actions and the temperature."""
        super().reset(seed=seed)
        self.world.reset(0, int(self.np_random.integers(2**62)))
        return self.world.z[0].copy(), {}

    def step(self, action: NDArray[np.floating]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Advance one frame, 1/50 s; ValueError for an action that is not 3 finite numbers."""
        action = np.asarray(action, np.float32)
        if action.shape != (CAR.actions,) or not np.isfinite(action).all():
            raise ValueError(f"an action is 3 finite numbers (steering, gas, brake), not {action}")
        clipped = action.clip(CAR_ACTIONS.low, CAR_ACTIONS.high).astype(np.float32)
        [reward], [done] = self.world.step(clipped[None])
        return self.world.z[0].copy(), reward, done, False, {}

    def render(self) -> NDArray[np.uint8] | None:
        """The decoded z, uint8 (64, 64, 3); None without a render mode."""
        return self.world.render(0) if self.render_mode else None
