"""Explanations of published numbers: the protocols under which two folders of images have them."""

from srbench.interfaces import SRBenchError


class ExplainError(SRBenchError):
    """Raised for a published number, or a pair of images, that cannot be explained."""
