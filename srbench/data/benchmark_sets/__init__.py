"""Benchmark sets by name: what they are, where they come from, how they are known."""
