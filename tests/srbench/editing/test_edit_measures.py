"""Measures of an edit, on images whose answer is known."""

import pytest
import torch

from srbench.editing.measures import cut, kept_detail, seam_energy
from srbench.images.box import Box
from srbench.images.resize import downscale, upscale


def noise(seed):
    return (0.5 + 0.1 * torch.randn((3, 64, 64), generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


def test_seam_energy_is_the_mean_squared_step_across_the_edge():
    image, mask = torch.full((3, 8, 8), 0.2), torch.zeros(8, 8)
    image[:, 2:6, 2:6] = 0.6
    mask[2:6, 2:6] = 1
    step = (65.481 + 128.553 + 24.966) / 255 * (153 - 51)
    assert seam_energy(image, mask) == pytest.approx(step**2, rel=0.03)
    assert seam_energy(torch.full((3, 8, 8), 0.2), mask) == 0
    assert seam_energy(image, torch.ones(8, 8)) == 0


def test_kept_detail_is_a_correlation_of_what_lr_does_not_hold():
    mask = torch.zeros(64, 64)
    mask[16:48, 16:48] = 1
    content = noise(1)
    assert kept_detail(content, content, mask, 8) == pytest.approx(1)
    assert kept_detail(content + 0.05, content, mask, 8) == pytest.approx(1, abs=0.02)
    assert abs(kept_detail(noise(2), content, mask, 8)) < 0.05
    assert kept_detail(torch.full((3, 64, 64), 0.5), content, mask, 8) == 0
    half = (noise(2) + content) / 2
    assert kept_detail(half, content, mask, 8) == pytest.approx(2**-0.5, abs=0.05)
    smooth = upscale(downscale(content, 8), 8)
    assert kept_detail(smooth, content, mask, 8) < 0.2


def test_a_cut_ends_with_the_image():
    assert cut(torch.zeros(3, 40, 40), Box(32, 8, 16, 16)).shape == (3, 16, 8)
