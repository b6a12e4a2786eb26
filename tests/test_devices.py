"""Tests of 02 and 04 --distribute mirrored on two logical CPU devices, which compute as two GPUs would."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import arrays_of, log_of, run_script

ON_TWO = "tests/helpers/on_two_devices.py"
VAE, RNN = "02_train_vae.py", "04_train_rnn.py"
Copy = Callable[..., Path]
FOLDERS = {VAE: "vae", RNN: "rnn"}


def mirrored(folder: Path, name: str, *arguments: object) -> str:
    """Train on two devices; returns the output."""
    return run_script(folder, ON_TWO, name, "--distribute mirrored", *arguments).stdout


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        pytest.param(VAE, 21, id="02: 21 frames are 11 and 10"),
        pytest.param(RNN, 3, id="04: 3 episodes are 2 and 1"),
        pytest.param(RNN, 1, id="04: 1 episode leaves a device without"),
    ],
)
def test_two_devices_give_the_losses_of_one(copy_of: Copy, name: str, batch: int) -> None:
    """Up to rounding: noise by another number of rows, a mean of means or a clipping per device would differ more."""
    folder = copy_of("data", "vae/weights.h5")
    arguments = f"--new_model --steps 3 --batch_size {batch} --checkpoint_steps 1"
    run_script(folder, name, arguments)
    one = log_of(folder, FOLDERS[name])
    assert mirrored(folder, name, arguments).startswith("training on CPU:0, CPU:1\n")
    two = log_of(folder, FOLDERS[name])
    assert len(one) == len(two) == 3
    for row, other in zip(one, two, strict=True):
        for column, value in row.items():
            assert other[column] == pytest.approx(value, rel=2e-5), column
    assert not np.isclose(one[0]["loss"], one[1]["loss"], rtol=2e-3)  # the tolerance is far below a step


@pytest.mark.parametrize("name", [VAE, RNN])
def test_a_training_on_two_devices_resumes(copy_of: Copy, name: str) -> None:
    """It equals an uninterrupted one bit for bit, and can go on on one device."""
    folder, network = copy_of("data", "vae/weights.h5"), FOLDERS[name]
    fixed = "--batch_size 3 --checkpoint_steps 2"
    states = []
    for runs in (("--steps 4 --new_model",), ("--steps 2 --new_model", "--steps 4")):
        for run in runs:
            mirrored(folder, name, fixed, run)
        states.append((arrays_of(folder / network / "state.h5"), log_of(folder, network)))
    (whole, log), (resumed, other_log) = states
    assert log == other_log
    assert whole.keys() == resumed.keys()
    for key in whole:
        np.testing.assert_array_equal(whole[key], resumed[key])
    assert f"resuming {network}/state.h5 after 4 steps\n" in run_script(folder, name, fixed, "--steps 6").stdout
    assert len(log_of(folder, network)) == 3
