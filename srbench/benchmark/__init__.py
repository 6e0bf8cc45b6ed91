"""Runs: plan which outputs and values are missing, then sample and measure them."""

from srbench.interfaces import SRBenchError


class BenchmarkError(SRBenchError):
    """Raised for a run, or an item of a run, that cannot be done."""


class RequestError(BenchmarkError):
    """Raised for a request that lacks something, or whose options exclude each other: a usage error."""
