"""Fault-injection tests: three kills of each stage, two of them at critical points; `make faults` makes hundreds."""

import random
from pathlib import Path

import pytest
from harness import InterruptedStage, Kill
from helpers.scripts import SEARCH

ALL, ONE = True, False  # processes that are killed
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
def test_killed_stage_resumes_to_the_uninterrupted_result(finished: Path, tmp_path: Path, stage: str) -> None:
    interrupted = InterruptedStage(stage, tmp_path, finished, seed=0)
    for kill in POINTS[stage]:
        assert interrupted.run(kill), f"{kill} was not reached"
    rng = random.Random(stage)
    interrupted.run(Kill(rng.uniform(0, 5), rng.random() < 0.5))
    interrupted.run()
    assert interrupted.is_complete
