"""All benchmarks in one table: environment, agent, networks, training stages, start-up, disk and browser.

    make bench                                   # installs EnvPool, which one part compares with, and runs this
    python experiments/benchmarks/bench.py

Takes a quarter of an hour on two idle cores. Prints the table, writes it with machine and versions to
docs/results/speed.json, and renders docs/speed.md from that file.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

from experiments import results, tables
from experiments.benchmarks.measure import Row
from pipeline.files import read_json

PARTS = ("env_speed", "agent_speed", "network_speed", "stage_speed", "start_and_size", "browser_speed")


def run_part(name: str) -> dict:
    """Run a part as a process of its own, since libraries fix their number of threads when they load."""
    print(f"\n{name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.json"
        done = subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py"), "--json", path])
        if done.returncode:
            sys.exit(done.returncode)
        return read_json(path)


def main() -> None:
    cli.parser(__doc__).parse_args()
    started = time.monotonic()
    rows, notes = [], []
    for part in map(run_part, PARTS):
        rows += part["rows"]
        notes += [*part["notes"], ""] if part["notes"] else []
    minutes = (time.monotonic() - started) / 60
    path = results.record("speed", "make bench", wall_minutes=minutes, rows=rows, notes=notes)
    tables.render(tables.SPEED, "speed")
    print(f"\n{tables.speed_table()}")
    missed = [row.work for row in (Row(**fields) for fields in rows) if not row.reached]
    print(f"\n{path}: {len(rows) - len(missed)} of {len(rows)} required values reached")
    for work in missed:
        print(f"  not reached: {work}")


if __name__ == "__main__":
    cli.run(main, resumable=False)
