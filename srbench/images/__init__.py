"""Images: reading, writing, pairing, resizing, tiling and projection onto LR."""

from srbench.interfaces import SRBenchError


class ImageError(SRBenchError):
    """An image, or a folder of images, that cannot be used."""
