"""Datasets, benchmark sets and degradations."""
