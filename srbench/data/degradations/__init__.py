"""Degradations: how LR is made from HR, as TOML files."""

DEFAULT = "bicubic"
"""MATLAB-exact bicubic, by which a dataset makes LR from HR itself."""
