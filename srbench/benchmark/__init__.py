"""A run: which outputs and values are missing, and the two stages that make them."""

from srbench.interfaces import SRBenchError


class BenchmarkError(SRBenchError):
    """A run, or an item of it, that cannot be done."""


def in_one_line(error: BaseException) -> str:
    """Message of an error, with its class unless that is one of srbench."""
    name = "" if isinstance(error, SRBenchError) else f"{type(error).__name__}: "
    return name + " ".join(str(error).split())
