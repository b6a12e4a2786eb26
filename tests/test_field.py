"""Tests of faults that users of such programs met: each number of descriptors, setting, path, locale or signal."""

import resource
from pathlib import Path

import pytest
from helpers.scripts import limit, run_script
from test_batches import write

GENERATE, VAE, SERIES = "01_generate_data.py", "02_train_vae.py", "03_generate_rnn_data.py"
RNN, CONTROLLER, MODEL = "04_train_rnn.py", "05_train_controller.py", "model.py"


def test_any_number_of_batches_fits_into_128_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for b in range(130):
        write(b, count=1)
    with limit(resource.RLIMIT_NOFILE, 128):
        run_script(tmp_path, VAE, "--new_model --steps 1 --batch_size 20")
        run_script(tmp_path, SERIES)
        run_script(tmp_path, RNN, "--new_model --steps 1 --batch_size 4")
