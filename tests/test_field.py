"""Tests of faults that users of such programs met: each number of descriptors, setting, path, locale or signal."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from helpers.scripts import LIMIT, ROOT, SEARCH, STAGES, command, environment, full_disk, limit, run_script, snapshot
from helpers.settings import obs_settings
from test_batches import episodes, write
from test_stages import wait_for

import model
from display.overlay import HEIGHT, WIDTH
from display.play import COUNTDOWN
from display.video import FPS, open_video
from pipeline.batches import write_batch
from pipeline.errors import UserError
from pipeline.files import check_folder, file_hash, write_json
from pipeline.sizes import CAR

GENERATE, VAE, SERIES = "01_generate_data.py", "02_train_vae.py", "03_generate_rnn_data.py"
RNN, CONTROLLER, MODEL = "04_train_rnn.py", "05_train_controller.py", "model.py"
RANDOM = "experiments/baselines/random_car_racing.py"
Copy = Callable[..., Path]


def test_any_number_of_batches_fits_into_128_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for b in range(50):  # four arrays each
        write(b, count=1, env="car_racing")
    with limit(resource.RLIMIT_NOFILE, 128):
        run_script(tmp_path, VAE, "--new_model --steps 1 --batch_size 20")
        run_script(tmp_path, SERIES)
        run_script(tmp_path, RNN, "--new_model --steps 1 --batch_size 4")


# Each variable that docs/determinism.md lists, with a value that changes numbers or stops a script if it is obeyed.
HOSTILE = {
    **{"KERAS_BACKEND": "jax", "KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1", "KERAS_NNX_ENABLED": "1"},
    **{
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
        "TF2_BEHAVIOR": "0",
    },
    **{"TF_NUM_INTRAOP_THREADS": "5", "TF_NUM_INTEROP_THREADS": "1", "TF_SET_ONEDNN_FPMATH_MODE": "BF16"},
    **{"ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "DNNL_MAX_CPU_ISA": "SSE41", "TF_DETERMINISTIC_OPS": "0"},
    **{
        "XLA_FLAGS": "--no_such_flag",
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "3",
        "OPENBLAS_CORETYPE": "Prescott",
    },
    **{"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX2 FMA3", "OPENCV_IPP": "disabled", "OPENCV_CPU_DISABLE": "AVX2,FP16"},
    **{"OPENCV_FOR_THREADS_NUM": "3"},
    **{"MPLBACKEND": "module://matplotlib_inline.backend_inline", "TF_USE_LEGACY_KERAS": "1"},
    **{"PYTHONHASHSEED": "3", "PYTHONWARNINGS": "error"},
}
KERAS_JSON = {"image_data_format": "channels_first", "epsilon": 0.1, "backend": "torch"}


def test_settings_of_other_work_change_no_number(finished: Path, copy_of: Copy) -> None:
    """Not those of keras.json and matplotlibrc either, in a home or in the folder of the run."""
    folder = copy_of("data")
    (folder / ".keras").mkdir()
    (folder / ".keras" / "keras.json").write_text(json.dumps(KERAS_JSON | {"floatx": "float16"}))
    run_script(folder, VAE, STAGES[VAE], HOME=str(folder), **HOSTILE)
    assert file_hash(folder / "vae" / "weights.h5") == file_hash(finished / "vae" / "weights.h5")

    for name in ("ours", "theirs"):
        (folder / name).mkdir()
    (folder / "keras.json").write_text(json.dumps(KERAS_JSON | {"floatx": "float64"}))
    (folder / "theirs" / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: red\nsavefig.dpi: 30\n")
    hostile = HOSTILE | {"KERAS_HOME": str(folder), "MATPLOTLIBRC": str(folder / "theirs")}
    for name, arguments in (
        (MODEL, "--final_mode --num_episode 1 --max_length 60"),
        (RANDOM, "--num_episode 1 --max_length 60"),
    ):
        ours = run_script(folder / "ours", name, arguments)
        assert run_script(folder / "theirs", name, arguments, **hostile).stdout == ours.stdout
    (folder / "theirs" / "matplotlibrc").unlink()
    assert snapshot(folder / "theirs") == snapshot(folder / "ours")


def test_a_file_system_without_locks(finished: Path, copy_of: Copy) -> None:
    """V is written by 02, and read by model.py with M."""
    folder = copy_of("data", "rnn/weights.h5", "controller")
    without_locks = "tests/helpers/without_locks.py"
    assert "best weights in vae/weights.h5" in run_script(folder, without_locks, ROOT / VAE, STAGES[VAE]).stdout
    best = f"car_racing --filename controller/{SEARCH}.best.json"
    assert "in 5 steps" in run_script(folder, without_locks, ROOT / MODEL, best, "--max_length 5").stdout
    assert file_hash(folder / "vae" / "weights.h5") == file_hash(finished / "vae" / "weights.h5")


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    """As after an unmount. The message names the link and its target."""
    for name in ("data", "vae", "log"):
        (tmp_path / name).symlink_to(f"/gone/{name}")
    done = run_script(tmp_path, GENERATE, STAGES[GENERATE], ok=False)
    assert done.returncode == 2
    assert "error: cannot write into data/: data is a link to /gone/data, which is not there" in done.stderr
    for write_into in (lambda path: check_folder(path.parent), lambda path: write_json(path, {})):
        with pytest.raises(UserError, match=r"is a link to /gone/\w+, which is not there"):
            write_into(tmp_path / "vae" / "inner" / "weights.json")


def test_paths_with_a_space(finished: Path, tmp_path: Path) -> None:
    """Of the project and of the run, through mpirun too; with PYTHONSAFEPATH, which hides the folder of a script."""
    (tmp_path / "a project").symlink_to(ROOT)
    shutil.copytree(finished, tmp_path / "a run")
    arguments = STAGES[CONTROLLER].replace("--generations 3", "--generations 4")
    project = {"root": tmp_path / "a project", "PYTHONSAFEPATH": "1"}
    assert "resuming" in run_script(tmp_path / "a run", CONTROLLER, arguments, **project).stdout


def test_a_controller_in_the_working_directory(finished: Path) -> None:
    """V and M are found one folder up, as if the command was started there."""
    file, arguments = f"{SEARCH}.best.json", "--max_length 5"
    there = run_script(finished, MODEL, f"--filename controller/{file} {arguments}").stdout
    assert run_script(finished / "controller", MODEL, f"--filename {file} {arguments}").stdout == there


@contextmanager
def window_that_is_closed(flag: str, remedy: str) -> Iterator[Callable[[np.ndarray], frozenset[str]]]:
    """In place of a window: a person presses the gas, and closes it after the countdown and five images."""
    images = iter(range(COUNTDOWN * FPS + 5))

    def show(image: np.ndarray) -> frozenset[str]:
        if next(images, None) is None:
            raise KeyboardInterrupt
        return frozenset({"up"})

    yield show


@pytest.mark.usefixtures("one_thread")
def test_playing_and_dreaming_on_a_fresh_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The pretrained V and M are used; without a display a person is not sent to a virtual one."""
    done = run_script(tmp_path, MODEL, "--play --dream_mode", ok=False, DISPLAY=None, WAYLAND_DISPLAY=None)
    assert done.returncode == 2
    assert "--play: no window can be opened" in done.stderr and "driving needs a screen" in done.stderr
    assert "xvfb" not in done.stderr
    monkeypatch.chdir(tmp_path)
    env = gym.make("simulation:WorldModels/CarRacingDream-v0")
    z, _ = env.reset(seed=0)
    assert z.shape == (CAR.z,)
    monkeypatch.setattr(sys, "argv", ["model.py", "--play", "--dream_mode", "--max_length", "3"])
    monkeypatch.setattr(model, "open_window", window_that_is_closed)
    model.main()
    played = capsys.readouterr().out
    assert "no trained agent in this folder: using " in played
    assert "in 3 steps" in played


