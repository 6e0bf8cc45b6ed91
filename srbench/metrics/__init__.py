"""Metrics: a class for every column of the table, found by entry points, and ten metrics as functions.

``srbench.metrics.psnr`` and the other functions are those of ``srbench.metrics.functions``, imported on first use,
because they load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from srbench.metrics.functions import brisque as brisque
    from srbench.metrics.functions import crps as crps
    from srbench.metrics.functions import lpips as lpips
    from srbench.metrics.functions import lpips_energy as lpips_energy
    from srbench.metrics.functions import lr_psnr as lr_psnr
    from srbench.metrics.functions import niqe as niqe
    from srbench.metrics.functions import pique as pique
    from srbench.metrics.functions import psnr as psnr
    from srbench.metrics.functions import sigma as sigma
    from srbench.metrics.functions import ssim as ssim

__all__ = ["brisque", "crps", "lpips", "lpips_energy", "lr_psnr", "niqe", "pique", "psnr", "sigma", "ssim"]


class MetricError(SRBenchError):
    """Raised for images, parameters or suites that a metric cannot use."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.functions"), name)


def __dir__() -> list[str]:
    return __all__
