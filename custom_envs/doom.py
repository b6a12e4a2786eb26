"""Doom Take Cover, the second environment of the paper: ViZDoom's scenario, whose monsters throw fireballs.

An episode lasts until a fireball has killed the player, and every tic (1/35 s) that the player survives gives a reward
of 1. The actions are to stay, to move right and to move left. ViZDoom runs the game as a process of its own and brings
free graphics (Freedoom). `pip install -e '.[doom]'` installs it.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Dict

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # ViZDoom's window library prints a greeting
try:
    import vizdoom.gymnasium_wrapper  # noqa: F401 (registers the environments)
except ImportError as error:
    raise ModuleNotFoundError(f"{error}: Doom needs the extra doom, pip install -e '.[doom]'") from None


class Screen(gym.ObservationWrapper):
    """The game's screen, uint8 (240, 320, 3), of ViZDoom's observation, which also holds the player's health.

    Args:
        env: an environment of ViZDoom.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, Dict)
        self.observation_space = env.observation_space["screen"]
        # The game writes its settings where it is started, unless it is told otherwise.
        settings = Path(tempfile.gettempdir()) / f"vizdoom-{os.getuid()}.ini"
        unwrapped: Any = env.unwrapped
        unwrapped.game.set_doom_config_path(str(settings))

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        screen: np.ndarray = observation["screen"]
        return screen
