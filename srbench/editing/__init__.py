"""A person's own images: upscaled, edited by latents, explored on a page."""

from srbench.interfaces import SRBenchError


class EditError(SRBenchError):
    """An image that cannot be upscaled or edited as requested."""
