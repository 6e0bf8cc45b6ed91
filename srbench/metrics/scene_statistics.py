"""Statistics of natural images, shared by NIQE, BRISQUE and PIQUE. Everything is float64.

Ruderman, "The statistics of natural images", 1994; Mittal, Moorthy and Bovik, "No-reference image quality
assessment in the spatial domain", 2012 (BRISQUE); Mittal, Soundararajan and Bovik, "Making a completely blind
image quality analyzer", 2013 (NIQE). Where the papers leave something open, the authors' MATLAB release
decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from srbench.images.resize import downscale
from srbench.metrics.pixel import weighted

Array = NDArray[np.float64]

# MATLAB's rgb2gray: the first row of the inverse of the NTSC matrix, not rounded to .299, .587, .114.
GREY = (0.298936021293776, 0.587043074451121, 0.114020904255103)

# Every shape that a fit may have, and the moments that follow from it: one fit looks them up.
_SHAPES = np.arange(200, 10001) / 1000
_GAMMA_1, _GAMMA_2, _GAMMA_3 = (np.array([math.gamma(k / shape) for shape in _SHAPES.tolist()]) for k in (1, 2, 3))
_ABSOLUTE_TO_SQUARE = _GAMMA_2**2 / (_GAMMA_1 * _GAMMA_3)
# Shape, scale parameter over deviation, and mean over difference of the scale parameters; NaN at the end, for no fit.
_FACTORS = np.stack([_SHAPES, np.sqrt(_GAMMA_1 / _GAMMA_3), _GAMMA_2 / _GAMMA_1])
_FACTORS = np.append(_FACTORS, np.full((3, 1), np.nan), axis=1)


class AsymmetricGaussian(NamedTuple):
    """Generalised Gaussian distributions with mean 0 on both sides of it, one an array element; NaN without a fit."""

    shape: Array
    """Shape: 2 is a Gaussian, 1 a Laplacian."""
    mean: Array
    """Mean of the whole distribution, not 0 where left and right differ."""
    deviations: tuple[Array, Array]
    """Root mean squares of the negative and of the positive values."""
    scales: tuple[Array, Array]
    """Scale parameters on both sides: deviation times sqrt(gamma(1/shape) / gamma(3/shape))."""


def grey(image: Tensor) -> Array:
    """(3, H, W) in 0..255 -> (H, W) whole numbers in 0..255, as MATLAB's rgb2gray gives them."""
    rounded: Array = (weighted(image.cpu(), GREY) + 0.5).floor().numpy()
    return rounded


def contrast_normalised(image: Array, border: Literal["nearest", "constant"]) -> Array:
    """(H, W) -> (H, W): less the local mean, over the local standard deviation plus 1.

    The window is a 7x7 Gaussian of standard deviation 7/6; ``border`` repeats the edge pixel or reads zeros
    outside. In a window of one colour the result is 0 but for the last bit of the arithmetic, and a fit that
    counts positive and negative values would take that noise for samples. Such values are set to 0.
    """
    mean, square = _smooth(image, border), np.square(image)
    spread = _smooth(square, border)
    spread -= np.square(mean, out=square)
    np.sqrt(np.abs(spread, out=spread), out=spread)
    spread += 1
    field = np.subtract(image, mean, out=mean)
    field /= spread
    field[np.abs(field, out=spread) < 1e-9] = 0
    return field


def _smooth(image: Array, border: Literal["nearest", "constant"]) -> Array:
    smooth: Array = gaussian_filter(image, 7 / 6, mode=border, radius=3)
    return smooth


def half(image: Array) -> Array:
    """(H, W) -> (ceil(H/2), ceil(W/2)): MATLAB's imresize by 0.5."""
    height, width = image.shape
    # An odd side gets one row more; eight mirrored ones, as imresize has them, keep the kernel off that edge.
    extended = np.pad(image, ((0, 8 + height % 2), (0, 8 + width % 2)), mode="symmetric")
    halved: Array = downscale(torch.from_numpy(extended), 2).numpy()
    return halved[: (height + 1) // 2, : (width + 1) // 2]


def neighbour_products(field: Array) -> Iterator[Array]:
    """(..., h, w) -> four of that shape, one by one: each value times its left, upper and two diagonal neighbours.

    The field is taken as periodic, as the authors' circshift does. Every array is overwritten by the next.
    """
    around = np.empty((*field.shape[:-2], field.shape[-2] + 1, field.shape[-1] + 2))
    around[..., 1:, 1:-1], around[..., 0, 1:-1] = field, field[..., -1, :]
    around[..., 0], around[..., -1] = around[..., -2], around[..., 1]
    left, upper = around[..., 1:, :-2], around[..., :-1, :]
    products = np.empty(field.shape)
    for neighbours in (left, upper[..., 1:-1], upper[..., :-2], upper[..., 2:]):
        yield np.multiply(field, neighbours, out=products)


def fit_symmetric(values: Array) -> tuple[float, float]:
    """Shape and standard deviation of a generalised Gaussian with mean 0, by matching moments.

    The shape is one of 0.2, 0.201 .. 10, that whose ratio of moments is nearest. NaN where all values are 0.
    """
    square = np.square(values).mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = square / np.square(np.abs(values).mean())
    if not np.isfinite(ratio):
        return float("nan"), 0.0
    return float(_SHAPES[np.abs(1 / _ABSOLUTE_TO_SQUARE - ratio).argmin()]), float(np.sqrt(square))


def fit_asymmetric(values: Array) -> AsymmetricGaussian:
    """(..., h, w) -> one fit for each leading index, by matching moments.

    Lasmar, Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", 2009. The
    shape is one of 0.2, 0.201 .. 10. NaN where there is no negative or no positive value.
    """
    flat = values.reshape(*values.shape[:-2], -1)
    part = np.abs(flat)
    absolute = part.sum(axis=-1)
    # Twice what is positive, and twice what is negative: sums, unlike minima, take a processor's wide instructions.
    part += flat
    above = _squares(part) / 4
    part -= flat
    part -= flat
    below = _squares(part) / 4
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(below / _counts(flat < 0))
        right = np.sqrt(above / _counts(flat > 0))
        ratio = np.square(absolute / flat.shape[-1]) / ((below + above) / flat.shape[-1])
        skew = left / right
        wanted = ratio * (skew**3 + 1) * (skew + 1) / np.square(skew**2 + 1)
    next_above = np.searchsorted(_ABSOLUTE_TO_SQUARE, wanted).clip(1, len(_SHAPES) - 1)
    is_nearer_below = wanted - _ABSOLUTE_TO_SQUARE[next_above - 1] <= _ABSOLUTE_TO_SQUARE[next_above] - wanted
    place = np.where(np.isnan(wanted), -1, next_above - is_nearer_below)
    shape, to_scale, to_mean = _FACTORS[:, place]
    scales = left * to_scale, right * to_scale
    return AsymmetricGaussian(shape, (scales[1] - scales[0]) * to_mean, (left, right), scales)


def _squares(values: Array) -> Array:
    """(..., n) -> (...): sums of squares, not by BLAS: its order of a long sum depends on its number of threads."""
    sums: Array = np.einsum("...i,...i->...", values, values)
    return sums


def _counts(found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(..., n) -> (...): True values, counted row by row, in a third of the time that numpy takes along an axis."""
    rows = found.reshape(-1, found.shape[-1])
    return np.array([np.count_nonzero(row) for row in rows]).reshape(found.shape[:-1])
