"""CarRacing-v0 on today's Gymnasium: its rules and its pixels, drawn fast and without a display.

Track, bodies and contacts are Gymnasium's own (CarRacing-v3), and so are the numbers of its car (see car.py). What
differs is what v0 did differently:

* a lap ends when *every* tile has been visited, not 95 % of them;
* the camera turns with the car's velocity, not with its nose;
* frames are 64 x 64 and follow OpenGL's pixel rules (see raster.py), all but the score, illegible at that size.

Rewards: -0.1 a frame, +1000 / N for each of the N tiles when it is first touched, -100 for leaving the playfield, which
ends the episode.
"""

import math
from typing import Any, ClassVar

import Box2D
import gymnasium.envs.box2d.car_racing as gym_car_racing
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from custom_envs.car import drive
from custom_envs.raster import MAX_ZOOM, Raster

DT = 1 / gym_car_racing.FPS  # seconds a frame
PLAYFIELD = gym_car_racing.PLAYFIELD  # world units from its middle to its edge
VELOCITY_ITERATIONS, POSITION_ITERATIONS = 6 * 30, 2 * 30  # of Box2D's solver

Frame = NDArray[np.uint8]


class CarRacing(gym_car_racing.CarRacing):
    """CarRacing-v0 with (size, size, 3) uint8 frames.

    Actions are three finite numbers: steering -1 (left) .. 1, gas 0 .. 1, brake 0 .. 1. Numbers outside are clipped.
    (v0 clipped the gas alone; a joint's limits stopped the steering, and a brake under 0 was none.)

    Args:
        render_mode: None, or "rgb_array": `render()` then returns Gymnasium's 600 x 400 picture.
        size: side of the observations in pixels.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": gym_car_racing.FPS}

    def __init__(self, render_mode: str | None = None, size: int = 64) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode {render_mode!r} is none of {self.metadata['render_modes']}")
        # The inherited rule ends a lap when more than this share of the tiles has been visited: with 1.0 it never does.
        super().__init__(render_mode=render_mode, lap_complete_percent=1.0)
        EzPickle.__init__(self, render_mode=render_mode, size=size)
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self._raster = Raster(size)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Frame, dict[str, Any]]:
        """A new track; the same seed gives the same episode, whatever was played before.

        The order in which Box2D meets contacts depends on what its world has been through. An episode has a world of
        its own, so that nothing can come to depend on that order.
        """
        self._destroy()
        self.road = None
        self.world = Box2D.b2World((0, 0))
        return super().reset(seed=seed, options=options)

    def step(self, action: NDArray[np.floating] | None) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """One frame, 1/50 s. Gymnasium's reset calls it with None: the first frame, of which no action is due."""
        steer, gas, brake = (0.0, 0.0, 0.0) if action is None else self._checked(action)
        if self.render_mode is None:
            drive(self.car, -steer, gas, brake, DT)
        else:  # the same bit for bit, slower, and it leaves skid marks
            self.car.steer(-steer)
            self.car.gas(gas)
            self.car.brake(brake)
            self.car.step(DT)
        self.world.Step(DT, VELOCITY_ITERATIONS, POSITION_ITERATIONS)
        self.t += DT
        self.state = self._render("state_pixels")
        if action is None:
            return self.state, 0.0, False, False, {}
        self.reward -= 0.1  # tiles have added theirs when they were touched
        reward, self.prev_reward = self.reward - self.prev_reward, self.reward
        x, y = self.car.hull.position
        if abs(x) > PLAYFIELD or abs(y) > PLAYFIELD:
            return self.state, -100.0, True, False, {"lap_finished": False}
        lap_finished = self.tile_visited_count == len(self.track)
        return self.state, reward, lap_finished, False, {"lap_finished": True} if lap_finished else {}

    def _checked(self, action: NDArray[np.floating]) -> list[float]:
        """The action's three numbers within their bounds. In the original a NaN earns a perfect score."""
        action = np.asarray(action, np.float64)
        if action.shape != (3,):
            raise ValueError(f"an action is 3 numbers (steering, gas, brake), not an array of shape {action.shape}")
        steer, gas, brake = values = action.tolist()
        if -1 <= steer <= 1 and 0 <= gas <= 1 and 0 <= brake <= 1:
            return values
        if not np.isfinite(action).all():
            raise ValueError(f"an action must be finite, not {values}")
        return action.clip((-1, 0, 0), 1).tolist()

    def _create_track(self) -> bool:
        """Gymnasium's track, painted. A failed attempt returns False and is tried again by reset."""
        if not super()._create_track():
            return False
        polygons, colours = zip(*self.road_poly, strict=True)
        rows = self._raster.paint_track(np.array(polygons), np.array(colours))
        self.road_poly = list(zip(polygons, rows, strict=True))
        # A tile's colour *is* its row of the palette: the inherited contact listener recolours tiles in place.
        tile_of = {id(tile.color): tile for tile in self.road}
        for colour, row in zip(colours, rows, strict=True):
            if id(colour) in tile_of:
                tile_of[id(colour)].color = row
        return True

    def _render(self, mode: str) -> Frame:
        """Our frame for the observation; for `render()` the inherited off-screen picture."""
        if mode != "state_pixels":
            return super()._render(mode)
        vx, vy = self.car.hull.linearVelocity
        speed = math.hypot(vx, vy)
        angle = math.atan2(vx, vy) if speed > 0.5 else -self.car.hull.angle
        # The picture grows during the first second.
        zoom = 0.1 * gym_car_racing.SCALE * max(1 - self.t, 0) + MAX_ZOOM * min(self.t, 1)
        return self._raster.frame(self.car, speed, angle, zoom)
