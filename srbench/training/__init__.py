"""What all trainings share: images, patches, the loop."""

from srbench.interfaces import SRBenchError


class TrainingError(SRBenchError):
    """A training that cannot start, resume or be exported."""
