"""Reading, writing, resizing and tiling images."""

from srbench.interfaces import SRBenchError


class ImageError(SRBenchError):
    """An image, or a folder of images, that cannot be used."""
