"""Reference rasterizer for test_car_racing.py, exact and slow.

Each polygon is transformed to the window, as in v0, and each pixel takes the color of the last polygon over its center.
"""

import math

import numpy as np
from gymnasium.envs.box2d import car_dynamics

WIDTH, HEIGHT, SCALE = 1000, 800, 6.0
PLAYFIELD = 2000 / SCALE
RED, GREEN, BLUE, VIOLET, WHITE, MARK = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (51, 0, 255),
    (255, 255, 255),
    (77, 77, 77),
)
Polygon = tuple[np.ndarray, tuple[int, int, int]]  # corners (n, 2) in the window, color


def view(env) -> tuple[np.ndarray, np.ndarray]:
    """The camera: a (2, 2) matrix and an offset (2,) from world to window."""
    vx, vy = env.car.hull.linearVelocity
    angle = math.atan2(vx, vy) if math.sqrt(vx**2 + vy**2) > 0.5 else -env.car.hull.angle
    zoom = 0.1 * SCALE * max(1 - env.t, 0) + 2.7 * SCALE * min(env.t, 1)
    turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn, np.array([WIDTH / 2, HEIGHT / 4]) - turn @ np.array(env.car.hull.position)


def ground(env) -> list[Polygon]:
    """Playfield, grass and road, in paint order, in the window."""
    cell = PLAYFIELD / 20
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    field, grass = (tuple(map(round, color)) for color in (env.bg_color, env.grass_color))
    polygons = [((square * 2 - 1) * PLAYFIELD, field)]
    polygons += [((square + np.array([x, y])) * cell, grass) for x in range(-20, 20, 2) for y in range(-20, 20, 2)]
    polygons += [(np.array(corners), tuple(map(int, color))) for corners, color in env.road_poly]
    turn, offset = view(env)
    return [(corners @ turn.T + offset, color) for corners, color in polygons]


def car(env) -> list[Polygon]:
    """Wheels, each with its mark, and the hull; the shapes are those of the Box2D fixtures."""
    turn, offset = view(env)
    polygons = []
    for body in (*env.car.wheels, env.car.hull):
        shapes = [(fixture.shape.vertices, (204, 0, 0)) for fixture in body.fixtures]
        if body is not env.car.hull:
            shapes = [(shapes[0][0], (0, 0, 0)), *((mark, MARK) for mark in marks(body.phase))]
        for vertices, color in shapes:
            world = np.array([body.transform * tuple(map(float, vertex)) for vertex in vertices])
            polygons.append((world @ turn.T + offset, color))
    return polygons


def marks(phase: float) -> list[np.ndarray]:
    """The visible part of a wheel's mark, from `phase` to `phase` + 1.2 radians: no quad or one."""
    visible = [phase + 1.2 * share for share in (0, 1) if math.sin(phase + 1.2 * share) <= 0]
    if not visible:
        return []
    ends = [math.cos(phase + 1.2 * share) for share in (0, 1)]
    ends = [end if math.sin(phase + 1.2 * i) <= 0 else (1 if end > 0 else -1) for i, end in enumerate(ends)]
    x, y = car_dynamics.WHEEL_W * car_dynamics.SIZE, car_dynamics.WHEEL_R * car_dynamics.SIZE
    return [np.array([(-x, y * ends[0]), (x, y * ends[0]), (x, y * ends[1]), (-x, y * ends[1])])]


def bar(env) -> list[Polygon]:
    """The black bar and its seven indicators."""
    wheels, hull = env.car.wheels, env.car.hull
    boxes = [((0, 0), (40, 5), (0, 0, 0)), ((5, 1), (6, 1 + 0.02 * hull.linearVelocity.length), WHITE)]
    for cell, wheel, color in zip(range(7, 11), wheels, (BLUE, BLUE, VIOLET, VIOLET), strict=True):
        boxes.append(((cell, 1), (cell + 1, 1 + 0.01 * wheel.omega), color))
    boxes.append(((20, 2), (20 - 10 * wheels[0].joint.angle, 4), GREEN))
    boxes.append(((30, 2), (30 - 0.8 * hull.angularVelocity, 4), RED))
    cell_size = np.array([WIDTH / 40, HEIGHT / 40])
    return [(np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]) * cell_size, c) for (x1, y1), (x2, y2), c in boxes]


def paint(polygons: list[Polygon], size: int, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Rasterize to (size, size, 3) uint8; pixel centers are moved by `shift`, window pixels."""
    column, row = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    x, y = column * WIDTH / size + shift[0], HEIGHT - row * HEIGHT / size + shift[1]
    frame = np.zeros((size, size, 3), np.uint8)
    for corners, color in polygons:
        if (corners.max(axis=0) < (x.min(), y.min())).any() or (corners.min(axis=0) > (x.max(), y.max())).any():
            continue
        inside = np.zeros((size, size), bool)
        for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if y1 != y2:  # whether the ray to the right crosses this edge
                inside ^= ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
        frame[inside] = color
    return frame
