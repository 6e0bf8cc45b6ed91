"""The user's own images: edits in latent space, and a page to explore them."""

from srbench.interfaces import SRBenchError


class EditError(SRBenchError):
    """An image that cannot be edited as requested."""
