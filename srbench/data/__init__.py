"""Datasets, benchmark sets and degradations."""

from srbench.interfaces import SRBenchError

MATLAB_BICUBIC = "made from HR by MATLAB-exact bicubic"
"""Origin of LR images that srbench makes, in the words of the reports."""


class DataError(SRBenchError):
    """A dataset, benchmark set or degradation that cannot be used."""
