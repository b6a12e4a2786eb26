"""Environment seeds and random streams that are disjoint by purpose."""

from dataclasses import dataclass

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


# What a stream may depend on, and the first value that is too large for it. The limits of epochs and generations keep
# the streams of a command apart (tests/test_seeds.py); no run comes near them.
KEY_PARTS = {
    "run seed": MAX_SEED,
    "env_seed": 2**64,  # in dreams: the seed of the dream
    "epoch": 2**18,
    "generation": MAX_SEED,
    "episode": 2**32,
    "number": 2**32,
}


@dataclass(frozen=True)
class Stream:
    """A random stream: the parts of its key, of KEY_PARTS, and a constant that follows them, or none."""

    key: tuple[str, ...]
    constant: int | None = None


# docs/determinism.md says what each is for, and which commands draw from it. Changing a constant changes results.
STREAMS = {
    "held_out": Stream(("run seed",), 0x5B117),
    "batch_order": Stream(("run seed", "epoch")),
    "search": Stream(("run seed", "generation")),
    "exploration": Stream(("env_seed",), 1),
    "exploration_share": Stream(("env_seed",), 2),
    "latent_noise": Stream(("env_seed",), 3),
    "dream_noise": Stream(("env_seed",), 2),
    "dream_start": Stream(("env_seed",), 3),
    "dream_moments": Stream(("run seed",), 0x303),
    "open_loop_dream": Stream(("number",), 4),
    "figure": Stream(("number",), 5),
    "untrained": Stream(("run seed",)),
    "q_learning": Stream(("run seed", "episode"), 0xD0),
    "ppo": Stream(("run seed", "episode"), 0xD1),
    "genetic_algorithm": Stream(("run seed",)),
}


def rng(name: str, *key: int) -> np.random.Generator:
    """A new generator at the start of the random stream `name`, a key of STREAMS, for these values of its key.

    Raises:
        ValueError: the key has another number of parts, or one is out of its range.
    """
    stream = STREAMS[name]
    for part, value in zip(stream.key, key, strict=True):
        if not 0 <= value < KEY_PARTS[part]:
            raise ValueError(f"the random stream {name} has no {part} {value}")
    return np.random.default_rng([*key] if stream.constant is None else [*key, stream.constant])
