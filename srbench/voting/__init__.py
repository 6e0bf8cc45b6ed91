"""Blind votes on the images of a run: the questions, the page, the records, and what they say of models and metrics."""

from srbench.interfaces import SRBenchError


class VotingError(SRBenchError):
    """A vote that cannot be asked for, recorded or counted."""
