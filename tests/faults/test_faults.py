"""Three kills a stage, at the moments that cost the most; `make faults` goes on to hundreds, at any moment."""

import random
from pathlib import Path

import pytest
from conftest import SEARCH
from harness import Chain, Kill

ALL, ONE = True, False  # processes that die
POINTS = {
    "01": (Kill("before replace data/obs_0.json 1", ALL), Kill("after replace data/obs_data_0.npy 1", ONE)),
    "02": (Kill("before replace vae/state.h5 2", ALL), Kill("after replace vae/state.h5 1", ONE)),
    "03": (Kill("after replace data/rnn_input_0.npy 1", ONE), Kill("before replace data/rnn_1.json 1", ALL)),
    "04": (Kill("after replace rnn/weights.h5 1", ALL), Kill("before replace rnn/log.csv 2", ONE)),
    "05": (
        Kill(f"before replace controller/{SEARCH}.es.npz 1", ALL),
        Kill(f"after replace controller/{SEARCH}.es.npz 1", ONE),
    ),
}


@pytest.mark.parametrize("stage", POINTS)
def test_killed_and_started_again_it_ends_as_if_undisturbed(finished: Path, tmp_path: Path, stage: str) -> None:
    chain = Chain(stage, tmp_path, finished, seed=0)
    for kill in POINTS[stage]:
        assert chain.run(kill), f"{kill} did not come"
    moments = random.Random(stage)
    chain.run(Kill(moments.uniform(0, 5), moments.random() < 0.5))
    chain.run()
    assert chain.over
