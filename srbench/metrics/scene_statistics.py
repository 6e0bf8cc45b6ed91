"""Natural scene statistics, shared by NIQE, BRISQUE and PIQUE. Everything is float64.

Ruderman, "The statistics of natural images", 1994; Mittal, Moorthy and Bovik, "No-reference image quality
assessment in the spatial domain", 2012 (BRISQUE); Mittal, Soundararajan and Bovik, "Making a completely blind
image quality analyzer", 2013 (NIQE). Details that the papers leave open follow the authors' MATLAB release.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.images.resize import downscale
from srbench.metrics.pixel import gaussian_weights, weighted

Array = NDArray[np.float64]

# MATLAB's rgb2gray: the first row of the inverse NTSC matrix, not rounded to .299, .587, .114.
GREY = (0.298936021293776, 0.587043074451121, 0.114020904255103)

_WINDOW = gaussian_weights(3, 7 / 6)

# All shapes that a fit may have and their moments, as a lookup table.
_SHAPES = np.arange(200, 10001) / 1000
_GAMMA_1, _GAMMA_2, _GAMMA_3 = (np.array([math.gamma(k / shape) for shape in _SHAPES.tolist()]) for k in (1, 2, 3))
_ABSOLUTE_TO_SQUARE = _GAMMA_2**2 / (_GAMMA_1 * _GAMMA_3)
# Shape, scale parameter over deviation, and mean over difference of scale parameters; the last column is NaN: no fit.
_FACTORS = np.stack([_SHAPES, np.sqrt(_GAMMA_1 / _GAMMA_3), _GAMMA_2 / _GAMMA_1])
_FACTORS = np.append(_FACTORS, np.full((3, 1), np.nan), axis=1)


class AsymmetricGaussian(NamedTuple):
    """Asymmetric generalised Gaussian distributions with mode 0, one per array element; NaN if the fit failed."""

    shape: Array
    """Shape: 2 is a Gaussian, 1 a Laplacian."""
    mean: Array
    """Mean of the distribution, not 0 if left and right side differ."""
    deviations: tuple[Array, Array]
    """Root mean squares of the negative and of the positive values."""
    scales: tuple[Array, Array]
    """Scale parameters of both sides: deviation times sqrt(gamma(1/shape) / gamma(3/shape))."""


def grey(image: Tensor) -> Array:
    """Map (3, H, W) in 0..255 to (H, W) whole numbers in 0..255, like MATLAB's rgb2gray."""
    rounded: Array = (weighted(image.cpu(), GREY) + 0.5).floor().numpy()
    return rounded


def contrast_normalised(image: Array, border: Literal["nearest", "constant"]) -> Array:
    """Subtract the local mean from (H, W), and divide by the local standard deviation plus 1 (MSCN coefficients).

    The window is a 7x7 Gaussian of standard deviation 7/6; ``border`` repeats the edge pixel or pads with zeros. In a
    flat window the result is 0 up to rounding, but a fit that counts positive and negative values would take rounding
    noise for samples, so values below 1e-9 are set to 0.
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
    import cv2

    outside = {"nearest": cv2.BORDER_REPLICATE, "constant": cv2.BORDER_CONSTANT}[border]
    smooth = cv2.sepFilter2D(image, cv2.CV_64F, _WINDOW, _WINDOW, borderType=outside)
    return np.asarray(smooth, dtype=np.float64)


def halve(image: Array) -> Array:
    """Downscale (H, W) to (ceil(H/2), ceil(W/2)) like MATLAB's imresize by 0.5."""
    height, width = image.shape
    # Odd sides are made even. Eight more mirrored rows, as in imresize, keep the kernel away from the edge.
    extended = np.pad(image, ((0, 8 + height % 2), (0, 8 + width % 2)), mode="symmetric")
    halved: Array = downscale(torch.from_numpy(extended), 2).numpy()
    return halved[: (height + 1) // 2, : (width + 1) // 2]


def neighbour_products(field: Array) -> Iterator[Array]:
    """Yield the products of (..., h, w) with its left, upper and two upper diagonal neighbours, of the same shape.

    The field is periodic, like the authors' circshift. All four products share one array, which is overwritten.
    """
    around = np.empty((*field.shape[:-2], field.shape[-2] + 1, field.shape[-1] + 2))
    around[..., 1:, 1:-1], around[..., 0, 1:-1] = field, field[..., -1, :]
    around[..., 0], around[..., -1] = around[..., -2], around[..., 1]
    left, upper = around[..., 1:, :-2], around[..., :-1, :]
    products = np.empty(field.shape)
    for neighbours in (left, upper[..., 1:-1], upper[..., :-2], upper[..., 2:]):
        yield np.multiply(field, neighbours, out=products)


def fit_symmetric(values: Array) -> tuple[float, float]:
    """Fit shape and standard deviation of a generalised Gaussian with mean 0, by moment matching.

    The shape is the one of 0.2, 0.201 .. 10 with the nearest ratio of moments; NaN if all values are 0.
    """
    square = np.square(values).mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = square / np.square(np.abs(values).mean())
    if not np.isfinite(ratio):
        return float("nan"), 0.0
    return float(_SHAPES[np.abs(1 / _ABSOLUTE_TO_SQUARE - ratio).argmin()]), float(np.sqrt(square))


def fit_asymmetric(values: Array) -> AsymmetricGaussian:
    """Fit an asymmetric generalised Gaussian to (h, w) for each leading index of (..., h, w), by moment matching.

    Lasmar, Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", 2009. The shape is one
    of 0.2, 0.201 .. 10; NaN without any negative or without any positive value.
    """
    flat = values.reshape(*values.shape[:-2], -1)
    part = np.abs(flat)
    absolute = part.sum(axis=-1)
    # part becomes twice the positive part, then twice the negative part. Sums are vectorised, unlike minima.
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
    nearest = np.where(np.isnan(wanted), -1, next_above - is_nearer_below)
    shape, to_scale, to_mean = _FACTORS[:, nearest]
    scales = left * to_scale, right * to_scale
    return AsymmetricGaussian(shape, (scales[1] - scales[0]) * to_mean, (left, right), scales)


def _squares(values: Array) -> Array:
    """Sum squares over the last axis, without BLAS, whose order of summation depends on its number of threads."""
    sums: Array = np.einsum("...i,...i->...", values, values)
    return sums


def _counts(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count True over the last axis, row by row, which is faster than along an axis."""
    rows = mask.reshape(-1, mask.shape[-1])
    return np.array([np.count_nonzero(row) for row in rows]).reshape(mask.shape[:-1])
