"""Your own images: edited in latent space, explored on a page."""

from srbench.interfaces import SRBenchError


class EditError(SRBenchError):
    """An image that cannot be edited as requested."""
