"""The steps of degradations: blurs, noise, resizing, JPEG.

``blur``, ``noise``, ``jpeg`` and ``downscale`` round to 8 bits. ``sharpen``, ``kernel``, ``rescale``, ``grain`` and
``finish`` are those of Real-ESRGAN (Wang et al., 2021), shared by StableSR and many other papers, and do not round;
formulas and constants are those of BasicSR 1.4.2 (data/degradations.py, utils/img_process_util.py) and Real-ESRGAN
0.3.0 (data/realesrgan_dataset.py, models/realesrgan_model.py), except that JPEG is Pillow's.

A value given as a range [low, high] is drawn uniformly for every image.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate, correlate1d
from scipy.special import j1
from torch import Tensor

from srbench.data import DataError
from srbench.data.degradations.draws import (
    Range,
    bernoulli,
    categorical,
    choice,
    require_distribution,
    require_probabilities,
    uniform,
)
from srbench.images.resize import downscale_uint8

Size = tuple[int, int]
"""Height and width."""
SIDES = range(7, 22, 2)
"""Sides of Real-ESRGAN's kernels, all equally likely."""
UNFILTERED = ("area", "bilinear", "bicubic")
"""Real-ESRGAN's methods of resizing, torch's without antialiasing, all equally likely."""


class Step:
    """Maps grey levels (3, h, w), uint8 or float64, to (3, h', w'), given the size of LR and a generator."""

    downscales: ClassVar[bool] = False
    """True if the result has the size of LR."""

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Apply the step. Raises DataError for a size that it cannot take."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """Kind and all values, from which random numbers are seeded: ``noise sigma 1..10 grey False``."""
        values = asdict(self)  # type: ignore[call-overload]
        given = [
            f"{name.replace('_', ' ')} {_short(value, '..')}" for name, value in values.items() if value is not None
        ]
        return " ".join([type(self).__name__.lower(), *given])

    @property
    def words(self) -> str:
        """Kind and values for readers: ``noise sigma 1 to 10 grey``."""
        given = [type(self).__name__.lower()]
        for name, value in asdict(self).items():  # type: ignore[call-overload]
            if value is not None and value is not False:
                given.append(name.replace("_", " ") + ("" if value is True else f" {_short(value, ' to ')}"))
        return " ".join(given)


def _short(value: Any, to: str) -> str:  # noqa: ANN401 - any value of a step
    if isinstance(value, Range):
        return f"{value[0]:g}{to}{value[1]:g}" if value[0] != value[1] else f"{value[0]:g}"
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Blur(Step):
    """Gaussian blur, ``sigma`` in pixels; cut at three standard deviations;
    borders are reflected with the edge pixel.
    """

    sigma: Range

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        sigma = max(self.sigma.draw(generator), 1e-3)
        side = 1 + 2 * max(1, math.ceil(3 * sigma))
        kernel = blur_kernel(side, sigma, sigma, 0, 1, plateau=False)
        return rounded(torch.from_numpy(correlate(image.double().numpy(), kernel[None], mode="reflect")))


@dataclass(frozen=True)
class Kernel(Step):
    """Blur by a random kernel, with probability ``chance``.

    The kernel is a sinc filter with probability ``sinc``, and otherwise of a kind drawn with
    ``probabilities``: round and elliptic Gaussian, round and elliptic generalized Gaussian, round and elliptic plateau.
    ``generalized`` and ``plateau`` are the ranges of their exponents; an exponent is above or below 1 with equal
    probability.
    """

    sigma: Range
    generalized: Range
    plateau: Range
    probabilities: tuple[float, ...]
    sinc: float
    chance: float = 1.0

    def __post_init__(self) -> None:
        require_distribution(self.probabilities, 6)
        require_probabilities(sinc=self.sinc, chance=self.chance)
        if (
            not self.sigma[0]
            or not self.generalized[0] <= 1 <= self.generalized[1]
            or not self.plateau[0] <= 1 <= self.plateau[1]
        ):
            raise ValueError("sigma has to be above 0, and the ranges generalized and plateau have to contain 1")

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        if not bernoulli(self.chance, generator):
            return image.double()
        side = choice(SIDES, generator)
        if bernoulli(self.sinc, generator):
            cutoff = uniform((math.pi / (3 if side < 13 else 5), math.pi), generator)
            return filtered(image, sinc_kernel(cutoff, side))
        family, elliptic = divmod(categorical(self.probabilities, generator), 2)
        sigma = other_sigma = self.sigma.draw(generator)
        angle = 0.0
        if elliptic:
            other_sigma = self.sigma.draw(generator)
            angle = uniform((-math.pi, math.pi), generator)
        exponent = 1.0
        if family:
            low, high = self.generalized if family == 1 else self.plateau
            exponent = uniform((low, 1) if bernoulli(0.5, generator) else (1, high), generator)
        return filtered(image, blur_kernel(side, sigma, other_sigma, angle, exponent, plateau=family == 2))


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
    return normalised(1 / (1 + power) if plateau else np.exp(-power / 2))


def sinc_kernel(cutoff: float, side: int) -> NDArray[np.float64]:
    """Return the circular low-pass filter (side, side) with sum 1; ``cutoff`` in radians per pixel, up to pi."""
    y, x = _grid(side)
    distance = np.hypot(x, y)
    centre = distance == 0
    distance[centre] = 1
    radial = cutoff * j1(cutoff * distance) / (2 * math.pi * distance)
    return normalised(np.where(centre, cutoff**2 / (4 * math.pi), radial))


def _grid(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    line = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(line, line, indexing="ij")
    return y, x


def filtered(image: Tensor, kernel: NDArray[np.float64]) -> Tensor:
    """Correlate every channel of (3, h, w) with a kernel; borders are reflected without repeating the edge pixel."""
    return torch.from_numpy(correlate(image.double().numpy(), kernel[None], mode="mirror"))


def normalised(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide a kernel by its sum."""
    total: np.float64 = kernel.sum()
    return np.divide(kernel, total)


