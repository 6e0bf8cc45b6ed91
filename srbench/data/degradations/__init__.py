"""Degradations: how LR is made from HR, as TOML files."""
