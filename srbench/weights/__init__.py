"""Weights files, released weights, and checkpoints made elsewhere."""
