"""Blind votes on the images of a run: ballots, the page, records, and what they say of models and metrics."""

from srbench.interfaces import SRBenchError


class VotingError(SRBenchError):
    """A vote that cannot be asked for, read or counted."""
