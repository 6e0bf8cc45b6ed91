"""Steps of a degradation: blur, resizing, noise, JPEG. They map (3, h, w) grey levels, uint8 or float64, to uint8.

A value given as a range [low, high] is drawn uniformly for every image.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import correlate
from torch import Tensor

from srbench.data import DataError
from srbench.images.resize import downscale_uint8

Size = tuple[int, int]
"""Height and width."""


class Range(tuple[float, float]):
    """A closed interval from which a number is drawn."""

    @classmethod
    def read(cls, value: object) -> Range:
        """Read a number or ``[low, high]`` of a TOML file. Raises ValueError."""
        numbers = value if isinstance(value, list | tuple) else [value, value]
        if len(numbers) != 2 or any(type(number) not in (int, float) for number in numbers):
            raise ValueError(f"{value!r} is neither a number nor a range [low, high]")
        low, high = map(float, numbers)
        if not 0 <= low <= high < math.inf:
            raise ValueError(f"{value!r} is not a range of numbers from 0 up; write [low, high]")
        return cls((low, high))

    def draw(self, generator: torch.Generator) -> float:
        """Draw a number. Every call consumes exactly one random number, even if both ends are equal."""
        low, high = self
        return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


@dataclass(frozen=True)
class Blur:
    """Gaussian blur, ``sigma`` in pixels; with ``other_sigma`` it is elliptic, in a random direction."""

    sigma: Range
    other_sigma: Range | None = None

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Blur the image, mirrored at the borders."""
        along = across = self.sigma.draw(generator)
        angle = 0.0
        if self.other_sigma is not None:
            across = self.other_sigma.draw(generator)
            angle = Range((0, math.pi)).draw(generator)
        kernel = gaussian(max(along, 1e-3), max(across, 1e-3), angle)
        blurred = correlate(image.double().numpy(), kernel.numpy()[None], mode="reflect")
        return rounded(torch.from_numpy(blurred))


@dataclass(frozen=True)
class Noise:
    """Gaussian noise, ``sigma`` in grey levels; ``grey`` adds the same noise to all channels."""

    sigma: Range
    grey: bool = False

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Add noise, round, and clamp to 0..255."""
        sigma = self.sigma.draw(generator)
        shape = (1 if self.grey else 3, *image.shape[-2:])
        return rounded(image + sigma * torch.randn(shape, generator=generator, dtype=torch.float64))


@dataclass(frozen=True)
class Jpeg:
    """JPEG compression with Pillow's default tables and chroma subsampling."""

    quality: Range

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Compress, with the quality rounded to a whole number, and decode."""
        buffer = io.BytesIO()
        _pillow(rounded(image)).save(buffer, format="JPEG", quality=round(self.quality.draw(generator)))
        with Image.open(buffer, formats=["JPEG"]) as file:
            return _tensor(file.convert("RGB"))


@dataclass(frozen=True)
class Resize:
    """Resize to ``factor`` times the size, but at least to the size of LR, by a method drawn from ``by``."""

    factor: Range
    by: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self.by, ("matlab",))

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Resize to rounded sides."""
        factor = self.factor.draw(generator)
        place = int(torch.randint(len(self.by), (), generator=generator))
        height, width = (max(round(side * factor), least) for side, least in zip(image.shape[-2:], lr, strict=True))
        return METHODS[self.by[place]](rounded(image), (height, width))


@dataclass(frozen=True)
class Downscale:
    """Downscale to the size of LR."""

    by: str

    def __post_init__(self) -> None:
        _check((self.by,), ())

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        """Downscale; consumes no random numbers."""
        return METHODS[self.by](rounded(image), lr)


def gaussian(sigma: float, other_sigma: float, angle: float) -> Tensor:
    """Return an elliptic Gaussian (n, n) float64 with sum 1, truncated at three of the larger standard deviations."""
    reach = max(1, math.ceil(3 * max(sigma, other_sigma)))
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1, dtype=torch.float64)] * 2, indexing="ij")
    along = math.cos(angle) * x + math.sin(angle) * y
    across = math.cos(angle) * y - math.sin(angle) * x
    kernel = torch.exp(-0.5 * ((along / sigma) ** 2 + (across / other_sigma) ** 2))
    return kernel / kernel.sum()


def _matlab(image: Tensor, size: Size) -> Tensor:
    height, width = image.shape[-2:]
    if height % size[0] or width % size[1] or height // size[0] != width // size[1]:
        raise DataError(
            f"MATLAB's bicubic resizes {width}x{height} only by integer factors, not to {size[1]}x{size[0]}; "
            "downscale by bicubic after a resize"
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
"""Resizing methods; ``torch`` is torch's bicubic without antialiasing."""


def _check(methods: tuple[str, ...], refused: tuple[str, ...]) -> None:
    allowed = [name for name in METHODS if name not in refused]
    for name in methods or ("",):
        if name not in allowed:
            raise ValueError(f"by {name!r}; choose from {', '.join(allowed)}")


def rounded(image: Tensor) -> Tensor:
    """Round grey levels to uint8, clamped to 0..255."""
    return image.round().clamp(0, 255).to(torch.uint8)


def _pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
