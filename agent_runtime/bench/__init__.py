"""Benchmarks: ratios measured side by side in one run, for machines are shared and noisy."""
