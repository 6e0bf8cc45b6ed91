"""PSNR and SSIM: how far every pixel is from the true one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srbench.metrics.arguments import Images, Values, as_given, written_pair
from srbench.metrics.region import Region
from srbench.metrics.samples import SampleError, as_uint8, quantised, require_side
from srbench.types import ImagePair


def psnr(sr: Images, hr: Images) -> Values:
    """Peak signal-to-noise ratio to the HR image in dB; ``inf`` for identical images.

    ``sr`` is (3, H, W) or (n, 3, H, W), ``hr`` is (3, H, W) for all or (n, 3, H, W), one each: RGB, uint8, or floating
    point in [0, 1] that is clamped and floored to uint8. 10 log10(255^2 / MSE) with one mean squared error over all
    pixels and the three channels, no crop: scikit-image's ``peak_signal_noise_ratio``, as in the test code of SRFlow
    (Lugmayr et al., 2020).
    Returns a float for one image, (n,) float64 for a batch. Raises SampleError for anything that is no pair of images.

    >>> import numpy as np
    >>> from srbench.metrics import psnr
    >>> hr = np.full((3, 32, 32), 100, dtype=np.uint8)
    >>> round(psnr(hr + 1, hr), 4)
    48.1308
    >>> psnr(np.stack([hr + 1, hr + 2, hr]), hr).round(2)
    array([48.13, 42.11,   inf])
    """
    return as_given(decibels(*written_pair(sr, hr)), sr)


def ssim(sr: Images, hr: Images) -> Values:
    """Structural similarity to the HR image, in -1..1; 1 for identical images.

    ``sr`` is (3, H, W) or (n, 3, H, W), ``hr`` is (3, H, W) for all or (n, 3, H, W), one each: RGB, uint8, or floating
    point in [0, 1] that is clamped and floored to uint8; at least 7 pixels a side. Wang et al., "Image quality
    assessment: from error visibility to structural similarity", 2004, eq. 13, with the defaults of scikit-image: 7x7
    uniform window, sample covariance, no values within 3 pixels of the border, mean over the three channels.
    Returns a float for one image, (n,) float64 for a batch. Raises SampleError for anything that is no pair of images.

    >>> import numpy as np
    >>> from srbench.metrics import ssim
    >>> hr = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    >>> round(ssim(hr, hr), 4)
    1.0
    >>> round(ssim(hr // 2, hr), 4)
    0.6399
    """
    images, references = written_pair(sr, hr)
    return as_given(_similarity(images, references, "sr", WINDOWS["uniform7"]), sr)


def decibels(images: Tensor, references: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of uint8 (n, c, h, w) to (c, h, w) or (1 or n, c, h, w) -> (n,) float64 in dB.

    10 log10(255^2 / MSE) with one mean squared error over all pixels and channels; identical images give inf.
    """
    error = (images.cpu().to(torch.float64) - references.cpu().to(torch.float64)).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255**2 / error)


@dataclass(frozen=True)
class Window:
    """In which SSIM takes its means."""

    side: int
    arguments: dict[str, Any]
    """Those of scikit-image."""
    sentence: str


WINDOWS = {
    "uniform7": Window(7, {}, "scikit-image defaults: 7x7 uniform window, sample covariance"),
    "gaussian11": Window(
        11, {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
        "11x11 Gaussian window of standard deviation 1.5, as Wang et al. have it",
    ),
}  # fmt: skip


def _similarity(images: Tensor, references: Tensor, name: str, window: Window) -> Tensor:
    """(n, c, H, W) and (1 or n, c, H, W), both uint8 -> (n,) float64. Raises SampleError for less than a window."""
    from skimage.metrics import structural_similarity

    require_side(images, window.side, "SSIM", name)
    pairs = zip(images.cpu(), references.expand(images.shape).cpu(), strict=True)
    values = [
        structural_similarity(
            *(image.permute(1, 2, 0).numpy() for image in pair), channel_axis=2, data_range=255, **window.arguments
        )
        for pair in pairs
    ]
    return torch.tensor(values, dtype=torch.float64)


class PSNR:
    """Peak signal-to-noise ratio to the HR picture."""

    name = "psnr"
    higher_is_better = True
    unit = "dB"
    digits = 2
    parameters: tuple[Path, ...] = ()
    unquantised = False

    def __init__(self, channels: str = "RGB", border: int | str = 0, quantize: str = "floor") -> None:
        self.region = region = Region(channels, border)
        self.needs_lr = region.needs_lr
        self.title = f"PSNR{region.suffix}"
        self.protocol = (
            f"{region.sentence(quantize)}, one mean squared error over all pixels and channels, peak 255; "
            "identical pictures: inf"
        )
        self.signature = f"{channels}|{quantize}|{region.cropped()}|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in dB. Raises SampleError for unusable output."""
        images, hr = quantised(samples, pair), as_uint8(pair.hr[None])
        return decibels(self.region.of(images, pair), self.region.of(hr, pair))


class SSIM:
    """Structural similarity to the HR picture.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: with the window
    ``uniform7`` as in the official SRFlow test code, with ``gaussian11`` as in the paper and in most tables.
    """

    name = "ssim"
    higher_is_better = True
    unit = ""
    digits = 3
    parameters: tuple[Path, ...] = ()
    unquantised = False

    def __init__(
        self, channels: str = "RGB", border: int | str = 0, window: str = "uniform7", quantize: str = "floor"
    ) -> None:
        if window not in WINDOWS:
            raise SampleError(f"window is {window!r}; choose {' or '.join(WINDOWS)}")
        self.region, self.window = region, kind = Region(channels, border), WINDOWS[window]
        self.needs_lr = region.needs_lr
        self.title = f"SSIM{region.suffix}"
        seen = f"uint8 RGB by {quantize}" if region == Region("RGB", 0) else region.sentence(quantize)
        self.protocol = (
            f"{seen}, {kind.sentence}, K1 .01, K2 .03, "
            f"range 255, {kind.side // 2} border pixels left out, mean over channels"
        )
        self.signature = f"{channels}|{quantize}|{window}|{region.cropped(kind.side // 2)}|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in -1..1. Raises SampleError for less than a window."""
        images, hr = quantised(samples, pair), as_uint8(pair.hr[None])
        return _similarity(self.region.of(images, pair), self.region.of(hr, pair), pair.name, self.window)
