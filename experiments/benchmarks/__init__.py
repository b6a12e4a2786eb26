"""Benchmarks: speeds beside those of other implementations."""
