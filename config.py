"""Sizes, paths, the list of environments, and how each of them is explored.

This is the file to edit to teach the pipeline another environment: see "Your own environment" in the README.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# --- sizes (the paper's and the tutorial's) ---------------------------------------------------------------------------
FRAME_SHAPE = (64, 64, 3)  # height, width, RGB; uint8
Z_DIM = 32  # latents a frame
ACTIONS = ("steer", "gas", "brake")  # -1..1, 0..1, 0..1
ACTION_DIM = len(ACTIONS)
HIDDEN_UNITS = 256  # LSTM units
MIXTURES = 5  # Gaussians a latent
ACTION_LOW = (-1.0, 0.0, 0.0)
ACTION_HIGH = (1.0, 1.0, 1.0)

# --- where the stages leave their files, below the folder they are started in -----------------------------------------
DATA_DIR = Path("data")
VAE_DIR = Path("vae")
RNN_DIR = Path("rnn")
CONTROLLER_DIR = Path("controller")
LOG_DIR = Path("log")
VIDEO_DIR = Path("videos")
REPORT_DIR = Path("report")
BASELINES_DIR = Path("baselines")
PRETRAINED_DIR = Path(__file__).parent / "pretrained"  # comes with the project; the same folders again below it
PRETRAINED = "car_racing.cma.4.64.best.json"

# --- seeds ------------------------------------------------------------------------------------------------------------
# Every run seed has a range of track seeds for each purpose: no track is shared by exploring, searching, evaluating
# and reporting.
TRACK_RANGES = {"explore": 0, "search": 1, "evaluate": 2, "report": 3}
MAX_SEED = 2**20


def track_seeds(purpose: str, seed: int, start: int, count: int) -> list[int]:
    """Return `count` environment seeds, disjoint for every (purpose, seed, index); `start` is the first index."""
    if not 0 <= seed < MAX_SEED or start + count > 2**32:
        raise ValueError(f"there are no tracks {start}..{start + count - 1} of seed {seed}")
    first = ((TRACK_RANGES[purpose] * MAX_SEED + seed) << 32) + start
    return list(range(first, first + count))


# --- exploration and reward -------------------------------------------------------------------------------------------
PUSH_STEPS = 20
ACTION_REFRESH_RATE = 5  # frames for which an exploring driver holds an action, unless told otherwise


def explore_car_racing(t: int, action: np.ndarray, rng: np.random.Generator, refresh_rate: int) -> np.ndarray:
    """The tutorial's pseudo-random driver: a push, then one pedal or the wheel at a time, held for a while.

    The push matters: without it the car barely leaves its first tile and every episode shows the same bend.

    Args:
        t: step of the episode, from 0.
        action: float32 (3,), what was done at t-1.
        rng: the episode's own generator.
        refresh_rate: frames for which an action is held.
    Returns: float32 (3,), what to do at t.
    """
    if t < PUSH_STEPS:
        return np.array([-0.1, 1, 0], np.float32)
    if t % refresh_rate:
        return action
    kind, strength = rng.integers(10), rng.random()
    if kind == 0:
        new = (0, 0, 0)  # coast
    elif kind <= 4:
        new = (0, strength, 0)
    elif kind <= 6:
        new = (-strength, 0, 0)
    elif kind <= 8:
        new = (strength, 0, 0)
    else:
        new = (0, 0, strength)
    return np.array(new, np.float32)


def exploration_rng(track: int) -> np.random.Generator:
    """The random source of an exploring driver: not the environment's, which is seeded by `track` alone."""
    return np.random.default_rng([track, 1])


def adjust_reward(reward: np.ndarray) -> np.ndarray:
    """The reward as the RNN knows it: 1.0 where something was gained, else 0.0 (any shape -> float32)."""
    return (reward > 0).astype(np.float32)


# --- environments -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Environment:
    """How the pipeline uses one environment."""

    id: str  # Gymnasium id; "module:Id" imports the module that registers it first
    explore: Callable[[int, np.ndarray, np.random.Generator, int], np.ndarray]
    max_length: int = 1000  # steps an episode
    idle_reward: float = 0.0  # what a step without gain pays, charged for the rest of an abandoned episode
    pretrained: str | None = None  # the driver in pretrained/controller/, if there is one


ENVIRONMENTS = {
    "car_racing": Environment(
        id="custom_envs:WorldModels/CarRacing-v0",
        explore=explore_car_racing,
        max_length=1000,
        idle_reward=-0.1,
        pretrained=PRETRAINED,
    ),
    "car_racing_original": Environment(  # gym 0.17.2 itself: see custom_envs/original.py
        id="custom_envs:WorldModels/CarRacingOriginal-v0",
        explore=explore_car_racing,
        idle_reward=-0.1,
        pretrained=PRETRAINED,
    ),
}
TRAIN_ENVS = ("car_racing",)  # what 01 --run_all_envs goes through
