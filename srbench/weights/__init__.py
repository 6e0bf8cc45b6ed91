"""Weights files, released weights, and checkpoints of other projects."""
