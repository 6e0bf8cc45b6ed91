"""PSNR and SSIM: how far every pixel is from the true one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from srbench.metrics.arguments import Images, Values, as_given, written_pair
from srbench.metrics.samples import as_uint8, quantised, require_side
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
    return as_given(_similarity(images, references, "sr"), sr)


def decibels(images: Tensor, references: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of uint8 (n, 3, h, w) to (3, h, w) or (1 or n, 3, h, w) -> (n,) float64 in dB.

    10 log10(255^2 / MSE) with one mean squared error over all pixels and channels; identical images give inf.
    """
    error = (images.cpu().to(torch.float64) - references.cpu().to(torch.float64)).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255**2 / error)


def _similarity(images: Tensor, references: Tensor, name: str) -> Tensor:
    """(n, 3, H, W) and (1 or n, 3, H, W), both uint8 -> (n,) float64. Raises SampleError below 7 pixels a side."""
    from skimage.metrics import structural_similarity

    require_side(images, 7, SSIM.title, name)
    pairs = zip(images.cpu(), references.expand(images.shape).cpu(), strict=True)
    values = [
        structural_similarity(*(image.permute(1, 2, 0).numpy() for image in pair), channel_axis=2, data_range=255)
        for pair in pairs
    ]
    return torch.tensor(values, dtype=torch.float64)


class PSNR:
    """Peak signal-to-noise ratio to the HR picture."""

    name = "psnr"
    title = "PSNR"
    higher_is_better = True
    unit = "dB"
    digits = 2
    column = 1
    protocol = (
        "uint8 RGB by floor, no crop, one mean squared error over all pixels and channels, peak 255; "
        "identical pictures: inf"
    )
    signature = "RGB|floor|crop0|v1"
    parameters: tuple[Path, ...] = ()
    unquantised = False
    needs_lr = False

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in dB. Raises SampleError for unusable output."""
        return decibels(quantised(samples, pair), as_uint8(pair.hr[None]))


class SSIM:
    """Structural similarity to the HR picture.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, with the
    defaults of scikit-image, which are those of the official SRFlow test code.
    """

    name = "ssim"
    title = "SSIM"
    higher_is_better = True
    unit = ""
    digits = 3
    column = 2
    protocol = (
        "uint8 RGB by floor, scikit-image defaults: 7x7 uniform window, sample covariance, K1 .01, K2 .03, "
        "range 255, 3 border pixels left out, mean over channels"
    )
    signature = "RGB|floor|uniform7|crop3|v1"
    parameters: tuple[Path, ...] = ()
    unquantised = False
    needs_lr = False

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in -1..1. Raises SampleError below 7 pixels a side."""
        return _similarity(quantised(samples, pair), as_uint8(pair.hr[None]), pair.name)
