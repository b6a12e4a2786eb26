"""What a person waits for before anything happens, and what a frame takes on disk.

    python experiments/benchmarks/start_and_size.py

Start-up is from the command to the first line that says that something was done: the first batch, gradient step (and
its validation), generation, score. A tiny run of each stage, in a folder of its own: little but the start is in it.
"""

import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

import config
from experiments.benchmarks import measure
from experiments.benchmarks.measure import ROOT, Row

ROUNDS = 3
STAGES = {  # script: its arguments, and how the line begins that tells of its first work
    "01_generate_data.py": (
        "car_racing --total_episodes 4 --batch_size 4 --time_steps 50 --num_worker 1",
        "batches 0..0",
    ),
    "02_train_vae.py": ("--new_model --steps 1 --batch_size 20", "1/1 - "),
    "03_generate_rnn_data.py": ("", "series of"),
    "04_train_rnn.py": ("--new_model --steps 1 --batch_size 2", "1/1 - "),
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
    """How long it takes a script to print a line that begins so; it then runs to its end."""
    environment = {name: value for name, value in os.environ.items() if name not in measure.ONE_THREAD}
    start = time.perf_counter()
    command = [sys.executable, "-u", ROOT / script, *arguments.split()]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        for said in run.stdout:
            if said.decode().startswith(line):
                seconds = time.perf_counter() - start
                run.communicate()
                return seconds
    raise RuntimeError(f"{script} never said '{line}'")


def at_most(work: str, values: list[float], least: float) -> Row:
    """A row for seconds, which have a limit and nobody to compare with."""
    numbers = (float(np.median(values)), min(values), max(values))
    return Row(work, f"{numbers[0]:.2f} s", "", "", *numbers, least, most=True, unit=" s")


def start_ups(folder: Path) -> list[Row]:
    rows = []
    for script, (arguments, line) in STAGES.items():
        values = []
        for _ in range(ROUNDS):
            if script in ("01_generate_data.py", "03_generate_rnn_data.py"):
                for path in (folder / "data").glob("obs_*" if script.startswith("01") else "rnn_*"):
                    path.unlink()
            values.append(seconds_until(line, folder, script, arguments))
        rows.append(at_most(f"start of {script} to its first work", values, 6))
    helps = [[seconds_until("usage: ", folder, script, "--help") for _ in range(ROUNDS)] for script in SCRIPTS]
    return [*rows, at_most("--help of the slowest script", max(helps, key=np.median), 0.5)]


def size_of_a_frame(folder: Path) -> tuple[Row, str]:
    """Bytes a frame as they are, beside float32; and what zlib would save and cost."""
    frames = np.load(folder / "data" / "obs_data_0.npy", mmap_mode="r")
    count = frames.shape[0] * frames.shape[1]
    ours = os.path.getsize(folder / "data" / "obs_data_0.npy") / count
    theirs = 4 * np.prod(config.FRAME_SHAPE)
    ratio = ours / theirs
    row = Row(
        *("bytes on disk a frame", f"{ours:,.0f}", "the tutorial's float32", f"{theirs:,.0f}"),
        *(ratio, ratio, ratio, 0.251),  # the header of the file is in it
        most=True,
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
        f"Lossless compression (zlib, level 1) would leave {100 * share:.0f} % of the bytes, and cost"
        f" {1e6 * packing:.0f} µs a frame to write and {1e6 * unpacking:.0f} µs to read,"
        f" {100 * unpacking * 1000:.1f} ms of a gradient step of 100 frames; they would be no memory map any more."
    )
    return row, note


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = start_ups(Path(name))
        row, note = size_of_a_frame(Path(name))
    measure.report([row, *rows], [note])


if __name__ == "__main__":
    main()
