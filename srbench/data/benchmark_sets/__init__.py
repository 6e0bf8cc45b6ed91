"""Benchmark sets by name: facts, downloads, checks."""
