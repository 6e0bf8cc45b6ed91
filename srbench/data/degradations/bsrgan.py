"""The step of BSRGAN's degradation (Zhang et al., 2021): blur, downscaling, noise and JPEG in random order.

Formulas and constants are those of the published code (utils/utils_blindsr.py in github.com/cszn/BSRGAN at 5ce1a9c),
except that JPEG is Pillow's. The noise of a camera's sensor is left out, as in the published training, which passes no
model of a camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import shift
from torch import Tensor

from srbench.data import DataError
from srbench.data.degradations.draws import Range, bernoulli, choice, require_probabilities, uniform
from srbench.data.degradations.steps import Jpeg, Size, Step, blur_kernel, filtered, normal, normalised
from srbench.images.resize import downscale

SIDES = range(7, 26, 2)
"""Sides of blur kernels, all equally likely."""
METHODS = ("bilinear", "bicubic", "area")
"""OpenCV's methods of resizing, without antialiasing, all equally likely."""


@dataclass(frozen=True)
class Shuffle(Step):
    """Two blurs, two downscalings, noise and JPEG in random order; the last downscaling always gives the size of LR.

    An image four times as large as LR is first halved with probability ``halved``. The first downscaling blurs the
    image and takes every s-th pixel with probability ``sampled``, and otherwise resizes it, down to half the size of
    LR. ``noise`` is the range of standard deviations, whole grey levels. JPEG compresses with probability
    ``compressed``. s is the size of the image before the first downscaling, in sizes of LR; kernels grow with s.
    """

    downscales = True
    halved: float
    sampled: float
    noise: Range
    compressed: float
    quality: Range

    def __post_init__(self) -> None:
        require_probabilities(halved=self.halved, sampled=self.sampled, compressed=self.compressed)

    def __call__(self, image: Tensor, lr: Size, generator: torch.Generator) -> Tensor:
        image = image.double()
        scale = round(image.shape[-2] / lr[0])
        if scale == 4 and bernoulli(self.halved, generator):
            image, scale = _halved(image, generator), 2
        order = torch.randperm(6, generator=generator).tolist()
        first, second = order.index(2), order.index(3)
        if first > second:
            order[first], order[second] = 3, 2
        for step in order:
            if step < 2:
                image = _blurred(image, scale, generator)
            elif step == 2:
                image = self._downscaled(image, scale, generator)
            elif step == 3:
                image = _resized(image, lr, generator)
            elif step == 4:
                image = self._noisy(image, generator)
            elif bernoulli(self.compressed, generator):
                image = Jpeg(self.quality)(image, lr, generator).double()
        return image

    def _downscaled(self, image: Tensor, scale: int, generator: torch.Generator) -> Tensor:
        if bernoulli(self.sampled, generator):
            sigma = uniform((0.1, 0.6 * scale), generator)
            kernel = blur_kernel(25, sigma, sigma, 0, 1, plateau=False)
            # the centre of the s x s pixels that the sample stands for
            kernel = shift(kernel, (scale - 1) / 2, order=1, mode="nearest")
            return filtered(image, normalised(kernel))[:, ::scale, ::scale]
        factor = uniform((1, 2 * scale), generator)
        height, width = image.shape[-2:]
        size = int(1 / factor * height), int(1 / factor * width)
        if 0 in size:
            raise DataError(f"an image of {width}x{height} cannot be downscaled {factor:.3g} times; use larger images")
        return _resized(image, size, generator)

    def _noisy(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Add noise of all channels alike, of each channel alone, or correlated, and clamp to 0..255."""
        low, high = self.noise
        sigma = math.floor(uniform((low, high + 1), generator))
        kind = uniform((0, 1), generator)
        if 0.4 <= kind <= 0.6:
            strengths = torch.rand(3, generator=generator, dtype=torch.float64)
            directions = torch.rand((3, 3), generator=generator, dtype=torch.float64)
            mixing = high * mixed(strengths.numpy(), directions.numpy())
            noise = torch.einsum("ij,jhw->ihw", mixing, normal(3, image, generator))
        else:
            noise = sigma * normal(1 if kind < 0.4 else 3, image, generator)
        return (image + noise).clamp(0, 255)


def area(old: int, new: int) -> Tensor:
    """Return the matrix (new, old) that averages ``old`` pixels over the area of each of ``new`` pixels."""
    edges = torch.linspace(0, old, new + 1, dtype=torch.float64)[:, None]
    pixels = torch.arange(old)
    overlap = torch.minimum(edges[1:], pixels + 1) - torch.maximum(edges[:-1], pixels)
    return overlap.clamp(min=0) * new / old


def mixed(strengths: NDArray[np.float64], directions: NDArray[np.float64]) -> Tensor:
    """Return the symmetric root (3, 3) of a covariance of the channels, made of (3,) and (3, 3) numbers from 0 to 1."""
    axes = np.linalg.svd(directions)[0]
    values, vectors = np.linalg.eigh(np.abs(axes.T @ np.diag(strengths) @ axes))
    return torch.from_numpy((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)


def _halved(image: Tensor, generator: torch.Generator) -> Tensor:
    if bernoulli(0.5, generator):
        height, width = image.shape[-2:]
        return _resized(image, (height // 2, width // 2), generator)
    return downscale(image, 2).clamp(0, 255)


def _blurred(image: Tensor, scale: int, generator: torch.Generator) -> Tensor:
    angle = 0.0
    if bernoulli(0.5, generator):
        sigma, other_sigma = (math.sqrt(uniform((0, 4 + scale), generator)) for _ in range(2))
        side = choice(SIDES, generator)
        angle = uniform((0, math.pi), generator)
    else:
        side = choice(SIDES, generator)
        sigma = other_sigma = uniform((0, 2 + 0.2 * scale), generator)
    return filtered(image, blur_kernel(side, max(sigma, 1e-6), max(other_sigma, 1e-6), angle, 1, plateau=False))


def _resized(image: Tensor, size: Size, generator: torch.Generator) -> Tensor:
    method = choice(METHODS, generator)
    if method == "area":
        rows, columns = (area(old, new) for old, new in zip(image.shape[-2:], size, strict=True))
        image = rows @ image @ columns.T
    else:
        image = F.interpolate(image[None], size=size, mode=method)[0]
    return image.clamp(0, 255)
