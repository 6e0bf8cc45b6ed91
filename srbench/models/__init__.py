"""Models by name: loading, inference, foreign weights, results made elsewhere, export."""

from srbench.interfaces import SRBenchError


class ModelError(SRBenchError):
    """A model that cannot be loaded, run, converted or exported."""
