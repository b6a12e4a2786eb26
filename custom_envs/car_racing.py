"""CarRacing-v0 on current Gymnasium: the rules and pixels of v0, rasterized without a display.

Gymnasium's own CarRacing-v3 generates the track and makes the car (track.py), and the car's physics equal its own
(car.py).
The differences are those between v0 and v3:

* a lap ends when *every* tile has been visited, not 95 % of them;
* the camera is aligned with the car's velocity, not with its heading;
* frames are 64 x 64 and follow OpenGL's pixel rules (raster.py), without the score, which is illegible at that size.

Rewards: -0.1 a frame, +1000 / N for the first visit of each of the N tiles, -100 for leaving the playfield, which ends
the episode.
"""

import math
from typing import Any

import Box2D
import gymnasium as gym
import gymnasium.envs.box2d.car_racing as gym_car_racing
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from custom_envs.car import drive, watch
from custom_envs.car_pixels import MAX_ZOOM
from custom_envs.raster import Raster
from custom_envs.track import ROAD_COLOR, Contacts, build, generate, track_of

DT = 1 / gym_car_racing.FPS  # seconds per frame
PLAYFIELD = gym_car_racing.PLAYFIELD  # world units from its center to its edge
VELOCITY_ITERATIONS, POSITION_ITERATIONS = 6 * 30, 2 * 30  # of Box2D's solver

Frame = NDArray[np.uint8]


class CarRacing(gym_car_racing.CarRacing):
    """CarRacing-v0 with (size, size, 3) uint8 frames.

    Actions are float (3,): steering -1 (left) .. 1, gas 0 .. 1, brake 0 .. 1; values outside are clipped. (v0 clips
    only the gas, with the same effect: the wheel joints limit the steering, and a negative brake does not brake.)

    Args:
        render_mode: None, or "rgb_array": `render()` then returns Gymnasium's image, uint8 (400, 600, 3).
        size: side of the observations, pixels.
        domain_randomize: draw the colors of road and grass for each episode, with Gymnasium's own numbers. A seed then
            gives another track; `options={"randomize": False}` of reset keeps the colors and gives the usual track.
    """

    metadata = gym.Env.metadata | {"render_modes": ["rgb_array"], "render_fps": gym_car_racing.FPS}
    car: Any  # here and below: declared as None, or more narrowly, by Gymnasium
    road: Any
    track: Any
    contactListener_keepref: Any

    def __init__(self, render_mode: str | None = None, size: int = 64, domain_randomize: bool = False) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode {render_mode!r} is none of {self.metadata['render_modes']}")
        # The inherited rule ends a lap at a share of visited tiles above this one; 1.0 disables it, `step` ends laps.
        super().__init__(render_mode=render_mode, lap_complete_percent=1.0, domain_randomize=domain_randomize)
        self.world = self.contactListener_keepref = None  # its listener would keep this environment in memory
        EzPickle.__init__(self, render_mode=render_mode, size=size, domain_randomize=domain_randomize)
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self._raster = Raster(size)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Frame, dict[str, Any]]:
        """Generate a new track; the episode is a function of the seed and the actions, not of earlier episodes.

        Each episode has a Box2D world of its own: the order in which a world reports contacts depends on its history.
        """
        gym.Env.reset(self, seed=seed)
        randomize = self.domain_randomize and (options or {}).get("randomize", True)
        if randomize:
            self._reinit_colors(randomize)
        track = generate(self.np_random) if seed is None or randomize else track_of(seed)
        self.np_random.bit_generator.state = track.rng_state
        self._perturb_colors()
        colors = track.colors.copy()
        colors[track.tiles] += self.road_color - ROAD_COLOR
        rows = self._raster.begin(track.texture, colors, self.bg_color, self.grass_color)
        self.track, self.road_poly = track.points, list(zip(track.polygons, rows, strict=True))
        self.world = Box2D.b2World((0, 0))
        self.road, self.car = build(self.world, track, rows)
        watch(self.car)
        self._contacts = Contacts(self.road, self.car, self.road_color)  # the world does not keep it alive
        self.world.contactListener = self._contacts
        self._shared_track = track  # other environments share it while one keeps it
        self.reward, self.t = 0.0, 0.0
        return self.step(None)[0], {}

    def step(  # type: ignore[override]  # actions are continuous
        self, action: NDArray[np.floating] | None
    ) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Advance one frame, 1/50 s. `reset` calls it with None for the first frame.

        Raises:
            ValueError: the action is not 3 finite numbers.
        """
        steer, gas, brake = (0.0, 0.0, 0.0) if action is None else self._checked(action)
        if self.render_mode is None:
            drive(self.car, -steer, gas, brake, DT)
        else:  # bit for bit the same motion, slower, with skid marks (tests/test_car.py)
            self.car.steer(-steer)
            self.car.gas(gas)
            self.car.brake(brake)
            self.car.step(DT)
        self.world.Step(DT, VELOCITY_ITERATIONS, POSITION_ITERATIONS)
        self.t += DT
        self.state = self._render("state_pixels")
        if action is None:
            return self.state, 0.0, False, False, {}
        contacts = self._contacts
        contacts.reward -= 0.1
        reward, self.reward = contacts.reward - self.reward, contacts.reward
        if abs(self.car.hull.place.x) > PLAYFIELD or abs(self.car.hull.place.y) > PLAYFIELD:
            return self.state, -100.0, True, False, {"lap_finished": False}
        lap_finished = contacts.visited == len(self.road)
        return self.state, reward, lap_finished, False, {"lap_finished": True} if lap_finished else {}

    def _checked(self, action: NDArray[np.floating]) -> list[float]:
        """The action clipped to its bounds; raises ValueError, because in v0 a NaN action earns a perfect score."""
        action = np.asarray(action)
        if action.shape != (3,):
            raise ValueError(f"an action is 3 numbers (steering, gas, brake), not an array of shape {action.shape}")
        steer, gas, brake = values = action.tolist()
        if -1 <= steer <= 1 and 0 <= gas <= 1 and 0 <= brake <= 1:
            return values
        if not np.isfinite(action).all():
            raise ValueError(f"an action must be finite, not {values}")
        return action.clip((-1, 0, 0), 1).tolist()

    def _perturb_colors(self) -> None:
        """Change road_color, bg_color and grass_color for the episode, RGB 0 to 255; see perturbed.py."""

    def _render(self, mode: str) -> Frame:
        """The rasterized observation; for `render()` the inherited off-screen image."""
        if mode != "state_pixels":
            return super()._render(mode)
        speed, angle, zoom = self._camera()
        return self._raster.frame(self.car, speed, angle, zoom)

    def _camera(self) -> tuple[float, float, float]:
        """Speed of the hull (units/s), rotation from world to window (radians) and zoom (window pixels per unit)."""
        vx, vy = self.car.hull.velocity.x, self.car.hull.velocity.y
        speed = math.hypot(vx, vy)
        angle = math.atan2(vx, vy) if speed > 0.5 else -self.car.hull.angle
        # v0 zooms in during the first second.
        return speed, angle, 0.1 * gym_car_racing.SCALE * max(1 - self.t, 0) + MAX_ZOOM * min(self.t, 1)
