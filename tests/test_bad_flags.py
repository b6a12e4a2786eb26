"""Tests of invalid flag values: one error that names the flag, status 2, before anything is loaded or written."""

import importlib
import sys
from pathlib import Path

import pytest

NO_NUMBER = ("", "many", "nan", "inf", "1e3", "0x10", "1.5", "--", "1 2", "9" * 5000)
BAD_COUNT = (*NO_NUMBER, "-1", str(2**31), "9" * 30)
BAD_SIZE = (*BAD_COUNT, "0")
BAD_LENGTH = (*(text for text in BAD_SIZE if text != "-1"), "-2")  # -1 is the tutorial's default
BAD_FLOAT = ("", "wide", "nan", "inf", "-inf", "1e999", "0", "-0.0", "-1", "0x10", "1,5")
BAD_SEED = (*BAD_COUNT, str(2**20))
BAD_TRACKS = (*BAD_SIZE, str(2**16 + 1))
BAD_SHARE = ("", "-0.1", "1.1", "nan", "inf", "half")
BAD_CHOICE = ("", "2", "-1", "yes", "True")

GENERATE, VAE, SERIES, RNN = "01_generate_data", "02_train_vae", "03_generate_rnn_data", "04_train_rnn"
CONTROLLER, MODEL, REPORT = "05_train_controller", "model", "experiments.report"
FIRST = {
    **{GENERATE: ["car_racing"], CONTROLLER: ["car_racing"]},
    **{MODEL: ["car_racing", "--filename", "a.json"], REPORT: ["all", "car_racing", "--filename", "a.json"]},
}
BATCHES = {"--start_batch": BAD_COUNT, "--max_batch": BAD_COUNT}
TRAINING = BATCHES | {"--N": BAD_SIZE, "--epochs": BAD_SIZE, "--steps": BAD_SIZE, "--batch_size": BAD_SIZE}
TRAINING |= {"--checkpoint_steps": BAD_SIZE}
Q_LEARNING = {"--episodes": BAD_SIZE, "--eval_steps": BAD_SIZE, "--eval_episode": BAD_TRACKS, "--seed": BAD_SEED}
Q_LEARNING |= {"--num_episode": BAD_TRACKS}
FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    GENERATE: {
        **{"--total_episodes": BAD_SIZE, "--start_batch": (*BAD_COUNT, str(2**16)), "--time_steps": (*BAD_SIZE, "1")},
        **{"--batch_size": (*BAD_SIZE, str(2**16 + 1)), "--action_refresh_rate": BAD_SIZE, "--num_worker": BAD_SIZE},
        **{"--render": BAD_CHOICE, "--seed": BAD_SEED, "--exploration": BAD_SHARE},
    },
    VAE: TRAINING | {"--seed": BAD_SEED, "--time_steps": BAD_SIZE},
    SERIES: BATCHES | {"--N": BAD_SIZE, "--time_steps": BAD_SIZE},
    RNN: TRAINING | {"--seed": BAD_SEED},
    CONTROLLER: {
        **{"--optimizer": ("", "sgd", "CMA"), "--num_worker": (*BAD_SIZE, str(2**14 + 1))},
        **{"--num_worker_trial": (*BAD_SIZE, str(2**12 + 1)), "--num_episode": BAD_TRACKS},
        **{"--max_length": BAD_LENGTH, "--eval_steps": BAD_SIZE, "--eval_episode": BAD_TRACKS},
        **{"--antithetic": (*BAD_CHOICE, "0"), "--seed": BAD_SEED},
        **{"--generations": BAD_SIZE, "--max_steps_without_progress": BAD_COUNT, "--subspace": (*BAD_COUNT, "288")},
        **{"--sigma_init": BAD_FLOAT, "--sigma_decay": BAD_FLOAT, "--cap_time": BAD_CHOICE},
        **{"--retrain": BAD_CHOICE, "--seed_start": BAD_SEED, "--dream_mode": BAD_CHOICE, "--temperature": BAD_FLOAT},
        **{
            "--dream_length": BAD_SIZE,
            "--z_only": BAD_CHOICE,
            "--sample_z": BAD_CHOICE,
            "--previous_action": BAD_CHOICE,
        },
    },
    MODEL: {
        **{"--num_episode": BAD_TRACKS, "--max_length": BAD_LENGTH, "--seed": BAD_SEED},
        **{"--dream_mode": BAD_CHOICE, "--temperature": BAD_FLOAT},
    },
    REPORT: {"--num_episode": BAD_TRACKS, "--seed": BAD_SEED},
    "experiments.baselines.random_car_racing": {
        "--num_episode": BAD_TRACKS,
        "--max_length": BAD_SIZE,
        "--render": BAD_CHOICE,
        "--seed": BAD_SEED,
    },
    "experiments.baselines.dqn_cartpole": Q_LEARNING,
    "experiments.baselines.dqn_car_racing": Q_LEARNING | {"--max_length": BAD_SIZE},
    "experiments.baselines.dqn_snake": Q_LEARNING,
    "experiments.baselines.ga_car_racing": {
        **{"--num_worker": BAD_SIZE, "--generations": BAD_SIZE, "--population": (*BAD_TRACKS, "7")},
        **{
            "--episodes_per_candidate": BAD_TRACKS,
            "--max_length": BAD_SIZE,
            "--max_steps_without_progress": BAD_COUNT,
            "--crossover": BAD_SHARE,
        },
        **{"--mutation": BAD_SHARE, "--sigma": BAD_FLOAT, "--eval_steps": BAD_SIZE, "--eval_episode": BAD_TRACKS},
        **{"--seed": BAD_SEED, "--num_episode": BAD_TRACKS},
    },
}


