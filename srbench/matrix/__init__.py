"""Several runs as one matrix: datasets, scales, suites and degradations."""

from srbench.interfaces import SRBenchError


class MatrixError(SRBenchError):
    """A matrix of runs that cannot be planned or run."""
