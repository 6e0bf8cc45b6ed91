"""Training: images, patches, the loop, validation, export."""

from srbench.interfaces import SRBenchError


class TrainingError(SRBenchError):
    """A training that cannot start, resume or be exported."""


class MemoryShortageError(TrainingError):
    """A step that needs more memory than there is."""
