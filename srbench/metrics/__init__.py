"""The eight columns of the default table as functions of images: ``srbench.metrics.lpips(sr, hr)``.

The functions take torch tensors or numpy arrays, (3, H, W) or (n, 3, H, W), uint8 or floating point in [0, 1], and give
the values of the table: a float for one image, (n,) float64 for a batch. docs/protocols.md says what they mean.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srbench.metrics.consistency import lr_psnr as lr_psnr
    from srbench.metrics.diversity import sigma as sigma
    from srbench.metrics.naturalness import brisque as brisque
    from srbench.metrics.naturalness import niqe as niqe
    from srbench.metrics.naturalness import pique as pique
    from srbench.metrics.perceptual import lpips as lpips
    from srbench.metrics.pixel import psnr as psnr
    from srbench.metrics.pixel import ssim as ssim

__all__ = ["brisque", "lpips", "lr_psnr", "niqe", "pique", "psnr", "sigma", "ssim"]


def __getattr__(name: str) -> object:
    """A function on first use: reading a suite must not load torch."""
    if name not in __all__:
        raise AttributeError(f"module 'srbench.metrics' has no attribute {name!r}")
    from srbench.metrics import consistency, diversity, naturalness, perceptual, pixel

    homes = (consistency, diversity, naturalness, perceptual, pixel)
    return next(getattr(home, name) for home in homes if name in vars(home))


def __dir__() -> list[str]:
    return __all__
