"""Blind votes on the images of a run: questions, the page, records, and the results for models and metrics."""

from srbench.interfaces import SRBenchError


class VotingError(SRBenchError):
    """Raised for votes that cannot be requested, recorded or counted."""
