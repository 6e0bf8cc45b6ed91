"""Datasets, benchmark sets and degradations."""

from srbench.interfaces import SRBenchError

MATLAB_BICUBIC = "made from HR by MATLAB-exact bicubic"
"""Origin, in the words of reports, of LR images that srbench makes by default."""


class DataError(SRBenchError):
    """Raised for a dataset, benchmark set or degradation that cannot be used."""
