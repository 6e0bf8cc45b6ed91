from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from scipy.special import gamma

from srbench.images import resize
from srbench.metrics.scene_statistics import (
    contrast_normalised,
    fit_asymmetric,
    fit_symmetric,
    grey,
    halve,
    neighbour_products,
)

RANDOM = np.random.default_rng(11)


@pytest.mark.parametrize(
    ("colour", "value"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((10, 200, 30), 124)]
)
def test_grey_of_colours(colour, value):
    """MATLAB: rgb2gray(uint8(cat(3, 255, 0, 0))) is 76, and so on: rounded, not floored."""
    assert grey(torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1)).item() == value


@pytest.mark.parametrize(("border", "padding"), [("nearest", "edge"), ("constant", "constant")])
def test_contrast_normalisation_against_a_plain_convolution(border, padding):
    image = RANDOM.integers(0, 256, (23, 31)).astype(np.float64)
    y, x = np.mgrid[-3:4, -3:4]
    window = np.exp(-(x**2 + y**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    padded = np.pad(image, 3, mode=padding)
    mean = convolve2d(padded, window, mode="valid")
    variance = convolve2d(padded**2, window, mode="valid") - mean**2
    wanted = (image - mean) / (np.sqrt(np.abs(variance)) + 1)
    np.testing.assert_allclose(contrast_normalised(image, border), wanted, atol=1e-10)


@pytest.mark.parametrize("level", [1, 77, 254, 255])
def test_flat_windows_are_exactly_zero(level):
    image = RANDOM.integers(0, 256, (40, 40)).astype(np.float64)
    image[10:30, 10:30] = level
    field = contrast_normalised(image, "nearest")
    assert (field[13:27, 13:27] == 0).all()
    assert (field[:7] != 0).mean() > 0.99


@pytest.mark.parametrize("size", [(96, 64), (97, 64), (64, 97), (33, 35)])
def test_half_size_is_matlabs(size):
    """Even sides are resize's own; for odd ones MATLAB rounds the size up and keeps the step of two pixels."""
    image = RANDOM.integers(0, 256, size).astype(np.float64)
    halved = halve(image)
    assert halved.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    even = np.pad(image, ((16, 16 + size[0] % 2), (16, 16 + size[1] % 2)), mode="symmetric")
    wanted = resize.downscale(torch.from_numpy(even), 2).numpy()[8:-8, 8:-8]
    np.testing.assert_allclose(halved, wanted, atol=1e-10)


def test_neighbours():
    field = np.arange(1.0, 13).reshape(3, 4)
    left, above, diagonal, other = (products.copy() for products in neighbour_products(field))
    assert left[1, 2] == field[1, 2] * field[1, 1]
    assert above[1, 2] == field[1, 2] * field[0, 2]
    assert diagonal[1, 2] == field[1, 2] * field[0, 1]
    assert other[1, 2] == field[1, 2] * field[0, 3]
    assert left[0, 0] == field[0, 0] * field[0, 3]
    stacked = [products.copy() for products in neighbour_products(np.stack([field, field * 2]))]
    np.testing.assert_array_equal(stacked[3][1], other * 4)


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.0, 4.5])
def test_fits_find_the_distribution_they_are_shown(shape):
    """|x| of a generalised Gaussian is a gamma variable to the power 1/shape."""
    size = (400, 500)
    signs = RANDOM.choice([-1.0, 1.0], size)
    values = signs * RANDOM.gamma(1 / shape, size=size) ** (1 / shape)
    found, deviation = fit_symmetric(values)
    assert found == pytest.approx(shape, rel=0.05)
    assert deviation == pytest.approx(np.sqrt(gamma(3 / shape) / gamma(1 / shape)), rel=0.02)

    skewed = np.where(values < 0, 2 * values, values) * (RANDOM.random(size) < np.where(values < 0, 1, 0.5))
    skewed = skewed[skewed != 0][: 300 * 400].reshape(300, 400)  # left twice as wide and twice as frequent
    fit = fit_asymmetric(skewed)
    left, right = fit.scales
    assert fit.shape == pytest.approx(shape, rel=0.05)
    assert (left, right) == (pytest.approx(2, rel=0.05), pytest.approx(1, rel=0.05))
    assert fit.mean == pytest.approx(skewed.mean(), rel=0.1)


def test_nothing_is_fitted_where_nothing_varies():
    assert np.isnan(fit_symmetric(np.zeros((4, 4)))[0])
    blocks = np.stack([np.zeros((4, 4)), np.ones((4, 4)), -np.ones((4, 4)), RANDOM.standard_normal((4, 4))])
    assert np.isnan(fit_asymmetric(blocks).shape).tolist() == [True, True, True, False]


def test_shapes_stay_on_the_grid():
    extreme = np.zeros((2, 50, 50))
    extreme[0, 0, :2] = 1000, -1000  # a single spike: heavier tails than the grid has
    extreme[1] = np.where(RANDOM.random((50, 50)) < 0.5, -1, 1)  # two values: lighter tails than the grid has
    assert fit_asymmetric(extreme).shape.tolist() == [0.2, 10.0]
