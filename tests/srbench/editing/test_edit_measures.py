"""Measures of an edit: against a spectrum of SciPy, and on images whose answer is known."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch

from srbench.editing.measures import cut, kept_detail, seam_energy
from srbench.images.box import Box
from srbench.images.resize import downscale, upscale


@pytest.fixture(scope="module")
def texture_distance():
    """The measure of the benchmark, which is no module of the package."""
    path = Path(__file__).parents[3] / "benchmarks" / "edits.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_edits", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.texture_distance


def noise(seed, side=64, spread=0.1):
    return (0.5 + spread * torch.randn((3, side, side), generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


def test_texture_distance_sees_texture_and_neither_place_nor_brightness(texture_distance):
    rough, other, fine = noise(1), noise(2), noise(3, spread=0.02)
    assert texture_distance(rough, rough, 8) == 0
    assert texture_distance(rough, other, 8) < 1
    # five times the deviation is 14 dB
    assert texture_distance(rough, fine, 8) == pytest.approx(20 * np.log10(5), abs=1)
    brighter = noise(1) + 0.1
    assert texture_distance(rough, brighter, 8) < 0.3
    flat = torch.full((3, 64, 64), 0.5)
    assert texture_distance(rough, flat, 8).isfinite()


def test_texture_distance_is_the_difference_of_periodograms(texture_distance):
    """Two regions that differ by a factor in one band of SciPy's periodogram differ so in ours."""
    rows = torch.arange(64.0)
    wave = torch.cos(2 * torch.pi * rows * 20 / 64)[:, None].expand(3, 64, 64)
    small, large = 0.5 + 0.1 * wave, 0.5 + 0.4 * wave
    powers = [scipy.signal.periodogram(region[0, :, 0].numpy(), window="hann")[1] for region in (small, large)]
    decibels = 10 * np.log10(powers[1][20] / powers[0][20])
    assert decibels == pytest.approx(20 * np.log10(4), abs=0.01)
    # one of six bands holds the wave; its leakage and the rounding to grey levels touch the others
    assert texture_distance(small, large, 8) * 6 > decibels


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
