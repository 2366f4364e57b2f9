"""Benchmarks: Postledger beside its peers on the same events; run ``python -m benchmarks``."""
