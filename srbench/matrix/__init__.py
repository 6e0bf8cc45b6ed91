"""Matrices of runs: every combination of datasets, scales, suites and degradations."""

from srbench.interfaces import SRBenchError


class MatrixError(SRBenchError):
    """Raised for a matrix of runs that cannot be planned or run."""
