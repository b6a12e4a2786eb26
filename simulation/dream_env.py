"""CarRacing as M dreams it: the same actions, but what is seen is z, and what comes next is M's guess.

    env = gym.make("custom_envs:WorldModels/CarRacingDream-v0", temperature=1.15)

Needs what stages 02 to 04 left in the working directory. A dream begins where an episode did (data/initial_z.npz). A
step pays what M's guess "something was gained" is worth on a road of 300 tiles, 3.33, less the 0.1 of every frame. A
dream ends after 300 gains, which are a lap, or after 100 steps without one, as a search gives up an episode; how long
it may last is the caller's decision.
"""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import config

MAX_STEPS_WITHOUT_PROGRESS = 100  # steps without a gain


class CarRacingDream(gym.Env):
    """A dream with Gymnasium's interface. For hundreds of them at once see dreams.py.

    Args:
        render_mode: None, or "rgb_array": `render()` then decodes z, uint8 (64, 64, 3).
        temperature: above zero; see RNN.dream.

    Raises:
        UserError: V, M or initial_z.npz are missing, damaged, or not of one kind.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 50}
    observation_space = spaces.Box(-np.inf, np.inf, (config.Z_DIM,), np.float32)
    action_space = spaces.Box(np.array(config.ACTION_LOW, np.float32), np.array(config.ACTION_HIGH, np.float32))

    def __init__(self, render_mode: str | None = None, temperature: float = 1.0) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode {render_mode!r} is none of {self.metadata['render_modes']}")
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be above zero, not {temperature}")
        from simulation.agent import Agent
        from simulation.dream import Dreams  # these load TensorFlow

        self.render_mode = render_mode
        agent = Agent()
        hashes = agent.load()
        self._vae, self._dreams = agent.vae, Dreams(agent.rnn, hashes["vae"], temperature, rows=1)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[NDArray[np.float32], dict]:
        """Another dream; the same seed and the same actions give the same one."""
        super().reset(seed=seed)
        self._dreams.start(0, int(self.np_random.integers(2**62)))
        return self._dreams.z[0].copy(), {}

    def step(self, action: NDArray[np.floating]) -> tuple[NDArray[np.float32], float, bool, bool, dict]:
        """One frame, 1/50 s."""
        action = np.asarray(action, np.float32)
        if action.shape != (config.ACTION_DIM,) or not np.isfinite(action).all():
            raise ValueError(f"an action is 3 finite numbers (steering, gas, brake), not {action}")
        [reward] = self._dreams.step(action.clip(config.ACTION_LOW, config.ACTION_HIGH)[None])
        return (
            self._dreams.z[0].copy(),
            float(reward),
            bool(self._dreams.over(MAX_STEPS_WITHOUT_PROGRESS)[0]),
            False,
            {},
        )

    def render(self) -> NDArray[np.uint8] | None:
        """What V makes of the present z."""
        return self._vae.decode(self._dreams.z)[0] if self.render_mode else None
