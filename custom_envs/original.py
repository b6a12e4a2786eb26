"""The original CarRacing-v0 (gym 0.17.2, OpenGL) as a Gymnasium environment, for scoring agents on it.

gym 0.17.2 does not install beside current packages, so it runs in a process of its own (original_server.py), on the
Python that ORIGINAL_GYM_PYTHON names (tests/original/install.sh installs one). It needs a display.
"""

import os
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

SERVER = Path(__file__).with_name("original_server.py")
SIZE = 64
RESPONSE = struct.Struct(f"<d?{SIZE * SIZE * 3}s")  # reward, done, frame
REMEDY = (
    "run `sh tests/original/install.sh original-gym`, set ORIGINAL_GYM_PYTHON=original-gym/bin/python,"
    " and without a display put `xvfb-run -a` before the command"
)


class OriginalCarRacing(gym.Env):
    """CarRacing-v0 with Gymnasium's interface; a seed gives the same track as in car_racing.CarRacing.

    Raises:
        gymnasium.error.DependencyNotInstalled: gym 0.17.2 cannot be started; the message names the remedy.
    """

    metadata = gym.Env.metadata | {"render_modes": ["rgb_array"], "render_fps": 50}
    observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = spaces.Box(np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32))

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self._frame = render_mode, np.zeros((SIZE, SIZE, 3), np.uint8)
        python = os.environ.get("ORIGINAL_GYM_PYTHON", "python-of-the-original-gym")
        try:
            self._server = subprocess.Popen([python, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise gym.error.DependencyNotInstalled(f"{python}: {error.strerror}: {REMEDY}") from None
        assert self._server.stdin and self._server.stdout  # pipes
        self._requests, self._responses = self._server.stdin, self._server.stdout
        self.reset(seed=0)  # a missing display shows only when it renders

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[NDArray[np.uint8], dict]:
        """Generate a new track."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**63))
        self._request(struct.pack("<cq", b"R", seed))
        return self._frame, {}

    def step(self, action: NDArray[np.floating]) -> tuple[NDArray[np.uint8], float, bool, bool, dict]:
        """Advance one frame, 1/50 s."""
        reward, done = self._request(struct.pack("<c3d", b"A", *np.asarray(action, np.float64)))
        return self._frame, reward, done, False, {}

    def render(self) -> NDArray[np.uint8]:
        """The last frame, uint8 (64, 64, 3)."""
        return self._frame

    def close(self) -> None:
        """End the server process; a second call does nothing."""
        self._requests.close()
        self._server.wait()

    def _request(self, message: bytes) -> tuple[float, bool]:
        with suppress(BrokenPipeError):  # the server has ended: the read below finds out
            self._requests.write(message)
            self._requests.flush()
        response = self._responses.read(RESPONSE.size)
        if len(response) < RESPONSE.size:
            raise gym.error.DependencyNotInstalled(f"the process of gym 0.17.2 has ended: {REMEDY}")
        reward, done, frame = RESPONSE.unpack(response)
        self._frame = np.frombuffer(frame, np.uint8).reshape(SIZE, SIZE, 3)
        return reward, done
