"""Everything that compares or reports: figures, results, baselines, studies and benchmarks."""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # the project's folder, which holds the five scripts
