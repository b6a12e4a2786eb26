"""What a person waits for before anything happens, and what a frame takes on disk.

    python benchmarks/start_and_size.py

Start-up is from the command to the first work: a tiny run of each stage, in a folder of its own, less the work itself
(some frames, one gradient step, one generation of four short episodes), which is therefore counted in.
"""

import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import measure
import numpy as np
from measure import ROOT, Row

import config

ROUNDS = 3
STAGES = {
    "01_generate_data.py": "car_racing --total_episodes 4 --batch_size 4 --time_steps 50 --num_worker 1",
    "02_train_vae.py": "--new_model --steps 1 --batch_size 20",
    "03_generate_rnn_data.py": "",
    "04_train_rnn.py": "--new_model --steps 1 --batch_size 2",
    "05_train_controller.py": "car_racing -n 2 -t 2 -e 1 --max_length 10 --subspace 4 --generations 1 --new_model",
    "model.py": "car_racing --generate_data_mode --max_length 10",
}


def seconds(folder: Path, script: str, arguments: str) -> float:
    """How long a script takes from start to end."""
    environment = {name: value for name, value in os.environ.items() if name not in measure.ONE_THREAD}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, ROOT / script, *arguments.split()],
        **{"cwd": folder, "env": environment, "check": True, "capture_output": True},
    )
    return time.perf_counter() - start


def at_most(work: str, values: list[float], least: float) -> Row:
    """A row for seconds, which have a limit and nobody to compare with."""
    numbers = (float(np.median(values)), min(values), max(values))
    return Row(work, f"{numbers[0]:.2f} s", "", "", *numbers, least, most=True, unit=" s")


def start_ups(folder: Path) -> list[Row]:
    rows, helps = [], []
    for script, arguments in STAGES.items():
        values = []
        for i in range(ROUNDS):
            if script in ("01_generate_data.py", "03_generate_rnn_data.py"):
                for path in (folder / "data").glob("obs_*" if script.startswith("01") else "rnn_*"):
                    path.unlink()
            values.append(seconds(folder, script, arguments))
            helps += [seconds(folder, script, "--help")] if i else []
        rows.append(at_most(f"start-up and first work of {script}", values, 6))
    return [*rows, at_most("--help of any script", helps, 0.5)]


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
        f" {0.1 * unpacking * 1000:.0f} ms of a gradient step of 100 frames; they would be no memory map any more."
    )
    return row, note


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = start_ups(Path(name))
        row, note = size_of_a_frame(Path(name))
    measure.report([row, *rows], [note])


if __name__ == "__main__":
    main()