def test_every_locale(tmp_path: Path) -> None:
    """Files are UTF-8, and what a terminal cannot show is replaced: here everything beyond ASCII."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    out = run_script(tmp_path, RANDOM, "--num_episode 2 --max_length 5", **ascii_only).stdout
    assert " ? " in out.splitlines()[-1]  # mean ± standard deviation
    program = "from experiments.html_report.page import Header, write_report\nfrom pathlib import Path\nimport locale\n"
    program += "assert locale.getpreferredencoding() != 'UTF-8'\n"
    program += "write_report(Header('832.9 \\xb1 148.6'), [], Path('index.html'))"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment(**ascii_only), check=True)
    assert "832.9 ± 148.6" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_without_docstrings_and_asserts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """python -OO; what guards data is no assert."""
    run_script(tmp_path, GENERATE, STAGES[GENERATE], PYTHONOPTIMIZE="2")
    for name in (VAE, CONTROLLER, MODEL):
        assert "--" in run_script(tmp_path, name, "--help", PYTHONOPTIMIZE="2").stdout
    done = run_script(tmp_path, CONTROLLER, STAGES[CONTROLLER], ok=False, PYTHONOPTIMIZE="2")
    assert "error: --optimizer cma: pycma needs docstrings: start without -OO" in done.stderr
    monkeypatch.chdir(tmp_path)
    row = next(episodes("obs", 1, 5))
    for rows in ([row | {"reward_data": row["reward_data"][:4]}], [row, row]):
        with pytest.raises(ValueError, match="episode"):
            write_batch("obs", 9, 1, 5, rows, obs_settings())


def closed(numbers: tuple[int, ...]) -> Callable[[], None]:
    """For subprocess: closes streams before the program starts."""
    return lambda: [os.close(number) for number in numbers]


def test_closed_and_broken_streams(finished: Path, copy_of: Copy) -> None:
    folder = copy_of("data")
    arguments = command(VAE, STAGES[VAE])
    done = subprocess.run(arguments, cwd=folder, env=environment(), preexec_fn=closed((0, 1, 2)))
    assert done.returncode == 0
    assert file_hash(folder / "vae" / "weights.h5") == file_hash(finished / "vae" / "weights.h5")
    command_01 = command(
        GENERATE, "car_racing --total_episodes 8 --batch_size 2 --time_steps 40 --num_worker 2 --start_batch 9"
    )
    reader, writer = os.pipe()
    os.close(reader)  # as of `| head` when it has ended
    for streams in ({"stdout": writer}, {"stdout": writer, "stderr": writer}):
        err = subprocess.run(command_01, cwd=folder, env=environment(), **{"stderr": subprocess.PIPE} | streams)
        assert err.returncode == 128 + signal.SIGPIPE
        assert b"Traceback" not in (err.stderr or b"")
        assert not list(folder.rglob(".part-*"))
    os.close(writer)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_leaves_nothing_unfinished(tmp_path: Path, number: signal.Signals) -> None:
    """It sends SIGHUP to all processes of a command, as a batch system sends SIGTERM."""
    process = subprocess.Popen(
        command(GENERATE, "car_racing --total_episodes 1000 --batch_size 500 --time_steps 10 --num_worker 2"),
        **{"cwd": tmp_path, "env": environment(), "start_new_session": True, "stderr": subprocess.PIPE},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # under nohup the tests ignore SIGHUP, and it too
    )
    wait_for(lambda: len(list(tmp_path.rglob(".part-*"))) == 8)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number
    assert err.decode().splitlines()[-1].endswith("stopped; run the same command again")
    assert b"Traceback" not in err
    assert not list(tmp_path.rglob(".part-*"))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (b"training frames of", "nothing is saved yet; run the same command, with --new_model, to start again"),
        (b"step 1, epoch 0.10: ", "run the same command, without --new_model, to resume"),
    ],
)
def test_ctrl_c_says_how_to_go_on(copy_of: Copy, line: bytes, hint: str) -> None:
    """A log file has a line per checkpoint, as soon as it is saved."""
    process = subprocess.Popen(
        [*command(VAE, "--new_model --batch_size 20 --epochs 9999"), *("--checkpoint_steps", "1")],
        **{"cwd": copy_of("data"), "env": environment(PYTHONUNBUFFERED="" if line.startswith(b"step") else "1")},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
    )
    assert any(line in printed for printed in process.stdout)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + signal.SIGINT
    assert err.decode().splitlines()[-1].endswith(f"stopped; {hint}")
    assert b"Traceback" not in err


def test_a_video_on_a_full_disk(tmp_path: Path) -> None:
    with full_disk(10_000), pytest.raises(UserError) as error, open_video(tmp_path / "a.mp4") as show:
        for _ in range(500):
            show(np.random.default_rng(0).integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8))
    assert str(error.value).startswith(f"cannot write {tmp_path}/a.mp4: File too large (")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_the_address_space_is_named(copy_of: Copy) -> None:
    """Before TensorFlow loads: where the limit leaves too little, it ends the process by a signal."""
    folder = copy_of("data", "vae/weights.h5")
    with limit(resource.RLIMIT_AS, 800 * 10**6):
        done = run_script(folder, SERIES, ok=False)
    warning, error = done.stderr.splitlines()
    assert warning.startswith("`ulimit -v` allows this process 0.8 GB of addresses: where TensorFlow then aborts")
    assert "error: TensorFlow does not load (" in error
    assert done.returncode == 2
