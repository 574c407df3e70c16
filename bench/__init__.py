"""Benchmarks: each group measures against a named baseline in the same run."""
