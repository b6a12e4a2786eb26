"""Tracks of CarRacing: drawn by Gymnasium's own generator, painted once, and built into a Box2D world.

Environments of one process that drive the same track at the same time share it, its texture included: what changes
during an episode (`Tile`) belongs to each environment.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import Box2D
import gymnasium.envs.box2d.car_racing as gym_car_racing
import numpy as np
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.utils import seeding
from numpy.typing import NDArray

from custom_envs.texture import paint

ROAD_COLOR = np.array((102, 102, 102))  # of the generated tiles, and of visited ones
WHEELS_ONLY = Box2D.b2Filter(categoryBits=0x0001, maskBits=0x0020)  # Gymnasium gives wheels the category 0x0020


@dataclass(frozen=True)
class Track:
    """A generated track.

    Attributes:
        points: (alpha, beta, x, y) of each tile, as Gymnasium's `env.track`; beta is the road's direction, radians.
        polygons: (n, 4, 2) tiles and borders in paint order, world units.
        colors: (n, 3) of the polygons before any visit, RGB 0 to 255.
        tiles: positions of the road's tiles among the polygons.
        shapes: of the tiles.
        texture: the painted playfield (texture.py), read-only.
        rng_state: of the random generator after the track.
    """

    points: list[tuple[float, float, float, float]]
    polygons: NDArray[np.float64]
    colors: NDArray[np.float64]
    tiles: list[int]
    shapes: list[Box2D.b2PolygonShape]
    texture: NDArray[np.uint16]
    rng_state: dict[str, Any]


class Tile:
    """The state of a tile in an episode.

    Attributes:
        shape: its polygon, world units.
        color: (3,) uint8, a view of its palette row.
        touched: whether any part of the car has touched it; it then has the color of a visited tile.
        road_visited: whether a wheel has touched it; only that is rewarded.
    """

    __slots__ = ("__weakref__", "color", "road_visited", "shape", "touched")
    road_friction = 1.0  # relative to tarmac; Gymnasium's own physics read it, with which `render` works

    def __init__(self, shape: Box2D.b2PolygonShape, color: NDArray[np.uint8]) -> None:
        self.shape, self.color = shape, color
        self.touched = self.road_visited = False


class _Generator(gym_car_racing.CarRacing):
    """Gymnasium's track generator without a world: it draws the same numbers, but makes no bodies."""

    track: Any  # here and below: declared as None by Gymnasium
    road: Any
    world: Any
    fd_tile: Any

    def __init__(self, rng: np.random.Generator) -> None:
        self.np_random, self.verbose, self.road_poly = rng, False, []
        self.fd_tile = SimpleNamespace(shape=SimpleNamespace())
        self.world = SimpleNamespace(CreateStaticBody=lambda fixtures: SimpleNamespace(fixtures=[SimpleNamespace()]))
        self.domain_randomize = False
        self._init_colors()


def generate(rng: np.random.Generator) -> Track:
    """Draw a track; like Gymnasium's reset, repeat attempts that fail."""
    generator = _Generator(rng)
    while not generator._create_track():
        pass
    polygons, colors = zip(*generator.road_poly, strict=True)
    of_tile = {id(tile.color) for tile in generator.road}  # a tile and its polygon have the same color object
    tiles = [i for i, color in enumerate(colors) if id(color) in of_tile]
    return Track(
        points=generator.track,
        polygons=np.array(polygons),
        colors=np.array(colors),
        tiles=tiles,
        shapes=[Box2D.b2PolygonShape(vertices=polygons[i]) for i in tiles],
        texture=paint(np.array(polygons)),
        rng_state=dict(rng.bit_generator.state),
    )


_driven: WeakValueDictionary[int, Track] = WeakValueDictionary()  # seed -> a track that some environment drives now


def track_of(seed: int) -> Track:
    """The track of an environment seed."""
    track = _driven.get(seed)
    if track is None:
        track = _driven[seed] = generate(seeding.np_random(seed)[0])
    return track


class Contacts(Box2D.b2ContactListener):
    """Contact listener for the world of `build`, as Gymnasium's: rewards first visits, tracks the tiles under wheels.

    Attributes:
        reward: of all first visits, 1000 for the whole track.
        visited: number of tiles that a wheel has touched.

    Args:
        road, car: of `build`.
        color: (3,) of a visited tile, RGB 0 to 255.
    """

    def __init__(self, road: list[Tile], car: Car, color: NDArray[np.floating]) -> None:
        super().__init__()
        self.road, self.wheels = road, car.wheels
        self.color = np.rint(color)
        self.reward, self.visited = 0.0, 0

    # A tile's fixture is always the first of a contact, because it is the older one. The hull has no user data.
    def BeginContact(self, contact: Box2D.b2Contact) -> None:
        tile, wheel = self.road[contact.fixtureA.userData], contact.fixtureB.userData
        if not tile.touched:
            tile.touched = True
            tile.color[:] = self.color
            contact.fixtureA.filterData = WHEELS_ONLY  # further contacts with the hull would change nothing
        if wheel is None:
            return
        self.wheels[wheel].tiles.add(tile)
        if not tile.road_visited:
            tile.road_visited = True
            self.reward += 1000 / len(self.road)
            self.visited += 1

    def EndContact(self, contact: Box2D.b2Contact) -> None:
        wheel = contact.fixtureB.userData
        if wheel is not None:
            self.wheels[wheel].tiles.remove(self.road[contact.fixtureA.userData])


# User data of the fixtures: indices of tiles and of wheels. Box2D's Python interface does not release them with the
# world, so all worlds have the same objects.
INDICES = tuple(range(2500))


def build(world: Box2D.b2World, track: Track, rows: NDArray[np.uint8]) -> tuple[list[Tile], Car]:
    """Make the track's tiles and Gymnasium's car, at the start, in an empty world.

    The tiles are fixtures of one body, not bodies of their own as in Gymnasium: Box2D walks through all bodies several
    times a step.

    Args:
        rows: (n, 3) palette rows of the track's polygons, which the tiles change.
    """
    ground, definition = world.CreateStaticBody(), Box2D.b2FixtureDef(isSensor=True)
    road = [Tile(shape, rows[polygon]) for shape, polygon in zip(track.shapes, track.tiles, strict=True)]
    for index, tile in zip(INDICES, road, strict=False):
        definition.shape = tile.shape
        tile.shape.thisown = True  # the assignment has ended that, but Box2D copies the shape and would never free it
        ground.CreateFixture(definition).userData = index
    car = Car(world, *track.points[0][1:4])
    for index, wheel in zip(INDICES, car.wheels, strict=False):
        wheel.ClearUserData()
        wheel.fixtures[0].userData = index
    return road, car
