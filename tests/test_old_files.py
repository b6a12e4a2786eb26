"""Tests that files of 0.1.0 (revision d40e1d3) load, and that controllers are read in the order they were written in.

tests/fixtures/v0.1.0 holds one small file of each kind; the weights and states of V and M are zeros.
"""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import ROOT, run_script
from helpers.settings import search_settings

from controller import arch
from controller import files as controller_files
from controller.resume import initial_weights
from controller.saved_search import load_search
from controller.search import ControllerSearch
from controller.settings import SearchSettings
from pipeline.batches import open_batch, open_batches
from pipeline.errors import UserError
from pipeline.settings import read_settings

OLD = ROOT / "tests" / "fixtures" / "v0.1.0"
NAME = "car_racing.cma.1.4"
TUTORIAL = np.arange(867) / 1000  # in a file: W (288, 3) row by row, then b


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the old files."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_batches_and_initial_states() -> None:
    assert open_batch("obs", 0)["obs_data"].shape == (2, 3, 64, 64, 3)
    [series] = open_batches("rnn")
    assert series["rnn_input"].shape == (2, 2, 36)
    assert np.load("data/initial_z.npz")["mu"].shape == (2, 32)


@pytest.mark.usefixtures("one_thread")
def test_weights() -> None:
    from rnn.arch import RNN
    from vae.arch import VAE

    vae = VAE()
    digest = vae.load(Path("vae/weights.h5"))
    RNN().load(Path("rnn/weights.h5"), digest)
    assert (vae.decode(np.ones((1, 32), np.float32)) == 128).all()  # sigmoid(0): all weights are zeros


@pytest.mark.parametrize(
    ("stage", "sizes", "network"),
    [("02_train_vae.py", "--epochs 1 --batch_size 2", "vae"), ("04_train_rnn.py", "--steps 1 --batch_size 1", "rnn")],
)
def test_training_states_resume(here: Path, stage: str, sizes: str, network: str) -> None:
    """Their best weights stay until the first checkpoint: they were validated on other data."""
    weights = (here / network / "weights.h5").read_bytes()
    printed = run_script(here, stage, sizes).stdout
    steps = int(re.search(f"resuming {network}/state.h5 after (\\d+) steps", printed)[1])
    assert f"{network}/ is trained, {steps} steps" in printed
    assert (here / network / "weights.h5").read_bytes() == weights
    printed = run_script(here, stage, sizes, f"--epochs 9 --steps {steps + 1}").stdout
    assert f"\nstep {steps + 1}, epoch {steps + 1}.00: " in printed
    assert ", the best so far\n" in printed
    [row] = csv.DictReader((here / network / "log.csv").read_text().splitlines())
    assert int(row["step"]) == steps + 1


def saved_best(path: Path) -> np.ndarray:
    """The best evaluated mean (867,) of a saved search."""
    arrays = load_search(path).coordinates
    best: np.ndarray = arrays["w0"] + arrays["T"] @ arrays["best_u"]
    return best


def test_a_search_with_parts_that_are_gone_is_refused_and_its_best_mean_starts_another() -> None:
    path = Path(f"controller/{NAME}.es.npz")
    with pytest.raises(UserError, match=f"{path} was made with joint_steps, which this version no longer has: --new_m"):
        ControllerSearch.load(path)
    copy = Path(shutil.copy(path, "earlier.es.npz"))
    saved = load_search(path)
    networks = {f"{network}_hash": saved.settings[network] for network in ("vae", "rnn")}
    weights = initial_weights(copy, NAME, search_settings(**networks), transfer=lambda *_: np.zeros(0))
    np.testing.assert_array_equal(weights, saved_best(path))


def test_settings_that_were_renamed_keep_their_values() -> None:
    saved = load_search(Path(f"controller/{NAME}.es.npz")).settings
    settings = read_settings(SearchSettings, saved, "a log", "")
    assert (settings.max_steps_without_progress, settings.z_only) == (100, False)
    assert (settings.vae_hash, settings.rnn_hash) == (saved["vae"], saved["rnn"])


def test_a_controller_without_a_layout_is_read_in_its_own_order() -> None:
    path = Path(f"controller/{NAME}.best.json")
    written = json.loads(path.read_text())
    weights, score, metadata = controller_files.load(path)
    assert weights.tolist() == written[0]  # W (3, 288) row by row, as version 0.1.0 wrote it
    assert (score, metadata) == (written[1], written[2])
    np.testing.assert_array_equal(weights, saved_best(Path(f"controller/{NAME}.es.npz")))


def test_a_file_of_two_elements_is_read_as_the_tutorials(capsys: pytest.CaptureFixture) -> None:
    """[1] is the weight of z[0] on the gas in the tutorial, and would be that of z[1] on the steering here."""
    numbers = np.zeros(867)
    numbers[1] = 5.0
    Path("a.json").write_text(json.dumps([numbers.tolist(), 900.0]))
    W, b = arch.unpack(controller_files.load(Path("a.json"))[0])
    assert (np.argwhere(W) == [[1, 0]]).all()
    assert W[1, 0] == 5
    assert not b.any()
    assert "read in the tutorial's layout" in capsys.readouterr().out


def test_every_layout_by_a_second_formula() -> None:
    for layout, weight, bias in (
        ("tutorial", lambda feature, action: 3 * feature + action, lambda action: 864 + action),
        ("estool", lambda feature, action: 3 + 3 * feature + action, lambda action: action),
        ("actions", lambda feature, action: 288 * action + feature, lambda action: 864 + action),
    ):
        Path("a.json").write_text(json.dumps([TUTORIAL.tolist(), 900.0]))
        W, b = arch.unpack(controller_files.load(Path("a.json"), layout)[0])
        expected = [[TUTORIAL[weight(feature, action)] for feature in range(288)] for action in range(3)]
        np.testing.assert_array_equal(W, expected)
        np.testing.assert_array_equal(b, [TUTORIAL[bias(action)] for action in range(3)])


def test_an_unknown_layout_is_refused_in_one_line() -> None:
    Path("a.json").write_text(json.dumps([TUTORIAL.tolist(), 900.0, {"layout": "rows"}]))
    with pytest.raises(UserError, match="has the unknown layout 'rows': use one of tutorial, estool, actions"):
        controller_files.load(Path("a.json"))
