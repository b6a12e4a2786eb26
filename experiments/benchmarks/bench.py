"""Every comparison in one table; ten minutes on two idle cores: python experiments/benchmarks/bench.py, or make bench.

Prints the table and writes it to benchmarks/RESULTS.md, with the machine and the versions it was made with.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from experiments.benchmarks.measure import Row

PARTS = ("env_speed", "agent_speed", "network_speed", "start_and_size", "scale")
PACKAGES = ("tensorflow", "keras", "numpy", "gymnasium", "box2d", "opencv-python-headless", "mpich", "envpool")
RESULTS = Path(__file__).with_name("RESULTS.md")


def processor() -> str:
    """What Linux calls it."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").open() if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def run_part(name: str) -> tuple[list[Row], list[str]]:
    """Run a part as a process of its own, for threads are settled when libraries load."""
    print(f"\n{name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        script = Path(__file__).with_name(f"{name}.py")
        subprocess.run([sys.executable, script], check=True, env=os.environ | {"BENCH_ROWS": str(path)})
        content = json.loads(path.read_text())
    return [Row(**fields) for fields in content["rows"]], content["notes"]


def what_bounds(rows: list[Row]) -> list[str]:
    """Why the rows that miss their goal do."""
    short = [row for row in rows if not row.reached_goal]
    unknown = "nothing that is known; other work on the machine tells first on this row"
    reasons = [f"* {row.work}, beside {row.against or 'its limit'}: {row.bound or unknown}." for row in short]
    return ["What keeps rows from their goals:", "", *reasons, ""] if reasons else []


def main() -> None:
    started = time.monotonic()
    rows, notes = [], []
    for name in PARTS:
        part_rows, part_notes = run_part(name)
        rows += part_rows
        notes += [*part_notes, ""] if part_notes else []
    lines = [
        "# How fast it is",
        "",
        "Written by `make bench`. Rates are medians, ratios are taken within a round and stand with their range.",
        "",
        f"{processor()}; Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in PACKAGES)
        + f"; {time.strftime('%Y-%m-%d')}, {(time.monotonic() - started) / 60:.0f} minutes.",
        "",
        "| work | ours | against | theirs | ratio | wanted |",
        "|---|---|---|---|---|---|",
        *(row.markdown() for row in rows),
        "",
        *what_bounds(rows),
        *notes,
    ]
    RESULTS.write_text("\n".join(lines).rstrip() + "\n")
    print("", *lines, sep="\n")
    missed = [row.work for row in rows if not row.reached]
    print(f"\n{RESULTS}: {len(rows) - len(missed)} of {len(rows)} reached" + "".join(f"\n  not: {m}" for m in missed))


if __name__ == "__main__":
    main()
