"""Speed of stages 02 and 04 as a user runs them, beside their bare gradient steps and a plain matrix product.

    python experiments/benchmarks/stage_speed.py

Stages 01 to 03 make the data. 02 and 04 then train on it with their defaults, in processes of their own, for a few
checkpoints; see timed_stage.py for what is timed. The first interval reads its data from the disk, the others find it
in memory. The work of a gradient step is counted in multiply-adds, see network_speed.py.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

from experiments import ROOT
from experiments.benchmarks import measure
from experiments.benchmarks.measure import Row, cost_row, row
from experiments.benchmarks.network_speed import EPISODES, FRAMES, RNN_STEP, STEPS, VAE_STEP
from pipeline.files import read_json

RECORDED = 64  # episodes
SERIES = 2000  # episodes for 04, the tutorial's number: the recorded ones, repeated
TRAINED = {"02": 800, "04": 400}  # gradient steps; a log line comes after 200 and 100
STARTS = 3  # rounds
BOUNDS = {
    "02": "TensorFlow's convolutions, timed one by one, reach a third (the first, the last and the fourth) to nine"
    " tenths of the peak, forward and backward; their data does not fit the cache, and a pass over it costs as much as"
    " a small convolution",
    "04": "products of one time step, 25 × 256 by 256 × 1,024 numbers, reach nine tenths of the peak; gates and the"
    " forty passes of the losses cost as much time as all products",
}

BESIDE = (
    "a checkpoint, with its validation, takes 1.5 % of the steps before it; the rest is Keras' loop and the reading of"
    " batches, which share the cores with the step"
)
AT_START = "in 04 tracing takes 0.4 s, and the first step 0.8 s more than those after it"


def run_python(folder: Path, *arguments: str) -> None:
    """Run Python to its end, with the threads of a user's run."""
    subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=measure.without_thread_settings(),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def repeat_series(folder: Path) -> None:
    """Repeat the first rnn batch until there are SERIES episodes."""
    code = (
        "from pipeline.batches import KINDS, open_batch, write_batch\n"
        "batch = open_batch('rnn', 0)\n"
        "rows = [{name: batch[name][i] for name in KINDS['rnn']} for i in range(batch.episodes)]\n"
        f"for b in range(1, -(-{SERIES} // batch.episodes)):\n"
        "    write_batch('rnn', b, batch.episodes, batch.record.time_steps, rows, batch.record.settings)\n"
    )
    run_python(folder, "-c", code)


def times_of(folder: Path, cache: str, script: str, steps: int) -> dict[str, Any]:
    """Train for a number of steps; returns what timed_stage.py wrote."""
    code = "from experiments.benchmarks.timed_stage import run; run()"
    run_python(folder, "-c", code, "times.json", cache, script, "--new_model", "--steps", str(steps))
    times: dict[str, Any] = read_json(folder / "times.json")
    return times


def start_rows(folder: Path) -> list[Row]:
    """Seconds from the command to the end of the first gradient step, beside those of importing Keras alone."""
    seconds: dict[str, list[float]] = {"import keras": [], "02_train_vae.py": [], "04_train_rnn.py": []}
    other = folder / "other"  # 04 refuses the series if 02 trains another VAE beside them
    other.mkdir()
    (other / "data").symlink_to(folder / "data")
    for _ in range(STARTS + 1):
        for name, values in seconds.items():
            start = time.time()
            if name == "import keras":
                subprocess.run([sys.executable, "-c", name], check=True, stderr=subprocess.DEVNULL)
                values.append(time.time() - start)
            else:
                times = times_of(other if name.startswith("02") else folder, "warm", name, 2)  # 1 would validate too
                values.append(times["first_step"] - start)
    imports, *stages = (values[1:] for values in seconds.values())  # the first round warms the page cache
    return [
        cost_row(
            f"start of {stage} to its first gradient step",
            "`import keras`",
            ours,
            imports,
            "s",
            1.6,
            goal=1.2,
            bound=AT_START,
        )
        for stage, ours in zip(("02", "04"), stages, strict=True)
    ]


def rows_of(stage: str, times: dict[str, Any], work: str, cost: int, required: tuple[float, float]) -> list[Row]:
    """The rows of one stage: cold and warm log intervals, page faults, and the bare step beside the matrix product."""
    rows = []
    cold, warm = times["intervals"][:1], times["intervals"][1:]
    warm_work, cold_work = "time between two log lines", "the first steps, data not in memory"
    for name, intervals in ((warm_work, warm), (cold_work, cold)):
        ours = [1000 * interval["seconds"] / interval["steps"] for interval in intervals]
        bare = [1000 * interval["bare_seconds"] for interval in intervals]
        what = f"{stage}: {name}, per gradient step"
        rows.append(cost_row(what, "its bare gradient step", ours, bare, "ms", 1.1, goal=1.03, bound=BESIDE))
    faults = [interval["faults"] / interval["steps"] for interval in warm]
    rows.append(measure.limit_row(f"{stage}: page faults per gradient step", faults, 5000, ""))
    rates = np.array([cost / interval["bare_seconds"] for interval in times["intervals"]]) / 1e9
    peaks = np.array([interval["peak"] for interval in times["intervals"]]) / 1e9
    milliseconds = np.median([1000 * interval["bare_seconds"] for interval in times["intervals"]])
    what = f"{stage}: gradient step of {work}, {milliseconds:.0f} ms"
    options: dict[str, Any] = {"percent": True, "goal": required[1], "bound": BOUNDS[stage]}
    rows.append(row(what, "matrix product", rates, peaks, "G multiply-adds/s", required[0], **options))
    return rows


def main() -> None:
    args = measure.parse_args(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = f"car_racing --total_episodes {RECORDED} --batch_size {RECORDED} --time_steps {STEPS + 1}"
        run_python(folder, str(ROOT / "01_generate_data.py"), *data.split())
        vae = times_of(folder, "cold", "02_train_vae.py", TRAINED["02"])
        run_python(folder, str(ROOT / "03_generate_rnn_data.py"))
        repeat_series(folder)
        rnn = times_of(folder, "cold", "04_train_rnn.py", TRAINED["04"])
        starts = start_rows(folder)
    rows = rows_of("02", vae, f"{FRAMES} frames", VAE_STEP, (62, 70))
    rows += rows_of("04", rnn, f"{EPISODES} episodes", RNN_STEP, (50, 60))
    measure.report(args, rows + starts)


if __name__ == "__main__":
    cli.run(main, resumable=False)
