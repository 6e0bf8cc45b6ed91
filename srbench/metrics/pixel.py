"""PSNR and SSIM: distortion of the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.images.io import luma
from srbench.interfaces import ImagePair, MetricFacts
from srbench.metrics import MetricError
from srbench.metrics.arguments import Images, Values, measured
from srbench.metrics.samples import ImageMetric, as_uint8, require_side

Array = NDArray[Any]


def psnr(sr: Images, hr: Images) -> Values:
    """Peak signal-to-noise ratio to the HR image in dB; ``inf`` for identical images.

    10 log10(255^2 / MSE) with one mean squared error over all pixels and the three channels, no crop: scikit-image's
    ``peak_signal_noise_ratio``, as in the test code of SRFlow (Lugmayr et al., 2020).

    Args:
        sr: (3, H, W) or (n, 3, H, W), RGB: uint8, or floating point in [0, 1] that is clamped and floored to uint8.
        hr: (3, H, W) for all, or (n, 3, H, W), one each.

    Returns:
        A float for one image, (n,) float64 for a batch.

    Raises:
        MetricError: The two are no pair of images.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import psnr
        >>> hr = np.full((3, 32, 32), 100, dtype=np.uint8)
        >>> round(psnr(hr + 1, hr), 4)
        48.1308
        >>> psnr(np.stack([hr + 1, hr + 2, hr]), hr).round(2)
        array([48.13, 42.11,   inf])
    """
    return measured(PSNR(), sr, hr)


def ssim(sr: Images, hr: Images) -> Values:
    """Structural similarity to the HR image, in -1..1; 1 for identical images.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, eq. 13, with the
    defaults of scikit-image: 7x7 uniform window, sample covariance, no values within 3 pixels of the border, mean over
    the three channels.

    Args:
        sr: (3, H, W) or (n, 3, H, W), RGB: uint8, or floating point in [0, 1] that is clamped and floored to uint8;
            at least 7 pixels a side.
        hr: (3, H, W) for all, or (n, 3, H, W), one each.

    Returns:
        A float for one image, (n,) float64 for a batch.

    Raises:
        MetricError: The two are no pair of images.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import ssim
        >>> hr = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
        >>> round(ssim(hr, hr), 4)
        1.0
        >>> round(ssim(hr // 2, hr), 4)
        0.6399
    """
    return measured(SSIM(), sr, hr)


def decibels(images: Tensor, references: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of (n, c, h, w) to (c, h, w) or (1 or n, c, h, w), in 0..255 -> (n,) float64 in dB.

    10 log10(255^2 / MSE) with one mean squared error over all pixels and channels, of which the sum is exact for uint8;
    identical images give inf.
    """
    import cv2

    first, second = (each.cpu().flatten(-3, -2).contiguous().numpy() for each in (images, references))
    pairs = zip(first, np.broadcast_to(second, first.shape), strict=True)
    total = torch.tensor([cv2.norm(image, hr, cv2.NORM_L2SQR) for image, hr in pairs], dtype=torch.float64)
    return 10 * torch.log10(255**2 / (total / images[0].numel()))


@dataclass(frozen=True)
class Window:
    """Separable window of SSIM: weights along a side, whole numbers where they can be."""

    weights: tuple[float, ...]
    covariance: float
    """Factor of the weighted covariance: n / (n - 1) makes it the sample covariance of n values."""
    sentence: str

    @property
    def side(self) -> int:
        """Side in pixels."""
        return len(self.weights)

    def sums(self, image: Array) -> Array:
        """(h, w) uint8, uint16 or float64 -> weighted sums where the window lies inside: int32 of whole numbers."""
        import cv2

        border = self.side // 2
        if set(self.weights) == {1}:
            depth = cv2.CV_64F if image.dtype == np.float64 else cv2.CV_32S
            found = cv2.boxFilter(image, depth, (self.side, self.side), normalize=False)
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


def _product(one: Array, other: Array) -> Array:
    """Product of uint8 or float64 values, without loss for the former."""
    return np.multiply(one, other, dtype=np.float64 if one.dtype == np.float64 else np.uint16)


_BAND = 32
"""Rows of windows per pass, few enough for a processor's cache."""


def _structural_similarity(image: Array, reference: Array, window: Window, negative: str) -> float:
    """Mean over windows and channels of Wang et al., eq. 13, of two images (c, h, w) uint8 or float64 in 0..255.

    With ``negative`` as ``zero`` the factor of the covariance is at least 0. Means are sums over the total of the
    weights: both sides of the fraction are multiplied by the fourth power of that, so that with whole weights no number
    is rounded before the last products.
    """
    total = sum(window.weights) ** 2
    c1, c2 = (0.01 * 255 * total) ** 2, (0.03 * 255 * total) ** 2 / window.covariance
    found, rows = 0.0, image.shape[1] - window.side + 1
    for channel, hr in zip(image, reference, strict=True):
        for top in range(0, rows, _BAND):
            one, other = (each[top : top + _BAND + window.side - 1] for each in (channel, hr))
            x, y = window.sums(one), window.sums(other)
            both, squares = x * y, x * x + y * y
            joint = total * window.sums(_product(one, other)) - both
            spread = total * (window.sums(_product(one, one)) + window.sums(_product(other, other))) - squares
            above, below = 2 * both + c1, squares + c1
            structure = 2 * joint + c2
            above *= np.maximum(structure, 0) if negative == "zero" else structure
            below *= spread + c2
            above /= below
            found += float(above.sum())
    return found / float(len(image) * rows * (image.shape[2] - window.side + 1))


COLOURS = {
    "bt601": ((65.481, 128.553, 24.966), 16, "Y of BT.601 in 16..235"),
    "yiq": ((76.245, 149.685, 29.07), 0, "Y of YIQ in 0..255 (.299 R + .587 G + .114 B, pyiqa's default)"),
    "full": ((76.245, 149.685, 29.07), 0, "Y of BT.601 in 0..255, OpenCV's grey"),
}
"""Definitions of Y: weights of R, G and B in 0..1, offset, and words. ``yiq`` and ``full`` differ where they round."""


@dataclass(frozen=True)
class Region:
    """Part of an image that a metric compares: channels and border."""

    channels: str
    """``RGB``, or ``Y``."""
    border: int | str
    """Pixels left out at each side; ``scale``: as many as the scale."""
    rounded: str = "yes"
    """``yes``: Y is rounded to uint8; ``no``: it stays as it is."""
    colour: str = "bt601"
    """Definition of Y, of COLOURS: ``bt601`` as MATLAB's ``rgb2ycbcr`` gives it."""

    def __post_init__(self) -> None:
        """Raises MetricError for values that mean nothing."""
        if self.channels not in ("RGB", "Y"):
            raise MetricError(f"channels is {self.channels!r}; choose RGB or Y")
        if self.border != "scale" and (isinstance(self.border, str) or self.border < 0):
            raise MetricError(f"border is {self.border!r}; give a number of pixels, or scale")
        if self.rounded not in ("yes", "no"):
            raise MetricError(f"round is {self.rounded!r}; choose yes or no")
        if self.colour not in COLOURS:
            raise MetricError(f"colour is {self.colour!r}; choose {', '.join(COLOURS)}")
        if self.channels == "RGB" and (self.rounded, self.colour) != ("yes", "bt601"):
            raise MetricError("round and colour apply to Y only; add channels=Y, or leave them out")

    @property
    def needs(self) -> tuple[Literal["HR", "scale"], ...]:
        """HR and, for a border of the scale, the scale, which the size of LR tells."""
        return ("HR", "scale") if self.border == "scale" else ("HR",)

    @property
    def suffix(self) -> str:
        """Suffix of a metric's title: ``-Y``, ``-Y (YIQ)``, or nothing."""
        if self.channels == "RGB":
            return ""
        return "-Y" + {"bt601": "", "yiq": " (YIQ)", "full": " (0..255)"}[self.colour]

    @property
    def signature(self) -> str:
        """Channels as the first part of a signature, and what differs from the default: ``Y|yiq|unrounded``."""
        colour = "" if self.colour == "bt601" else self.colour
        return "|".join(filter(None, [self.channels, colour, "unrounded" if self.rounded == "no" else ""]))

    def cropped(self, further: int = 0) -> str:
        """The border as a part of a signature, with what the metric itself leaves out: ``crop3``, ``crop(scale+5)``."""
        if isinstance(self.border, int):
            return f"crop{self.border + further}"
        return f"crop(scale+{further})" if further else "crop(scale)"

    @property
    def sentence(self) -> str:
        """The region as a part of a protocol."""
        rounding = "rounded to uint8" if self.rounded == "yes" else "not rounded"
        channels = f", {COLOURS[self.colour][2]}, {rounding}" if self.channels == "Y" else ""
        border = "as many pixels as the scale" if self.border == "scale" else f"{self.border} pixels"
        return f"uint8 RGB by {{quantize}}{channels}, {f'{border} left out at each side' if self.border else 'no crop'}"

    def of(self, images: Tensor, pair: ImagePair) -> Tensor:
        """uint8 (n, 3, H, W), as large as HR -> (n, 3, h, w) or (n, 1, h, w), uint8, or float64 if not rounded.

        Raises MetricError where the border leaves nothing.
        """
        width = pair.hr.shape[-2] // pair.lr.shape[-2] if isinstance(self.border, str) else self.border
        height_left, width_left = (side - 2 * width for side in images.shape[-2:])
        if min(height_left, width_left) < 1:
            raise MetricError(f"{pair.name}: a border of {width} pixels leaves nothing; use larger images")
        inner = images[..., width : width + height_left, width : width + width_left]
        return self._luma(inner).unsqueeze(-3) if self.channels == "Y" else inner.contiguous()

    def _luma(self, images: Tensor) -> Tensor:
        """uint8 (..., 3, h, w) -> (..., h, w), uint8 or float64."""
        red, green, blue = images.int().unbind(dim=-3)
        match self.rounded, self.colour:
            case "yes", "bt601":
                return luma(images)
            case "yes", "yiq":  # in float32, which decides every thousandth colour, an exact half, as pyiqa does
                red, green, blue = (images.float() / 255).unbind(dim=-3)
                return ((0.299 * red + 0.587 * green + 0.114 * blue) * 255).round().byte()
            case "yes", _:  # OpenCV's weights, in units of 2^-15
                return ((9798 * red + 19235 * green + 3735 * blue + 2**14) >> 15).byte()
        (of_red, of_green, of_blue), offset, _ = COLOURS[self.colour]
        return (of_red * red.double() + of_green * green.double() + of_blue * blue.double()) / 255 + offset


class PSNR(ImageMetric):
    """Peak signal-to-noise ratio to the HR image."""

    def __init__(self, channels: str = "RGB", border: int | str = 0, round: str = "yes", colour: str = "bt601") -> None:
        self._region = Region(channels, border, round, colour)
        self.facts = MetricFacts(
            name="psnr",
            title=f"PSNR{self._region.suffix}",
            group="Distortion",
            leads=True,
            direction=1,
            unit="dB",
            signature=f"{self._region.signature}|{self._region.cropped()}|v1",
            sees="uint8",
            needs=self._region.needs,
            protocol=(
                f"{self._region.sentence}, one mean squared error over all pixels and channels, peak 255; "
                "identical images: inf"
            ),
        )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """(n,) in dB."""
        return decibels(self._region.of(images, pair), self._region.of(as_uint8(pair.hr)[None], pair))


class SSIM(ImageMetric):
    """Structural similarity to the HR image.

    With the window ``uniform7`` as in the official SRFlow test code, with ``gaussian11`` as in the paper and in most
    tables. With ``negative=zero`` a negative covariance factor counts as 0, as pyiqa has it.
    """

    def __init__(
        self,
        channels: str = "RGB",
        border: int | str = 0,
        window: str = "uniform7",
        round: str = "yes",
        colour: str = "bt601",
        negative: str = "kept",
    ) -> None:
        if window not in WINDOWS:
            raise MetricError(f"window is {window!r}; choose {' or '.join(WINDOWS)}")
        if negative not in ("kept", "zero"):
            raise MetricError(f"negative is {negative!r}; choose kept or zero")
        self._region, self._window, self._negative = Region(channels, border, round, colour), WINDOWS[window], negative
        left_out = self._window.side // 2
        seen = "uint8 RGB by {quantize}" if self._region == Region("RGB", 0) else self._region.sentence
        zero, clipped = ("negative0", ", factors of covariance below 0 set to 0") if negative == "zero" else ("", "")
        parts = [self._region.signature, window, zero, self._region.cropped(left_out), "v1"]
        self.facts = MetricFacts(
            name="ssim",
            title=f"SSIM{self._region.suffix}",
            group="Distortion",
            direction=1,
            digits=3,
            signature="|".join(filter(None, parts)),
            sees="uint8",
            needs=self._region.needs,
            protocol=(
                f"{seen}, {self._window.sentence}, K1 .01, K2 .03, "
                f"range 255{clipped}, {left_out} border pixels left out, mean over channels"
            ),
        )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """(n,) in -1..1; raises MetricError where the region is smaller than a window."""
        regions = [self._region.of(each, pair) for each in (images, as_uint8(pair.hr)[None])]
        require_side(regions[0], self._window.side, "SSIM", pair.name)
        outputs, [hr] = (region.cpu().contiguous().numpy() for region in regions)
        found = [_structural_similarity(output, hr, self._window, self._negative) for output in outputs]
        return torch.tensor(found, dtype=torch.float64)
