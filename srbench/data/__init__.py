"""Datasets, benchmark sets and degradations."""

from srbench.interfaces import SRBenchError


class DataError(SRBenchError):
    """A dataset, benchmark set or degradation that cannot be used."""
