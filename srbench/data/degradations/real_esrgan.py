"""Steps of Real-ESRGAN's degradation (Wang et al., 2021), shared by StableSR and many other papers.

They map (3, h, w) grey levels, uint8 or float64, to float64 without rounding. Formulas and constants are those of
BasicSR 1.4.2 (data/degradations.py, utils/img_process_util.py) and Real-ESRGAN 0.3.0 (data/realesrgan_dataset.py,
models/realesrgan_model.py), except that JPEG is Pillow's.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import correlate, correlate1d
from scipy.special import j1
from torch import Tensor

from srbench.data import DataError
from srbench.data.degradations.steps import Jpeg, Range, Size

SIDES = range(7, 22, 2)
"""Sides of kernels, all equally likely."""
METHODS = ("area", "bilinear", "bicubic")
"""Methods of torch's ``interpolate``, without antialiasing, all equally likely."""


@dataclass(frozen=True)
class Sharpen:
    """Unsharp masking, where the image differs from its blurred version by more than 10 grey levels."""

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Sharpen by half the difference from a Gaussian blur of sigma 8; consumes no random numbers."""
        pixels = image.double().numpy()
        difference = pixels - _blurred(pixels)
        mask = _blurred((np.abs(difference) > 10).astype(np.float64))
        sharp = np.clip(pixels + 0.5 * difference, 0, 255)
        return torch.from_numpy(mask * sharp + (1 - mask) * pixels)


@dataclass(frozen=True)
class Kernel:
    """Blur by a random kernel, with probability ``chance``.

    The kernel is a sinc filter with probability ``sinc``, and otherwise of a kind drawn with the probabilities
    ``shares``: round and elliptic Gaussian, round and elliptic generalized Gaussian, round and elliptic plateau.
    ``generalized`` and ``plateau`` are the ranges of their exponents; an exponent is above or below 1 with equal
    probability.
    """

    sigma: Range
    generalized: Range
    plateau: Range
    shares: tuple[float, ...]
    sinc: float
    chance: float = 1.0

    def __post_init__(self) -> None:
        _require_shares(self.shares, 6)
        require_probabilities(sinc=self.sinc, chance=self.chance)
        if (
            not self.sigma[0]
            or not self.generalized[0] <= 1 <= self.generalized[1]
            or not self.plateau[0] <= 1 <= self.plateau[1]
        ):
            raise ValueError("sigma has to be above 0, and the ranges generalized and plateau have to contain 1")

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Blur, reflected at the borders."""
        if not happens(self.chance, generator):
            return image.double()
        side = SIDES[place_in([1 / len(SIDES)] * len(SIDES), generator)]
        if happens(self.sinc, generator):
            cutoff = Range((math.pi / (3 if side < 13 else 5), math.pi)).draw(generator)
            return filtered(image, sinc_kernel(cutoff, side))
        family, elliptic = divmod(place_in(self.shares, generator), 2)
        sigma = other_sigma = self.sigma.draw(generator)
        angle = 0.0
        if elliptic:
            other_sigma = self.sigma.draw(generator)
            angle = Range((-math.pi, math.pi)).draw(generator)
        exponent = 1.0
        if family:
            low, high = self.generalized if family == 1 else self.plateau
            exponent = Range((low, 1) if happens(0.5, generator) else (1, high)).draw(generator)
        return filtered(image, blur_kernel(side, sigma, other_sigma, angle, exponent, plateau=family == 2))


@dataclass(frozen=True)
class Rescale:
    """Enlarge, shrink or keep the size, with the probabilities ``shares``.

    The factor is drawn from 1 to the upper or the lower end of ``factor``. It refers to the size of the image, or with
    ``of_lr`` to the size of LR.
    """

    factor: Range
    shares: tuple[float, ...]
    of_lr: bool = False

    def __post_init__(self) -> None:
        _require_shares(self.shares, 3)
        if not 0 < self.factor[0] <= 1 <= self.factor[1]:
            raise ValueError("factor has to be a range above 0 that contains 1")

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Resize by a random method; sides are rounded down. Raises DataError if a side would be 0."""
        low, high = self.factor
        ends = ((1, high), (low, 1), (1, 1))[place_in(self.shares, generator)]
        factor = Range(ends).draw(generator)
        sides = lr if self.of_lr else image.shape[-2:]
        if min(sides) * factor < 1:
            raise DataError(
                f"an image of {sides[1]}x{sides[0]} cannot be resized {factor:.3g} times; use larger images"
            )
        if self.of_lr:
            return _resized(image, (int(lr[0] * factor), int(lr[1] * factor)), generator)
        return _resized(image, factor, generator)


@dataclass(frozen=True)
class Grain:
    """Gaussian noise with probability ``gaussian``, and otherwise Poisson noise.

    ``sigma`` is the Gaussian's in grey levels, ``poisson`` a factor of the Poisson noise, and ``grey`` the probability
    that all channels get the same noise.
    """

    sigma: Range
    poisson: Range
    gaussian: float
    grey: float

    def __post_init__(self) -> None:
        require_probabilities(gaussian=self.gaussian, grey=self.grey)

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Add noise and clamp to 0..255."""
        image = image.double()
        gaussian = happens(self.gaussian, generator)
        strength = (self.sigma if gaussian else self.poisson).draw(generator)
        grey = happens(self.grey, generator)
        if gaussian:
            shape = (1 if grey else 3, *image.shape[-2:])
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        else:
            noise = poisson_noise(image, grey, generator)
        return (image + strength * noise).clamp(0, 255)


