"""Everything that compares or reports: report, baselines, studies, benchmarks."""
