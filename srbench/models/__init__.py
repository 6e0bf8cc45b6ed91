"""Models: loading by name, inference, weights of other projects, results made elsewhere, export."""

from srbench.interfaces import SRBenchError


class ModelError(SRBenchError):
    """A model that cannot be loaded, run, converted or exported."""
