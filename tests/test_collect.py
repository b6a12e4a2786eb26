"""Tests of stage 01 with a trained agent (--controller), as in the paper's iterative training procedure."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import SEARCH, run_script, snapshot
from helpers.threads import drive_and_count

from simulation import workers

GENERATE = "01_generate_data.py"
ARGUMENTS = (
    f"car_racing --total_episodes 20 --batch_size 18 --start_batch 2 --controller controller/{SEARCH}.best.json"
    " --time_steps 40 --seed 3"
)
NAMES = ("obs", "action", "reward", "done")


@pytest.fixture
def folder(copy_of: Callable[..., Path]) -> Path:
    return copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller")


def batch(folder: Path, b: int) -> list[np.ndarray]:
    return [np.load(folder / "data" / f"{name}_data_{b}.npy") for name in NAMES]


def test_batches_do_not_depend_on_the_number_of_workers(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """18 episodes are more than there are slots; frames, actions and rewards belong together."""
    run_script(folder, GENERATE, ARGUMENTS, "--num_worker 1")
    one = snapshot(folder / "data")
    for path in (folder / "data").iterdir():
        path.unlink()
    run_script(folder, GENERATE, ARGUMENTS, "--num_worker 2")
    assert snapshot(folder / "data") == one
    frames, _, rewards, done = batch(folder, 2)
    assert frames.shape == (18, 40, 64, 64, 3)
    assert len(np.unique(frames[:, 0].reshape(18, -1), axis=0)) == 18
    assert not done.any()
    assert (rewards[:, 0] == 0).all()
    assert (rewards[:, 1] > 0).all()  # the first tile
    assert (frames[:, 1:] != frames[:, :-1]).any(axis=(2, 3, 4)).all()


def test_a_worker_computes_on_one_thread(capfd: pytest.CaptureFixture[str]) -> None:
    """The second thread waits for the parent's end. OpenCV and OpenBLAS would add one for each core."""
    workers.run(drive_and_count, [5], [1], num_worker=1, unit="episode")
    assert capfd.readouterr().out == "2 threads\n"


def test_exploration_is_a_share_of_the_actions(folder: Path) -> None:
    """The agent's actions change at every step; the exploration policy holds an action for five."""
    changes = []
    for number, exploration in enumerate(("0", "1")):
        arguments = ARGUMENTS.replace("--total_episodes 20", "--total_episodes 6").replace(
            "_batch 2", f"_batch {number}"
        )
        run_script(folder, GENERATE, arguments, f"--exploration {exploration} --num_worker 1")
        _, actions, _, _ = batch(folder, number)
        changes.append((actions[:, 1:39] != actions[:, :38]).any(axis=-1).mean())
    assert changes[0] == 1
    assert 0.2 < changes[1] < 0.9


def test_batch_of_another_controller_is_refused(folder: Path) -> None:
    """The batch of the same controller is kept; a controller of another VAE is refused."""
    arguments = ARGUMENTS.replace("--total_episodes 20", "--total_episodes 2")
    run_script(folder, GENERATE, arguments)
    assert "1 of 1 batches are complete and kept" in run_script(folder, GENERATE, arguments).stdout
    path = folder / f"controller/{SEARCH}.best.json"
    weights, score, metadata = json.loads(path.read_text())
    path.write_text(json.dumps([weights[::-1], score, metadata]))
    done = run_script(folder, GENERATE, arguments, ok=False)
    assert done.returncode == 2
    assert "batch 2 was made with controller = " in done.stderr
    path.write_text(json.dumps([weights, score, metadata | {"vae": "0" * 16}]))
    done = run_script(folder, GENERATE, arguments.replace("_batch 2", "_batch 3"), ok=False)
    assert done.returncode == 2
    assert "was trained with vae 0000000000000000" in done.stderr
    assert "Traceback" not in done.stderr
