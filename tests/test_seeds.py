"""Tests of the random streams: today's numbers, no number shared within a command, one place, and a true table."""

import ast
import hashlib
import re

import numpy as np
import pytest
from helpers.scripts import ROOT

from pipeline.seeds import ENV_SEED_RANGES, KEY_PARTS, MAX_SEED, STREAMS, env_seed_range, rng

SEED, ENV_SEED = 7, env_seed_range("report", 7, 5, 1)[0]
# A key of every stream, and the seed before streams had names; None: was [0, 9] and 0, which the report drew twice.
SEEDS_OF_0_1_0 = {
    "held_out": ((SEED,), [SEED, 0x5B117]),
    "batch_order": ((SEED, 3), [SEED, 3]),
    "search": ((SEED, 30), [SEED, 30]),
    "exploration": ((ENV_SEED,), [ENV_SEED, 1]),
    "exploration_share": ((ENV_SEED,), [ENV_SEED, 2]),
    "latent_noise": ((ENV_SEED,), [ENV_SEED, 3]),
    "dream_noise": ((ENV_SEED,), [ENV_SEED, 2]),
    "dream_start": ((ENV_SEED,), [ENV_SEED, 3]),
    "open_loop_dream": ((9,), None),
    "figure": ((0,), None),
    "untrained": ((SEED,), SEED),
    "q_learning": ((SEED, 12), [SEED, 12, 0xD0]),
    "genetic_algorithm": ((SEED,), SEED),
}
# The purposes of the environment seeds of a command.
PURPOSES = {"01": ["explore"], "02": [], "04": [], "baselines": ["search", "evaluate", "report"]}
PURPOSES |= {command: ["search", "evaluate"] for command in ("05", "05 in dreams")}
PURPOSES |= {command: ["report"] for command in ("model", "model in dreams", "report")}


def table() -> dict[str, tuple[tuple[str, ...], int | None, list[str]]]:
    """The table in docs/determinism.md: name -> key, constant, commands."""
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| (–|\w+) \| ([\w, ]+) \| [^|]+ \|$", DOCS, re.MULTILINE)
    return {
        name: (tuple(key.split(", ")), None if constant == "–" else int(constant, 0), commands.split(", "))
        for name, key, constant, commands in rows
    }


DOCS = (ROOT / "docs" / "determinism.md").read_text()
COMMANDS = {command for _, _, commands in table().values() for command in commands}


def test_the_documentation_lists_the_streams() -> None:
    assert {name: row[:2] for name, row in table().items()} == {
        name: (stream.key, stream.constant) for name, stream in STREAMS.items()
    }
    assert PURPOSES.keys() == COMMANDS


def test_the_streams_are_those_of_earlier_versions() -> None:
    assert SEEDS_OF_0_1_0.keys() == STREAMS.keys() - {"ppo", "dream_moments"}  # the later ones
    digest = hashlib.sha256()
    for name, (key, seed) in SEEDS_OF_0_1_0.items():
        numbers = rng(name, *key).integers(2**63, size=100)
        if seed is not None:
            np.testing.assert_array_equal(numbers, np.random.default_rng(seed).integers(2**63, size=100))
        digest.update(numbers.tobytes())
    assert digest.hexdigest()[:16] == "cc7cec758916ce89"


def keys_of(name: str, seed: int, purposes: list[str]) -> list[tuple[int, ...]]:
    """Keys of a stream within a command of run seed `seed`: the limits of each part, and some between."""
    keys: list[tuple[int, ...]] = [()]
    for part in STREAMS[name].key if name in STREAMS else ("env_seed",):
        if part == "run seed":
            values = [seed]
        elif part == "env_seed":
            indices = [0, 1, 2, 3, 4, 5, seed, 0xD0, 0x5B117, 2**31, 2**32 - 1]
            values = [env_seed_range(purpose, seed, i, 1)[0] for purpose in purposes for i in dict.fromkeys(indices)]
        else:
            values = [*range(6), seed, 0xD0, KEY_PARTS[part] - 1]
        keys = [(*key, value) for key in keys for value in dict.fromkeys(values) if value < KEY_PARTS[part]]
    return keys


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 0xD0, 0x5B117, MAX_SEED - 1])
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_two_streams_of_a_command_share_no_number(command: str, seed: int) -> None:
    """NumPy seeds PCG64 with 256 bits made from the key; streams of different states do not overlap in practice."""
    owners: dict[int, tuple] = {}
    names = [name for name, (_, _, commands) in table().items() if command in commands]
    for name in names:
        for key in keys_of(name, seed, PURPOSES[command]):
            state = rng(name, *key).bit_generator.state["state"]["state"]
            assert owners.setdefault(state, (name, key)) == (name, key)
    for (env_seed,) in keys_of("environment", seed, PURPOSES[command]):
        assert np.random.default_rng(env_seed).bit_generator.state["state"]["state"] not in owners
    assert len(owners) >= len(names)


def test_a_key_outside_its_range_is_refused() -> None:
    for name, key in {
        "batch_order": (0, 2**18),
        "search": (0, MAX_SEED),
        "held_out": (-1,),
        "exploration": (0, 0),
    }.items():
        with pytest.raises(ValueError):
            rng(name, *key)


def test_no_other_file_seeds_a_generator() -> None:
    """Except es.py, which is given its seed, and the benchmarks, which measure on random data."""
    calls = {}
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith((".", "tests/", "build/", "experiments/benchmarks/")):
            continue
        found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        calls[name] = sum(node.attr in ("default_rng", "RandomState", "SeedSequence", "PCG64") for node in found)
    made = {name for name, count in calls.items() if count}
    assert made == {"pipeline/seeds.py", "es.py", "custom_envs/original_server.py"}  # the last seeds the original gym
    assert set(ENV_SEED_RANGES) == {purpose for purposes in PURPOSES.values() for purpose in purposes}
