"""Run folders: manifest, records, checksums, and the results computed from them."""

from srbench.interfaces import SRBenchError


class RunFolderError(SRBenchError):
    """Raised for a run folder that cannot be read, written or merged."""


class NothingMeasuredError(RunFolderError):
    """Raised for a run folder without results."""
