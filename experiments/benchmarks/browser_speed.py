"""Frames per second of docs/dream.html in headless Chromium, beside the 30 that driving needs.

    apt install chromium
    python experiments/benchmarks/browser_speed.py

A frame is one step of C and M, V's decoder and the canvas. It is measured twice: computed back to back, and as shown by
the page while the controller drives, which is at most the environment's 50. Without Chromium there are no rows.
"""

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

from experiments import ROOT
from experiments.benchmarks import measure
from experiments.benchmarks.measure import Row, interleave, row
from experiments.browser import chromium

ROUNDS, FRAMES, SECONDS = 5, 100, 2
NEEDED = 30.0  # frames per second
START = "drive.restart(); drive.handOver(true);"
COMPUTED = f"""(() => {{
  {START} drive.pause(true);
  const start = performance.now();
  for (let i = 0; i < {FRAMES}; i++) drive.step();
  return {1000 * FRAMES} / (performance.now() - start);
}})()"""
SHOWN = f"""(async () => {{
  {START}
  const start = performance.now();
  await new Promise(resolve => setTimeout(resolve, {1000 * SECONDS}));
  return 1000 * drive.world.steps / (performance.now() - start);
}})()"""


def rows() -> list[Row]:
    """Both measurements of the page that is shipped."""
    with chromium.Chromium() as browser:
        browser.open(ROOT / "docs" / "dream.html")
        methods = {"computed": lambda: browser.evaluate(COMPUTED), "shown": lambda: browser.evaluate(SHOWN)}
        rates = interleave(methods, ROUNDS)
    needed, unit = np.full(ROUNDS, NEEDED), "frames/s"
    return [row(f"docs/dream.html, {name}", "driving needs", rates[name], needed, unit, 1) for name in methods]


def main() -> None:
    args = measure.parse_args(__doc__)
    if chromium.is_installed():
        measure.report(args, rows())
    else:
        measure.report(args, [], [f"{chromium.PROGRAM} is not installed: docs/dream.html was not measured."])


if __name__ == "__main__":
    cli.run(main, resumable=False)