@dataclass(frozen=True)
class Finish:
    """Downscale to the size of LR, filter by a sinc with probability ``sinc``, and compress by JPEG before or after."""

    sinc: float
    quality: Range

    def __post_init__(self) -> None:
        require_probabilities(sinc=self.sinc)

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Do both, in a random order."""
        jpeg = Jpeg(self.quality)
        jpeg_last = happens(0.5, generator)
        if not jpeg_last:
            image = jpeg(image, lr, generator)
        image = _resized(image, lr, generator)
        if happens(self.sinc, generator):
            side = SIDES[place_in([1 / len(SIDES)] * len(SIDES), generator)]
            cutoff = Range((math.pi / 3, math.pi)).draw(generator)
            image = filtered(image, sinc_kernel(cutoff, side))
        return jpeg(image, lr, generator) if jpeg_last else image


def blur_kernel(
    side: int, sigma: float, other_sigma: float, angle: float, exponent: float, *, plateau: bool
) -> NDArray[np.float64]:
    """Return a kernel (side, side) with sum 1 of the elliptic distance r: exp(-r^2e / 2), or a plateau 1 / (1 + r^2e).

    Standard deviations are in pixels, the angle is in radians, e is the exponent.
    """
    y, x = _grid(side)
    along = math.cos(angle) * x + math.sin(angle) * y
    across = math.cos(angle) * y - math.sin(angle) * x
    power = ((along / sigma) ** 2 + (across / other_sigma) ** 2) ** exponent
    return with_sum_1(1 / (1 + power) if plateau else np.exp(-power / 2))


def sinc_kernel(cutoff: float, side: int) -> NDArray[np.float64]:
    """Return the circular low-pass filter (side, side) with sum 1; ``cutoff`` in radians per pixel, up to pi."""
    y, x = _grid(side)
    distance = np.hypot(x, y)
    centre = distance == 0
    distance[centre] = 1
    radial = cutoff * j1(cutoff * distance) / (2 * math.pi * distance)
    return with_sum_1(np.where(centre, cutoff**2 / (4 * math.pi), radial))


def filtered(image: Tensor, kernel: NDArray[np.float64]) -> Tensor:
    """Correlate every channel of (3, h, w) with a kernel; borders are reflected without repeating the edge pixel."""
    return torch.from_numpy(correlate(image.double().numpy(), kernel[None], mode="mirror"))


def poisson_noise(image: Tensor, grey: bool, generator: torch.Generator) -> Tensor:
    """Return Poisson noise of strength 1 for float64 grey levels (3, h, w); (1, h, w) if ``grey``.

    The counts are as large as if the number of distinct levels, rounded up to a power of two, stood for white.
    """
    if grey:
        red, green, blue = image
        image = (0.2989 * red + 0.587 * green + 0.114 * blue)[None]
    exact = image.round().clamp(0, 255)
    white = 2.0 ** math.ceil(math.log2(len(np.unique(exact.numpy()))))
    counts = torch.poisson(exact / 255 * white, generator=generator)
    return counts / white * 255 - exact


def _resized(image: Tensor, to: Size | float, generator: torch.Generator) -> Tensor:
    method = METHODS[place_in([1 / 3] * 3, generator)]
    size, factor = (None, to) if isinstance(to, float) else (to, None)
    return F.interpolate(image.double()[None], size=size, scale_factor=factor, mode=method)[0]


def _blurred(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = with_sum_1(np.exp(-((np.arange(-25, 26) / 8) ** 2) / 2))
    for axis in (1, 2):
        pixels = correlate1d(pixels, kernel, axis, mode="mirror")
    return pixels


def with_sum_1(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide a kernel by its sum."""
    total: np.float64 = kernel.sum()
    return np.divide(kernel, total)


def _grid(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    line = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(line, line, indexing="ij")
    return y, x


def happens(probability: float, generator: torch.Generator) -> bool:
    """Draw whether something happens that has this probability."""
    return Range((0, 1)).draw(generator) < probability


def place_in(shares: Sequence[float], generator: torch.Generator) -> int:
    """Draw a place in a list of probabilities with sum 1."""
    return min(bisect(list(accumulate(shares)), Range((0, 1)).draw(generator)), len(shares) - 1)


def require_probabilities(**chances: float) -> None:
    """Raise ValueError, with the name, for a number that is not a probability."""
    for name, chance in chances.items():
        if not 0 <= chance <= 1:
            raise ValueError(f"{name} is {chance}; it has to be a probability from 0 to 1")


def _require_shares(shares: Sequence[float], number: int) -> None:
    if len(shares) != number or min(shares) < 0 or not math.isclose(sum(shares), 1):
        raise ValueError(f"shares are {list(shares)}; they have to be {number} probabilities with sum 1")
