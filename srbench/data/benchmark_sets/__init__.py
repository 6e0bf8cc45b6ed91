"""Benchmark sets by name: facts, downloads and checks."""
