"""Degradations: TOML files that state how LR is made from HR."""

DEFAULT = "bicubic"
"""MATLAB-exact bicubic, which datasets use to make LR from HR."""
