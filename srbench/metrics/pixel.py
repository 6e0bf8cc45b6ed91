"""PSNR and SSIM: distortion of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from srbench.images.io import luma
from srbench.interfaces import ImagePair, MetricInfo
from srbench.metrics import MetricError
from srbench.metrics.samples import EightBitMetric, hr_as_uint8, require_side

Array = NDArray[Any]
Channels = Literal["RGB", "Y"]
Border = Annotated[int, Meta(ge=0)] | Literal["scale"]
"""Number of pixels left out at each side; ``scale``: as many as the scale."""
Window = Literal["uniform7", "gaussian11"]
Colour = Literal["bt601", "yiq", "full"]
"""A definition of Y, see COLOURS; ``bt601`` is that of MATLAB's ``rgb2ycbcr``."""


def mean_squared_errors(images: Tensor, references: Tensor) -> Tensor:
    """Return the mean squared errors (n,) float64 of (n, c, h, w) against (c, h, w) or (1 or n, c, h, w), in 0..255.

    Both have the same dtype. The mean is over all pixels and channels of an image; sums of uint8 are exact.
    """
    import cv2  # sets environment variables, which importing srbench should not

    rows, reference_rows = (each.cpu().flatten(-3, -2).contiguous().numpy() for each in (images, references))
    pairs = zip(rows, np.broadcast_to(reference_rows, rows.shape), strict=True)
    sums = [cv2.norm(image, reference, cv2.NORM_L2SQR) for image, reference in pairs]
    return torch.tensor(sums, dtype=torch.float64) / images[0].numel()


def decibels(errors: Tensor) -> Tensor:
    """Convert mean squared errors to PSNR in dB, 10 log10(255^2 / MSE); inf for identical images."""
    return 10 * torch.log10(255**2 / errors)


@dataclass(frozen=True)
class SSIMWindow:
    """A square window of SSIM."""

    side: int
    deviation: float | None
    """Standard deviation of a Gaussian in pixels; None for uniform weights."""
    has_sample_covariance: bool
    """True: variances and covariances are divided by n - 1 instead of n, the number of pixels of the window."""
    sentence: str

    def means(self, image: Array) -> Array:
        """Map (h, w) float64 to the weighted means in all windows inside it, (h - side + 1, w - side + 1)."""
        import cv2

        border = self.side // 2
        if self.deviation is None:
            means = cv2.boxFilter(image, cv2.CV_64F, (self.side, self.side))
        else:
            weights = gaussian_weights(border, self.deviation)
            means = cv2.sepFilter2D(image, cv2.CV_64F, weights, weights)
        return means[border:-border, border:-border]


def gaussian_weights(radius: int, deviation: float) -> NDArray[np.float64]:
    """Return the weights (2 radius + 1,) of a Gaussian of a standard deviation in pixels; their sum is 1."""
    weights = [math.exp(-0.5 * (distance / deviation) ** 2) for distance in range(-radius, radius + 1)]
    return np.array(weights) / math.fsum(weights)


WINDOWS: dict[Window, SSIMWindow] = {
    "uniform7": SSIMWindow(7, None, True, "scikit-image defaults: 7x7 uniform window, sample covariance"),
    "gaussian11": SSIMWindow(11, 1.5, False, "11x11 Gaussian window of standard deviation 1.5, as in Wang et al."),
}
_BAND = 32
"""Number of rows of windows computed at once, so that they stay in the processor's cache."""


def similarity_maps(
    image: Tensor, reference: Tensor, window: SSIMWindow, negative: str = "kept", data_range: float = 255
) -> Array:
    """Return SSIM of every window inside two images (c, h, w) in 0..255: (c, h - side + 1, w - side + 1) float64.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, eq. 13, with K1 .01,
    K2 .03 and L ``data_range``. ``negative="zero"`` clamps the covariance factor at 0; no other factor can be negative,
    because pixels are not.
    """
    channels, height, width = image.shape
    maps = np.empty((channels, height - window.side + 1, width - window.side + 1))
    for rows, *planes in zip(maps, image.numpy(), reference.numpy(), strict=True):
        for top in range(0, len(rows), _BAND):
            x, y = (plane[top : top + _BAND + window.side - 1].astype(np.float64) for plane in planes)
            rows[top : top + _BAND] = _similarities(x, y, window, negative, data_range)
    return maps