@dataclass(frozen=True)
class Sharpen(Step):
    """Unsharp masking, where the image differs from its blurred version by more than 10 grey levels.

    Adds half the difference from a Gaussian blur of sigma 8; consumes no random numbers.
    """

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        pixels = image.double().numpy()
        difference = pixels - _smooth(pixels)
        mask = _smooth((np.abs(difference) > 10).astype(np.float64))
        sharp = np.clip(pixels + 0.5 * difference, 0, 255)
        return torch.from_numpy(mask * sharp + (1 - mask) * pixels)


def _smooth(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = normalised(np.exp(-((np.arange(-25, 26) / 8) ** 2) / 2))
    for axis in (1, 2):
        pixels = correlate1d(pixels, kernel, axis, mode="mirror")
    return pixels


@dataclass(frozen=True)
class Noise(Step):
    """Gaussian noise, ``sigma`` in grey levels; ``grey`` adds the same noise to all channels."""

    sigma: Range
    grey: bool = False

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        sigma = self.sigma.draw(generator)
        return rounded(image + sigma * normal(1 if self.grey else 3, image, generator))


@dataclass(frozen=True)
class Grain(Step):
    """Gaussian noise with probability ``gaussian``, and otherwise Poisson noise, clamped to 0..255.

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
        image = image.double()
        is_gaussian = bernoulli(self.gaussian, generator)
        strength = (self.sigma if is_gaussian else self.poisson).draw(generator)
        grey = bernoulli(self.grey, generator)
        noise = normal(1 if grey else 3, image, generator) if is_gaussian else poisson_noise(image, grey, generator)
        return (image + strength * noise).clamp(0, 255)


def normal(channels: int, image: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers (channels, h, w) for an image (3, h, w)."""
    return torch.randn((channels, *image.shape[-2:]), generator=generator, dtype=torch.float64)


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


@dataclass(frozen=True)
class Jpeg(Step):
    """JPEG compression with Pillow's default tables and chroma subsampling, the quality rounded to a whole number."""

    quality: Range

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        buffer = io.BytesIO()
        _pillow(rounded(image)).save(buffer, format="JPEG", quality=round(self.quality.draw(generator)))
        with Image.open(buffer, formats=["JPEG"]) as file:
            return _tensor(file.convert("RGB"))


@dataclass(frozen=True)
class Rescale(Step):
    """Upscale, downscale or keep the size, with ``probabilities``, by a random method.

    The factor is drawn from 1 to the upper or the lower end of ``factor``. It refers to the size of the image, or with
    ``of_lr`` to the size of LR. Sides are rounded down.
    """

    factor: Range
    probabilities: tuple[float, ...]
    of_lr: bool = False

    def __post_init__(self) -> None:
        require_distribution(self.probabilities, 3)
        if not 0 < self.factor[0] <= 1 <= self.factor[1]:
            raise ValueError("factor has to be a range above 0 that contains 1")

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        low, high = self.factor
        factor = uniform(((1, high), (low, 1), (1, 1))[categorical(self.probabilities, generator)], generator)
        sides = lr if self.of_lr else image.shape[-2:]
        if min(sides) * factor < 1:
            raise DataError(
                f"an image of {sides[1]}x{sides[0]} cannot be resized {factor:.3g} times; use larger images"
            )
        to = (int(lr[0] * factor), int(lr[1] * factor)) if self.of_lr else factor
        return _unfiltered(image, to, generator)


@dataclass(frozen=True)
class Downscale(Step):
    """Downscale to the size of LR; consumes no random numbers."""

    downscales = True
    by: str

    def __post_init__(self) -> None:
        if self.by not in METHODS:
            raise ValueError(f"by {self.by!r}; choose from {', '.join(METHODS)}")

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        return METHODS[self.by](rounded(image), lr)


@dataclass(frozen=True)
class Finish(Step):
    """Downscale to the size of LR, filter by a sinc with probability ``sinc``, and compress by JPEG before or after."""

    downscales = True
    sinc: float
    quality: Range

    def __post_init__(self) -> None:
        require_probabilities(sinc=self.sinc)

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        jpeg = Jpeg(self.quality)
        jpeg_last = bernoulli(0.5, generator)
        if not jpeg_last:
            image = jpeg(image, lr, generator)
        image = _unfiltered(image, lr, generator)
        if bernoulli(self.sinc, generator):
            side = choice(SIDES, generator)
            image = filtered(image, sinc_kernel(uniform((math.pi / 3, math.pi), generator), side))
        return jpeg(image, lr, generator) if jpeg_last else image


def _unfiltered(image: Tensor, to: Size | float, generator: torch.Generator) -> Tensor:
    method = choice(UNFILTERED, generator)
    size, factor = (None, to) if isinstance(to, float) else (to, None)
    return F.interpolate(image.double()[None], size=size, scale_factor=factor, mode=method)[0]


def _matlab(image: Tensor, size: Size) -> Tensor:
    height, width = image.shape[-2:]
    if height % size[0] or width % size[1] or height // size[0] != width // size[1]:
        raise DataError(
            f"MATLAB's bicubic resizes {width}x{height} only by integer factors, not to {size[1]}x{size[0]}; "
            "downscale by bicubic after a rescale"
        )
    return downscale_uint8(image, height // size[0])


def _by_opencv(image: Tensor, size: Size) -> Tensor:
    import cv2

    array = cv2.resize(image.permute(1, 2, 0).numpy(), (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _by_torch(mode: str, **options: bool) -> Callable[[Tensor, Size], Tensor]:
    return lambda image, size: rounded(F.interpolate(image.double()[None], size=size, mode=mode, **options)[0])


METHODS: dict[str, Callable[[Tensor, Size], Tensor]] = {
    "matlab": _matlab,
    "pillow": lambda image, size: _tensor(_pillow(image).resize((size[1], size[0]), Image.Resampling.BICUBIC)),
    "opencv": _by_opencv,
    "torch": _by_torch("bicubic"),
    "bicubic": _by_torch("bicubic", antialias=True),
    "bilinear": _by_torch("bilinear", antialias=True),
    "area": _by_torch("area"),
}
"""Methods of ``downscale``; ``torch`` is torch's bicubic without antialiasing."""


def rounded(image: Tensor) -> Tensor:
    """Round grey levels to uint8, clamped to 0..255."""
    return image.round().clamp(0, 255).to(torch.uint8)


def _pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
