"""Doom Take Cover, the second environment of the paper: ViZDoom's scenario, whose monsters throw fireballs.

An episode lasts until a fireball has killed the player, and every tic (1/35 s) that the player survives gives a reward
of 1. The actions are to stay, to move right and to move left. ViZDoom runs the game as a process of its own and brings
free graphics (Freedoom). `pip install -e '.[doom]'` installs it.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Dict

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # ViZDoom's window library prints a greeting
try:
    import vizdoom.gymnasium_wrapper  # registers the environments
except ImportError as error:
    raise ModuleNotFoundError(f"{error}: Doom needs the extra doom, pip install -e '.[doom]'") from None

ENGINE = Path(__file__).with_name("doom_engine.sh")
SETTINGS = Path(tempfile.gettempdir()) / f"vizdoom-{os.getuid()}.ini"


class Screen(gym.ObservationWrapper):
    """The game's screen, uint8 (240, 320, 3), of ViZDoom's observation, which also holds the player's health.

    The game leaves nothing behind, also where this process is killed: no process, no file in the working directory, and
    no shared memory.

    Args:
        env: an environment of ViZDoom.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, Dict)
        self.observation_space = env.observation_space["screen"]
        self._screen = np.zeros(self.observation_space.shape or (), np.uint8)
        os.environ["VIZDOOM_ENGINE"] = str(Path(vizdoom.__file__).with_name("vizdoom"))
        unwrapped: Any = env.unwrapped
        unwrapped.game.set_vizdoom_path(str(ENGINE))
        unwrapped.game.set_doom_config_path(str(SETTINGS))

    def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        answer = super().reset(**options)
        for name in set(re.findall(r"/dev/shm/ViZDoom\w+", Path("/proc/self/maps").read_text())):
            Path(name).unlink(missing_ok=True)  # the system frees it with the last process that uses it
        return answer

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        if observation["screen"].any():  # else the player has just died: the last screen stays
            self._screen = observation["screen"]
        return self._screen