def _similarities(x: Array, y: Array, window: SSIMWindow, negative: str, data_range: float) -> Array:
    """Return SSIM of every window inside two channels (h, w) float64."""
    pixels = window.side**2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = window.means(x), window.means(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance, variances = window.means(x * y) - product, window.means(x**2 + y**2) - squares
    if window.has_sample_covariance:
        covariance *= pixels / (pixels - 1)
        variances *= pixels / (pixels - 1)
    structure = 2 * covariance + c2
    if negative == "zero":
        structure = np.maximum(structure, 0)
    similarities: Array = (2 * product + c1) * structure / ((squares + c1) * (variances + c2))
    return similarities


def weighted(images: Tensor, weights: Sequence[float]) -> Tensor:
    """Map (..., 3, h, w) to (..., h, w) float64, the weighted sum of R, G and B."""
    pixels = images.double()
    return torch.einsum("...chw,c->...hw", pixels, pixels.new_tensor(weights))


COLOURS: dict[Colour, tuple[tuple[float, float, float], int, str]] = {
    "bt601": ((65.481, 128.553, 24.966), 16, "Y of BT.601 in 16..235"),
    "yiq": ((76.245, 149.685, 29.07), 0, "Y of YIQ in 0..255 (.299 R + .587 G + .114 B, pyiqa's default)"),
    "full": ((76.245, 149.685, 29.07), 0, "Y of BT.601 in 0..255, OpenCV's grey"),
}
"""Definitions of Y: weights of R, G and B in 0..1, offset, and words. ``yiq`` and ``full`` differ only in rounding."""


@dataclass(frozen=True)
class ComparedRegion:
    """The part of an image that a metric compares: its channels without a border."""

    channels: Channels
    border: Border
    rounded: bool = True
    """Whether Y is rounded to uint8."""
    colour: Colour = "bt601"

    def __post_init__(self) -> None:
        """Raise MetricError for options of Y without Y."""
        if self.channels == "RGB" and (self.rounded, self.colour) != (True, "bt601"):
            raise MetricError("round and colour apply to Y only; add channels=Y, or leave them out")

    @property
    def needs(self) -> tuple[Literal["HR", "scale"], ...]:
        """HR, and the scale if the border depends on it; the size of LR determines the scale."""
        return ("HR", "scale") if self.border == "scale" else ("HR",)

    @property
    def heading(self) -> str:
        """Channels for the end of a title: ``(RGB)``, ``(Y)``, ``(Y of YIQ)`` or ``(Y in 0..255)``."""
        colour = {"bt601": "", "yiq": " of YIQ", "full": " in 0..255"}[self.colour]
        return f"({self.channels}{colour})"

    @property
    def signature(self) -> str:
        """First parts of a signature, the channels and their non-default options: ``Y|yiq|unrounded``."""
        colour = "" if self.colour == "bt601" else self.colour
        return "|".join(filter(None, [self.channels, colour, "" if self.rounded else "unrounded"]))

    def cropped(self, further: int = 0) -> str:
        """Return the border for a signature, plus what the metric itself leaves out: ``crop3``, ``crop(scale+5)``."""
        if isinstance(self.border, int):
            return f"crop{self.border + further}"
        return f"crop(scale+{further})" if further else "crop(scale)"

    @property
    def sentence(self) -> str:
        """The region in words, for a protocol."""
        rounding = "rounded to uint8" if self.rounded else "not rounded"
        channels = f", {COLOURS[self.colour][2]}, {rounding}" if self.channels == "Y" else ""
        border = "as many pixels as the scale" if self.border == "scale" else f"{self.border} pixels"
        return f"uint8 RGB by {{quantize}}{channels}, {f'{border} left out at each side' if self.border else 'no crop'}"

    def of(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Map uint8 (n, 3, H, W) of the size of HR to (n, 3, h, w), or (n, 1, h, w) for Y; float64 if not rounded.

        Raises MetricError if the border leaves nothing.
        """
        width = pair.scale if isinstance(self.border, str) else self.border
        height_left, width_left = (side - 2 * width for side in images.shape[-2:])
        if min(height_left, width_left) < 1:
            raise MetricError(f"{pair.name}: a border of {width} pixels leaves nothing; use larger images")
        return self.channels_of(images[..., width : width + height_left, width : width + width_left])

    def channels_of(self, images: Tensor) -> Tensor:
        """Map (..., 3, h, w), uint8 or float64 in 0..255, to the same, or to (..., 1, h, w) for Y; float64 is kept."""
        return self._luma(images).unsqueeze(-3) if self.channels == "Y" else images.contiguous()

    def _luma(self, images: Tensor) -> Tensor:
        weights, offset, _ = COLOURS[self.colour]
        if not self.rounded or images.dtype != torch.uint8:
            values = weighted(images, weights) / 255 + offset
            return (values + 0.5).floor() if self.rounded else values
        if self.colour == "bt601":
            return luma(images)
        if self.colour == "yiq":  # in float32 like pyiqa, which matters for one colour in a thousand, an exact half
            red, green, blue = (images.float() / 255).unbind(dim=-3)
            return ((0.299 * red + 0.587 * green + 0.114 * blue) * 255).round().byte()
        red, green, blue = images.int().unbind(dim=-3)  # OpenCV's weights in units of 2^-15
        return ((9798 * red + 19235 * green + 3735 * blue + 2**14) >> 15).byte()


class PSNR(EightBitMetric):
    """Peak signal-to-noise ratio to the HR image."""

    def __init__(
        self, channels: Channels = "RGB", border: Border = 0, round: bool = True, colour: Colour = "bt601"
    ) -> None:
        self._region = ComparedRegion(channels, border, round, colour)
        self.needs = self._region.needs
        self.info = MetricInfo(
            name="psnr",
            title=f"PSNR {self._region.heading}",
            group="Distortion",
            is_primary=True,
            direction=1,
            unit="dB",
            signature=f"{self._region.signature}|{self._region.cropped()}|v1",
            protocol=(
                f"{self._region.sentence}, one mean squared error over all pixels and channels, peak 255; "
                "identical images: inf"
            ),
        )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return (n,) values in dB."""
        hr = self._region.of(hr_as_uint8(pair)[None], pair)
        return decibels(mean_squared_errors(self._region.of(images, pair), hr))


class SSIM(EightBitMetric):
    """Structural similarity to the HR image.

    The official SRFlow test code uses window ``uniform7``; the SSIM paper and most tables use ``gaussian11``.
    ``negative=zero`` clamps negative covariance factors at 0, as pyiqa does.
    """

    def __init__(
        self,
        channels: Channels = "RGB",
        border: Border = 0,
        window: Window = "uniform7",
        round: bool = True,
        colour: Colour = "bt601",
        negative: Literal["kept", "zero"] = "kept",
    ) -> None:
        self._region = ComparedRegion(channels, border, round, colour)
        self._window, self._negative = WINDOWS[window], negative
        left_out = self._window.side // 2
        seen = "uint8 RGB by {quantize}" if self._region == ComparedRegion("RGB", 0) else self._region.sentence
        zero, clipped = ("negative0", ", factors of covariance below 0 set to 0") if negative == "zero" else ("", "")
        parts = [self._region.signature, window, zero, self._region.cropped(left_out), "v1"]
        self.needs = self._region.needs
        self.info = MetricInfo(
            name="ssim",
            title=f"SSIM {self._region.heading}",
            group="Distortion",
            direction=1,
            digits=3,
            signature="|".join(filter(None, parts)),
            protocol=(
                f"{seen}, {self._window.sentence}, K1 .01, K2 .03, "
                f"range 255{clipped}, {left_out} border pixels left out, mean over channels"
            ),
        )

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return (n,) values in -1..1. Raises MetricError if the region is smaller than the window."""
        outputs, hr = (self._region.of(each, pair).cpu() for each in (images, hr_as_uint8(pair)[None]))
        require_side(outputs, self._window.side, "SSIM", pair.name)
        means = [similarity_maps(output, hr[0], self._window, self._negative).mean() for output in outputs]
        return torch.tensor(means, dtype=torch.float64)
