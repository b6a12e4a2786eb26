"""Environment seeds and random streams that are disjoint by purpose."""

import numpy as np

# Every run seed has one range of environment seeds per purpose, so that exploration, search, evaluation and reports
# never share a track.
ENV_SEED_RANGES = {"explore": 0, "search": 1, "evaluate": 2, "report": 3}
MAX_SEED = 2**20


def env_seed_range(purpose: str, seed: int, start: int, count: int) -> list[int]:
    """Return `count` environment seeds, distinct for every (purpose, run seed, index); `start` is the first index.

    Raises:
        ValueError: the run seed or an index is out of range.
    """
    if not 0 <= seed < MAX_SEED or start + count > 2**32:
        raise ValueError(f"there are no environment seeds {start}..{start + count - 1} of seed {seed}")
    first = ((ENV_SEED_RANGES[purpose] * MAX_SEED + seed) << 32) + start
    return list(range(first, first + count))


def exploration_rng(env_seed: int) -> np.random.Generator:
    """The random stream of an exploration policy in one episode, independent of the environment's own stream."""
    return np.random.default_rng([env_seed, 1])
