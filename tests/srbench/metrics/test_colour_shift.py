"""Colour shift against scikit-image, and CIEDE2000 against the pairs that its authors published."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from srbench.images.io import quantize_floor
from srbench.images.resize import downscale_uint8
from srbench.metrics.colour_shift import ColourShift

# Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005, table 1: pairs 1, 7, 9, 15, 17, 21, 25, 30, 34
PUBLISHED = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (50, 3.1736, 0.5854), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((36.4612, 47.8580, 18.3852), (36.2715, 50.5065, 21.2231), 1.4146),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "difference"), PUBLISHED)
def test_the_formula_is_that_of_its_authors(first, second, difference):
    assert float(deltaE_ciede2000(np.array(first), np.array(second))) == pytest.approx(difference, abs=5e-5)


def test_against_scikit_image(coffee, samples):
    lr = rgb2lab((coffee.lr * 255).round().byte().permute(1, 2, 0).numpy())
    small = [downscale_uint8(one, 4).permute(1, 2, 0).numpy() for one in quantize_floor(samples)]
    expected = [deltaE_ciede2000(lr, rgb2lab(one)).mean() for one in small]
    values = ColourShift()(samples, coffee)
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx(expected, rel=1e-12)
    assert values[0] < values[1] < values[2]


def test_the_true_image_has_none(coffee):
    assert ColourShift()(coffee.hr[None], coffee).tolist() == [0]
