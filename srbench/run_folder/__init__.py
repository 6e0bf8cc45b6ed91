"""The files of a run folder: manifest, records, checksums, and the results in them."""

from srbench.interfaces import SRBenchError


class RunFolderError(SRBenchError):
    """A run folder that cannot be read, written or merged."""


class NothingMeasuredError(RunFolderError):
    """A run folder without a measured row."""
