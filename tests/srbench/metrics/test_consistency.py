from __future__ import annotations

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from srbench.images.io import quantize_floor
from srbench.images.resize import downscale_uint8
from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.consistency import LRPSNR


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_against_scikit_image(coffee, samples, scale):
    """Downscaling itself is compared with a dense matrix in the tests of ``images``."""
    lr, *small = (downscale_uint8(image, scale) for image in (quantize_floor(coffee.hr), *quantize_floor(samples)))
    wanted = [peak_signal_noise_ratio(lr.numpy(), one.numpy()) for one in small]
    pair = ImagePair("coffee", lr.float() / 255, coffee.hr)
    assert LRPSNR()(samples, pair).tolist() == pytest.approx(wanted, abs=1e-9)


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
    with pytest.raises(MetricError, match=r"coffee: 288x192 is not 2, 3 or more times as large as LR"):
        LRPSNR()(coffee.hr[None], pair)
