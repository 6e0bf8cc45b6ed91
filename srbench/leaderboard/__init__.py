"""Leaderboards: tables of all comparable runs below some folders, ranks, and checks of what is added."""

from srbench.interfaces import SRBenchError


class LeaderboardError(SRBenchError):
    """Folders that hold no runs, or a run that may not be added."""
