"""Metrics: a class for every column of the table, found by entry points, and the eight default metrics as functions.

The functions take torch tensors or numpy arrays, (3, H, W) or (n, 3, H, W), uint8 or floating point in [0, 1], and
return the values of the table: a float for one image, (n,) float64 for a batch. docs/protocols.md defines them. They
are imported on first use, because they load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from srbench.interfaces import SRBenchError

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

_HOMES = {
    **dict.fromkeys(("psnr", "ssim"), "pixel"),
    **dict.fromkeys(("brisque", "niqe", "pique"), "naturalness"),
    **{"lpips": "perceptual", "lr_psnr": "consistency", "sigma": "diversity"},
}


class MetricError(SRBenchError):
    """Raised for images, parameters or suites that a metric cannot use."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
