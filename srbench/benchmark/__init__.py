"""A run: which outputs and values are missing, and the two stages that make them."""

from srbench.interfaces import SRBenchError


class BenchmarkError(SRBenchError):
    """A run, or an item of it, that cannot be done."""
