"""Benchmarks: one command each, results appended to `benchmarks/results/`, resumed from there."""
