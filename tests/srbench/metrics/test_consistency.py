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
    lr = downscale_uint8(quantize_floor(coffee.hr), scale)
    small = [downscale_uint8(image, scale, halves="even") for image in quantize_floor(samples)]
    wanted = [peak_signal_noise_ratio(lr.numpy(), one.numpy()) for one in small]
    pair = ImagePair("coffee", lr.float() / 255, coffee.hr)
    assert LRPSNR()(samples, pair).tolist() == pytest.approx(wanted, abs=1e-9)


def test_hr_beside_its_own_lr(coffee):
    """LR has halves rounded up as MATLAB rounds them, LR-PSNR to even: a few values of HR differ by one level."""
    value = LRPSNR()(coffee.hr[None], coffee).item()
    assert 70 < value < 95
    lr = downscale_uint8(quantize_floor(coffee.hr), 4, halves="even")
    assert LRPSNR()(coffee.hr[None], ImagePair("coffee", lr / 255, coffee.hr)).item() == float("inf")


@pytest.mark.parametrize("lr_size", [(48, 71), (47, 72), (96, 72), (200, 288)])
def test_sizes_that_do_not_fit(coffee, lr_size):
    pair = ImagePair("coffee", torch.zeros(3, *lr_size), coffee.hr)
    with pytest.raises(MetricError, match=r"coffee: 288x192 is not 2, 3 or more times as large as LR"):
        LRPSNR()(coffee.hr[None], pair)
