"""Start-up time of every stage, and bytes per frame on disk.

    python experiments/benchmarks/start_and_size.py

Start-up time is measured from the command to the first line that reports work: the first batch, gradient step (with
its validation), generation or score. Each stage runs at a tiny size in a temporary folder, so that little else counts.
"""

import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from experiments import ROOT
from experiments.benchmarks import measure
from experiments.benchmarks.measure import Row, limit_row
from pipeline.errors import UserError

ROUNDS = 3
STAGES = {  # script -> arguments, beginning of the first line that reports work
    "01_generate_data.py": (
        "car_racing --total_episodes 4 --batch_size 4 --time_steps 50 --num_worker 1",
        "batches 0..0",
    ),
    "02_train_vae.py": ("--new_model --steps 1 --batch_size 20", "step 1, "),
    "03_generate_rnn_data.py": ("", "series of"),
    "04_train_rnn.py": ("--new_model --steps 1 --batch_size 2", "step 1, "),
    "05_train_controller.py": (
        "car_racing -n 2 -t 2 -e 1 --max_length 10 --subspace 4 --generations 1 --new_model",
        "car_racing (1,",
    ),
    "model.py": ("car_racing --generate_data_mode --max_length 10", "score "),
}
SCRIPTS = (
    *STAGES,
    "experiments/report.py",
    "experiments/baselines/dqn_car_racing.py",
    "experiments/baselines/ga_car_racing.py",
    "experiments/studies/compare.py",
)


def seconds_until(line: str, folder: Path, script: str, arguments: str) -> float:
    """Seconds until a script prints a line that begins with `line`; the script then runs to its end."""
    environment = measure.without_thread_settings()
    start = time.perf_counter()
    command = [sys.executable, "-u", str(ROOT / script), *arguments.split()]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None  # a pipe
        for printed in run.stdout:
            if printed.decode().startswith(line):
                seconds = time.perf_counter() - start
                run.communicate()
                return seconds
    raise UserError(f"{script} printed no line that begins with '{line}'")


def start_ups(folder: Path) -> list[Row]:
    rows = []
    for script, (arguments, line) in STAGES.items():
        values = []
        for _ in range(ROUNDS):
            if script in ("01_generate_data.py", "03_generate_rnn_data.py"):
                for path in (folder / "data").glob("obs_*" if script.startswith("01") else "rnn_*"):
                    path.unlink()
            values.append(seconds_until(line, folder, script, arguments))
        rows.append(limit_row(f"start of {script} to its first work", values, 6, " s"))
    helps = [[seconds_until("usage: ", folder, script, "--help") for _ in range(ROUNDS)] for script in SCRIPTS]
    return [*rows, limit_row("--help of the slowest script", max(helps, key=np.median), 0.5, " s")]


def size_of_a_frame(folder: Path) -> tuple[Row, str]:
    """Bytes per frame beside those of float32; and the savings and cost of compression by zlib."""
    frames = np.load(folder / "data" / "obs_data_0.npy", mmap_mode="r")
    count = frames.shape[0] * frames.shape[1]
    ours = os.path.getsize(folder / "data" / "obs_data_0.npy") / count
    theirs = 4 * np.prod(config.FRAME_SHAPE)
    ratio = ours / theirs
    row = Row(
        *("bytes per frame on disk", f"{ours:,.0f}", "the tutorial's float32", f"{theirs:,.0f}"),
        *(ratio, ratio, ratio, 0.251),  # the file's header counts too
        is_cost=True,
    )
    sample = [frame.tobytes() for frame in frames[:, ::5].reshape(-1, *config.FRAME_SHAPE)]
    start = time.process_time()
    packed = [zlib.compress(frame, 1) for frame in sample]
    packing = (time.process_time() - start) / len(sample)
    start = time.process_time()
    for frame in packed:
        zlib.decompress(frame)
    unpacking = (time.process_time() - start) / len(sample)
    share = sum(map(len, packed)) / sum(map(len, sample))
    note = (
        f"Lossless compression (zlib, level 1) would reduce frames to {100 * share:.0f} % of their bytes. It would cost"
        f" {1e6 * packing:.0f} µs per frame to write and {1e6 * unpacking:.0f} µs to read, which is"
        f" {1e5 * unpacking:.1f} ms of a gradient step of 100 frames, and frames could not be memory-mapped."
    )
    return row, note


def main() -> None:
    args = measure.parse_args(__doc__)
    with tempfile.TemporaryDirectory() as name:
        rows = start_ups(Path(name))
        row, note = size_of_a_frame(Path(name))
    measure.report(args, [row, *rows], [note])


if __name__ == "__main__":
    cli.run(main, resumable=False)
