from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srbench.interfaces import ImagePair
from srbench.metrics.pixel import PSNR, SSIM, decibels


def as_array(image: torch.Tensor) -> np.ndarray:
    """What the official test code hands to scikit-image: clip, times 255, astype(uint8)."""
    return (np.clip(image.numpy().transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)


def test_psnr_against_scikit_image(coffee, samples):
    wanted = [peak_signal_noise_ratio(as_array(coffee.hr), as_array(sample)) for sample in samples]
    assert PSNR()(samples, coffee).tolist() == pytest.approx(wanted, abs=1e-10)


def test_ssim_against_scikit_image(coffee, samples):
    wanted = [structural_similarity(as_array(coffee.hr), as_array(sample), channel_axis=2) for sample in samples]
    assert SSIM()(samples, coffee).tolist() == pytest.approx(wanted, abs=1e-12)


def test_ssim_against_its_formula():
    """One window of 7x7 in an image of 7x7: the mean of a single value, computed here by hand."""
    generator = torch.Generator().manual_seed(3)
    hr, sr = (torch.randint(0, 256, (3, 7, 7), generator=generator).to(torch.float64) for _ in range(2))
    values = []
    for x, y in zip(hr.flatten(1), sr.flatten(1), strict=True):
        covariance = torch.cov(torch.stack([x, y]))
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
        structure = (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
        values.append((luminance * structure).item())
    pair = ImagePair("window", hr.float() / 255, hr.float() / 255)
    assert SSIM()(sr.float()[None] / 255, pair).item() == pytest.approx(np.mean(values), abs=1e-9)


@pytest.mark.parametrize("error", [1, 5, 255])
def test_decibels_of_a_constant_error(error):
    reference = torch.zeros(3, 4, 4, dtype=torch.uint8)
    value = decibels((reference + error)[None], reference).item()
    assert value == pytest.approx(20 * math.log10(255 / error), abs=1e-12)


def test_one_error_over_all_channels():
    """An error in one channel of three costs a third: not the mean of three PSNRs, which would be infinite."""
    reference = torch.zeros(3, 4, 4, dtype=torch.uint8)
    image = reference.clone()
    image[0] = 10
    assert decibels(image[None], reference).item() == pytest.approx(10 * math.log10(3 * 255**2 / 100))


def test_identical_images(coffee):
    assert PSNR()(coffee.hr[None], coffee).item() == math.inf
    assert SSIM()(coffee.hr[None], coffee).item() == pytest.approx(1, abs=1e-12)


def test_psnr_does_not_know_where_errors_lie(coffee, samples):
    turned = ImagePair("turned", coffee.lr, coffee.hr.flip(0, -1))
    torch.testing.assert_close(PSNR()(samples.flip(1, -1), turned), PSNR()(samples, coffee))
