"""The original CarRacing-v0 (gym 0.17.2, drawn by OpenGL), for whoever wants to see a driver prove itself there.

It installs on nothing current, so it lives in a Python of its own (tests/original/install.sh makes one), and there in a
process that runs original_server.py. ORIGINAL_GYM_PYTHON names that Python; it wants a display.
"""

import os
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

SERVER = Path(__file__).with_name("original_server.py")
SIZE = 64
ANSWER = struct.Struct(f"<d?{SIZE * SIZE * 3}s")  # reward, done, frame
REMEDY = (
    "run `sh tests/original/install.sh original-gym`, set ORIGINAL_GYM_PYTHON=original-gym/bin/python,"
    " and without a display put `xvfb-run -a` before the command"
)


class OriginalCarRacing(gym.Env):
    """CarRacing-v0 as it was, with Gymnasium's interface. A seed gives the track that it gives in ours.

    Raises:
        gymnasium.error.DependencyNotInstalled: it cannot be started.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 50}
    observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = spaces.Box(np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32))

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self._frame = render_mode, None
        python = os.environ.get("ORIGINAL_GYM_PYTHON", "python-of-the-original-gym")
        try:
            self._server = subprocess.Popen([python, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise gym.error.DependencyNotInstalled(f"{python}: {error.strerror}: {REMEDY}") from None
        self.reset(seed=0)  # whether it can draw shows when it draws

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[NDArray[np.uint8], dict]:
        """A new track."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**63))
        self._ask(struct.pack("<cq", b"R", seed))
        return self._frame, {}

    def step(self, action: NDArray[np.floating]) -> tuple[NDArray[np.uint8], float, bool, bool, dict]:
        """One frame, 1/50 s."""
        reward, done = self._ask(struct.pack("<c3d", b"A", *np.asarray(action, np.float64)))
        return self._frame, reward, done, False, {}

    def render(self) -> NDArray[np.uint8]:
        """The last frame."""
        return self._frame

    def close(self) -> None:
        """End the process; a second call does nothing."""
        self._server.stdin.close()
        self._server.wait()

    def _ask(self, question: bytes) -> tuple[float, bool]:
        with suppress(BrokenPipeError):  # it has ended, and reading says so
            self._server.stdin.write(question)
            self._server.stdin.flush()
        answer = self._server.stdout.read(ANSWER.size)
        if len(answer) < ANSWER.size:
            raise gym.error.DependencyNotInstalled(f"the original gym has ended: {REMEDY}")
        reward, done, frame = ANSWER.unpack(answer)
        self._frame = np.frombuffer(frame, np.uint8).reshape(SIZE, SIZE, 3)
        return reward, done
