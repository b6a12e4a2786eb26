"""Environment seeds and random streams, disjoint by purpose."""

import numpy as np

# Every run seed has a range of environment seeds for each purpose: exploration, search, evaluation and reports share no
# track.
ENV_SEED_RANGES = {"explore": 0, "search": 1, "evaluate": 2, "report": 3}
MAX_SEED = 2**20


def env_seed_range(purpose: str, seed: int, start: int, count: int) -> list[int]:
    """Return `count` environment seeds, disjoint for every (purpose, seed, index); `start` is the first index."""
    if not 0 <= seed < MAX_SEED or start + count > 2**32:
        raise ValueError(f"there are no environment seeds {start}..{start + count - 1} of seed {seed}")
    first = ((ENV_SEED_RANGES[purpose] * MAX_SEED + seed) << 32) + start
    return list(range(first, first + count))


def exploration_rng(env_seed: int) -> np.random.Generator:
    """The random stream of an exploration policy, apart from the environment's own, which `env_seed` seeds alone."""
    return np.random.default_rng([env_seed, 1])