@pytest.mark.parametrize(("stage", "flag"), [(stage, flag) for stage in FLAGS for flag in FLAGS[stage]])
def test_a_value_that_makes_no_sense(
    stage: str,
    flag: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(stage)
    for value in FLAGS[stage][flag]:
        monkeypatch.setattr(sys, "argv", [f"{stage}.py", *FIRST.get(stage, []), f"{flag}={value}"])
        with pytest.raises(SystemExit) as end:
            module.parse_args()
        assert end.value.code == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert len(errors) == 1, value
        assert flag in errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", FLAGS)
def test_flags_without_values_and_flags_that_are_none(
    stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    module = importlib.import_module(stage)
    for words in ([next(iter(FLAGS[stage]))], ["--no_such_flag"], ["--no_such_flag=1"], ["-Z"], ["a", "b"]):
        monkeypatch.setattr(sys, "argv", [f"{stage}.py", *FIRST.get(stage, []), *words])
        with pytest.raises(SystemExit) as end:
            module.parse_args()
        assert end.value.code == 2
        assert capsys.readouterr().err.count("error: ") == 1


# What the tutorial's and the book's commands may say, and what it means here.
TUTORIAL = (
    (GENERATE, "car_racing --render", {"render": 1}),
    (VAE, "--N 10000 --time_steps 300 --epochs 10", {"N": 10000, "time_steps": 300}),
    (SERIES, "--N 10000 --time_steps 300", {"N": 10000, "time_steps": 300}),
    (CONTROLLER, "car_racing --antithetic 1 --max_length -1 --seed 7", {"max_length": 1000, "seed_start": 7}),
    (CONTROLLER, "car_racing --antithetic --cap_time --retrain --dream_mode", {"cap_time": 1, "retrain": 1}),
    (MODEL, "car_racing --filename a.json --max_length -1", {"max_length": 1000}),
    ("experiments.baselines.random_car_racing", "--render", {"render": 1}),
)


@pytest.mark.parametrize(("stage", "words", "values"), TUTORIAL)
def test_flags_of_the_tutorial(stage: str, words: str, values: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{stage}.py", *words.split()])
    assert vars(importlib.import_module(stage).parse_args()).items() >= values.items()
