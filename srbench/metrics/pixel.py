"""PSNR and SSIM: how far every pixel is from the true one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.interfaces import ImagePair
from srbench.metrics.arguments import Images, Values, as_given, written_pair
from srbench.metrics.region import Region
from srbench.metrics.samples import MetricError, quantised, reference, require_side

Array = NDArray[Any]


def psnr(sr: Images, hr: Images) -> Values:
    """Peak signal-to-noise ratio to the HR image in dB; ``inf`` for identical images.

    ``sr`` is (3, H, W) or (n, 3, H, W), ``hr`` is (3, H, W) for all or (n, 3, H, W), one each: RGB, uint8, or floating
    point in [0, 1] that is clamped and floored to uint8. 10 log10(255^2 / MSE) with one mean squared error over all
    pixels and the three channels, no crop: scikit-image's ``peak_signal_noise_ratio``, as in the test code of SRFlow
    (Lugmayr et al., 2020).
    Returns a float for one image, (n,) float64 for a batch. Raises MetricError for anything that is no pair of images.

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
    Returns a float for one image, (n,) float64 for a batch. Raises MetricError for anything that is no pair of images.

    >>> import numpy as np
    >>> from srbench.metrics import ssim
    >>> hr = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    >>> round(ssim(hr, hr), 4)
    1.0
    >>> round(ssim(hr // 2, hr), 4)
    0.6399
    """
    images, references = written_pair(sr, hr)
    window = WINDOWS["uniform7"]
    require_side(images, window.side, "SSIM", "sr")
    return as_given(_similarity(images, [_Moments(image, window) for image in references], window), sr)


def decibels(images: Tensor, references: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of uint8 (n, c, h, w) to (c, h, w) or (1 or n, c, h, w) -> (n,) float64 in dB.

    10 log10(255^2 / MSE) with one mean squared error over all pixels and channels, of which the sum is exact; identical
    images give inf.
    """
    import cv2

    pairs = zip(*_flat(images, references), strict=True)
    total = torch.tensor([cv2.norm(image, hr, cv2.NORM_L2SQR) for image, hr in pairs], dtype=torch.float64)
    return 10 * torch.log10(255**2 / (total / images[0].numel()))


def _flat(images: Tensor, references: Tensor) -> tuple[Array, Array]:
    """uint8 (n, c, h, w) and (c, h, w) or (1 or n, c, h, w) -> (n, c * h, w) each."""
    sides = -1, images.shape[-1]
    first = images.cpu().contiguous().numpy().reshape(len(images), *sides)
    second = references.cpu().contiguous().numpy().reshape(len(references) if references.ndim == 4 else 1, *sides)
    return first, np.broadcast_to(second, first.shape)


@dataclass(frozen=True)
class Window:
    """In which SSIM takes its means: weights along a side, whole numbers where they can be."""

    weights: tuple[float, ...]
    covariance: float
    """By what the weighted covariance is multiplied: n / (n - 1) is the sample covariance of n values."""
    sentence: str

    @property
    def side(self) -> int:
        """In pixels."""
        return len(self.weights)

    def sums(self, image: Array) -> Array:
        """(h, w) uint8 or uint16 -> weighted sums where the window lies inside: int32 where weights are whole."""
        import cv2

        border = self.side // 2
        if set(self.weights) == {1}:
            found = cv2.boxFilter(image, cv2.CV_32S, (self.side, self.side), normalize=False)
        else:
            taps = np.array(self.weights)
            found = cv2.sepFilter2D(image, cv2.CV_64F, taps, taps)
        return found[border:-border, border:-border]


def _gaussian(side: int, deviation: float) -> tuple[float, ...]:
    taps = [math.exp(-((place - side // 2) ** 2) / (2 * deviation**2)) for place in range(side)]
    return tuple(tap / math.fsum(taps) for tap in taps)


WINDOWS = {
    "uniform7": Window((1,) * 7, 49 / 48, "scikit-image defaults: 7x7 uniform window, sample covariance"),
    "gaussian11": Window(
        _gaussian(11, 1.5), 1, "11x11 Gaussian window of standard deviation 1.5, as Wang et al. have it"
    ),
}


class _Moments:
    """Of a uint8 image (c, h, w): the weighted sums in every window, of the values and of their squares."""

    def __init__(self, image: Tensor, window: Window) -> None:
        self.values = image.cpu().contiguous().numpy()
        self.sums = [window.sums(channel) for channel in self.values]
        self.squares = [window.sums(_product(channel, channel)) for channel in self.values]


def _product(one: Array, other: Array) -> Array:
    """Of uint8, without loss."""
    return np.multiply(one, other, dtype=np.uint16)


def _similarity(images: Tensor, references: Sequence[_Moments], window: Window) -> Tensor:
    """(n, c, H, W) uint8 and 1 or n references -> (n,) float64."""
    pairs = zip(images, [*references] * (len(images) // len(references)), strict=True)
    values = [_structural_similarity(image.cpu().contiguous().numpy(), hr, window) for image, hr in pairs]
    return torch.tensor(values, dtype=torch.float64)


_BAND = 32
"""Rows of windows that are taken together: they fit into a processor's cache."""


def _structural_similarity(image: Array, hr: _Moments, window: Window) -> float:
    """Mean over windows and channels of Wang et al., eq. 13, of (c, h, w) uint8 and the moments of another image.

    Means are sums over the total of the weights: both sides of the fraction are multiplied by the fourth power of that,
    so that with whole weights no number is rounded before the last products.
    """
    total = sum(window.weights) ** 2
    c1, c2 = (0.01 * 255 * total) ** 2, (0.03 * 255 * total) ** 2 / window.covariance
    found, (rows, columns) = 0.0, hr.sums[0].shape
    for place, channel in enumerate(image):
        for top in range(0, rows, _BAND):
            windows, pixels = slice(top, top + _BAND), slice(top, top + _BAND + window.side - 1)
            band = channel[pixels]
            x, y = window.sums(band), hr.sums[place][windows]
            both, squares = x * y, x * x + y * y
            joint = total * window.sums(_product(band, hr.values[place][pixels])) - both
            spread = total * (window.sums(_product(band, band)) + hr.squares[place][windows]) - squares
            above, below = 2 * both + c1, squares + c1
            above *= 2 * joint + c2
            below *= spread + c2
            above /= below
            found += float(above.sum())
    return found / float(len(image) * rows * columns)


class PSNR:
    """Peak signal-to-noise ratio to the HR image."""

    name = "psnr"
    higher_is_better = True
    unit = "dB"
    digits = 2
    sees_uint8 = True

    def __init__(self, channels: str = "RGB", border: int | str = 0, quantize: str = "floor") -> None:
        self.region = region = Region(channels, border)
        self.needs_lr = region.needs_lr
        self.title = f"PSNR{region.suffix}"
        self.protocol = (
            f"{region.sentence(quantize)}, one mean squared error over all pixels and channels, peak 255; "
            "identical images: inf"
        )
        self.signature = f"{channels}|{quantize}|{region.cropped()}|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in dB. Raises MetricError for unusable output."""
        images, hr = quantised(samples, pair), reference(pair.hr)[None]
        return decibels(self.region.of(images, pair), self.region.of(hr, pair))


class SSIM:
    """Structural similarity to the HR image.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: with the window
    ``uniform7`` as in the official SRFlow test code, with ``gaussian11`` as in the paper and in most tables.
    """

    name = "ssim"
    higher_is_better = True
    unit = ""
    digits = 3
    sees_uint8 = True

    def __init__(
        self, channels: str = "RGB", border: int | str = 0, window: str = "uniform7", quantize: str = "floor"
    ) -> None:
        if window not in WINDOWS:
            raise MetricError(f"window is {window!r}; choose {' or '.join(WINDOWS)}")
        self.region, self.window = region, kind = Region(channels, border), WINDOWS[window]
        self._last: tuple[ImagePair, _Moments] | None = None
        self.needs_lr = region.needs_lr
        self.title = f"SSIM{region.suffix}"
        seen = f"uint8 RGB by {quantize}" if region == Region("RGB", 0) else region.sentence(quantize)
        self.protocol = (
            f"{seen}, {kind.sentence}, K1 .01, K2 .03, "
            f"range 255, {kind.side // 2} border pixels left out, mean over channels"
        )
        self.signature = f"{channels}|{quantize}|{window}|{region.cropped(kind.side // 2)}|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in -1..1. Raises MetricError for less than a window."""
        images = self.region.of(quantised(samples, pair), pair)
        require_side(images, self.window.side, "SSIM", pair.name)
        if self._last is None or self._last[0] is not pair:
            hr = self.region.of(reference(pair.hr)[None], pair)
            self._last = pair, _Moments(hr[0], self.window)
        return _similarity(images, [self._last[1]], self.window)
