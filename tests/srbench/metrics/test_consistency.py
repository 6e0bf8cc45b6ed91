from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from srbench.images import resize
from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.consistency import LRPSNR


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5, written out."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))


def shrinking_matrix(size: int, scale: int) -> np.ndarray:
    """(size/scale, size): MATLAB's imresize along one side as a matrix, mirrored borders folded in."""
    matrix = np.zeros((size // scale, size))
    for row in range(size // scale):
        centre = (row + 0.5) * scale - 0.5
        taps = np.arange(math.floor(centre) - 2 * scale, math.floor(centre) + 2 * scale + 2)
        weights = cubic((taps - centre) / scale)
        for tap, weight in zip(taps, weights / weights.sum(), strict=True):
            mirrored = tap % (2 * size)
            matrix[row, min(mirrored, 2 * size - 1 - mirrored)] += weight
    return matrix


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_against_a_dense_matrix_and_scikit_image(coffee, samples, scale):
    hr = (coffee.hr * 255).round().to(torch.uint8)
    pair = ImagePair("coffee", resize.downscale_uint8(hr, scale).float() / 255, coffee.hr)
    wanted = []
    for sample in samples:
        image = (np.clip(sample.numpy(), 0, 1) * 255).astype(np.uint8).astype(np.float64)
        rows = shrinking_matrix(image.shape[1], scale) @ image
        rows = rows.round().clip(0, 255)
        both = (rows @ shrinking_matrix(image.shape[2], scale).T).round().clip(0, 255)
        lr = (pair.lr * 255).round().numpy()
        wanted.append(peak_signal_noise_ratio(lr.astype(np.uint8), both.astype(np.uint8)))
    assert LRPSNR()(samples, pair).tolist() == pytest.approx(wanted, abs=1e-3)


def test_the_true_image_is_consistent(coffee):
    assert LRPSNR()(coffee.hr[None], coffee).item() == math.inf


def test_floor_costs_consistency(coffee):
    """Half a level darker on average is what the official protocol measures: about 51 dB at best."""
    generator = torch.Generator().manual_seed(5)
    between_levels = coffee.hr + torch.rand(3, 192, 288, generator=generator) / 255 - 0.5 / 255
    value = LRPSNR()(between_levels.clamp(0, 1)[None], coffee).item()
    assert 48 < value < 54


def test_only_the_lr_content_counts(coffee):
    """Detail above the LR image's resolution changes PSNR much and LR-PSNR little."""
    checkerboard = torch.ones(192, 288)
    checkerboard[::2, ::2] = checkerboard[1::2, 1::2] = -1
    textured = (coffee.hr * 0.6 + 0.2 + checkerboard * 0.08)[None]
    pair = ImagePair("coffee", coffee.lr * 0.6 + 0.2, coffee.hr * 0.6 + 0.2)
    assert LRPSNR()(textured, pair).item() > 45
    assert LRPSNR()(textured + 0.08, pair).item() < 25


@pytest.mark.parametrize("lr_size", [(48, 71), (47, 72), (96, 72), (200, 288)])
def test_sizes_that_do_not_fit(coffee, lr_size):
    pair = ImagePair("coffee", torch.zeros(3, *lr_size), coffee.hr)
    with pytest.raises(MetricError, match=r"coffee: HR 192x288 is no whole multiple of LR"):
        LRPSNR()(coffee.hr[None], pair)
