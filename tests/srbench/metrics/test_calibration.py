"""PSNR of the mean, spread/skill and ranks, beside their definitions and simulated posteriors."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp

from srbench.metrics import MetricError, psnr
from srbench.metrics.calibration import (
    outside,
    psnr_of_mean,
    rank_histogram,
    spread_and_error,
    spread_skill,
    spread_skill_interval,
)

SIMULATION = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "proper_scores.py"))


def integers(n, *size, below=256, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, below, (n, 3, *size), generator=generator, dtype=torch.int32).to(torch.uint8)


@pytest.fixture(scope="module")
def simulated():
    """Posteriors of 88 images of 64 pixels with 10 samples: means and noise."""
    generator = torch.Generator().manual_seed(0)
    return [SIMULATION["posterior"](generator, 64, 10) for _ in range(88)]


def test_psnr_of_the_mean_is_not_rounded():
    samples, hr = integers(7, 20, 30), integers(1, 20, 30, seed=1)[0]
    error = ((samples.double().mean(dim=0) - hr) ** 2).mean().item()
    assert psnr_of_mean(samples, hr) == pytest.approx(10 * math.log10(255**2 / error), abs=1e-9)
    assert psnr_of_mean(samples[:1], hr) == pytest.approx(psnr(samples[0], hr), abs=1e-9)
    assert psnr_of_mean(torch.stack([hr ^ 1, hr ^ 1, hr, hr]), hr) == pytest.approx(10 * math.log10(255**2 / 0.25))
    assert psnr_of_mean(hr[None], hr) == math.inf


def test_spread_and_error_are_sums_over_values():
    samples, hr = integers(7, 20, 30), integers(1, 20, 30, seed=1)[0]
    values = samples.double().numpy()
    expected = values.var(axis=0, ddof=1).sum(), ((values.mean(axis=0) - hr.numpy()) ** 2).sum()
    assert spread_and_error(samples, hr) == pytest.approx(expected, rel=1e-12)
    white = torch.full((3, 1356, 2040), 255, dtype=torch.uint8)
    extremes = torch.stack([white, torch.zeros_like(white)])
    assert spread_and_error(extremes, white) == (255**2 / 2 * white.numel(), 127.5**2 * white.numel())
    with pytest.raises(MetricError, match="at least 2 samples"):
        spread_and_error(samples[:1], hr)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_calibrated_samples(simulated, n):
    drawn = [SIMULATION["drawn"](mean, noise[: n + 1], 1) for mean, noise in simulated]
    sums = zip(*[spread_and_error(*each) for each in drawn], strict=True)
    assert spread_skill(*sums, n) == pytest.approx(1, abs=0.02)
    ends = np.array([outside(*each) for each in drawn])
    assert abs(ends.mean() - 200 / (n + 1)) < 3.3 * ends.std(ddof=1) / len(ends) ** 0.5
    gains = np.array([psnr_of_mean(*each) - psnr_of_mean(each[0][:1], each[1]) for each in drawn])
    assert abs(gains.mean() - 10 * math.log10(2 * n / (n + 1))) < 0.1


@pytest.mark.parametrize(("temperature", "ratio"), [(0.5, 0.52), (0.8, 0.82), (1.25, 1.21)])
def test_other_temperatures(simulated, temperature, ratio):
    """sqrt((n + 1) t^2 / (n + t^2)), as the mean of n samples has a variance of t^2 / n."""
    n, squared = 8, temperature**2
    assert ratio == pytest.approx(math.sqrt((n + 1) * squared / (n + squared)), abs=0.01)
    drawn = [SIMULATION["drawn"](mean, noise[: n + 1], temperature) for mean, noise in simulated]
    sums = zip(*[spread_and_error(*each) for each in drawn], strict=True)
    assert spread_skill(*sums, n) == pytest.approx(ratio, abs=0.02)
    assert (np.mean([outside(*each) for each in drawn]) > 200 / (n + 1) + 3) == (temperature < 1)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_ties_are_spread_over_the_ranks_that_they_could_have(n):
    samples, hr = integers(n, 6, 7, below=4), integers(1, 6, 7, below=4, seed=1)[0]
    expected, ends = np.zeros(n + 1), 0.0
    for value, others in zip(hr.flatten().tolist(), samples.flatten(1).T.tolist(), strict=True):
        below, equal = sum(x < value for x in others), others.count(value)
        expected[below : below + equal + 1] += 1 / (equal + 1)
        ends += (value <= min(others)) / (equal + 1) + (value >= max(others)) / (equal + 1)
    assert rank_histogram(samples, hr).numpy() == pytest.approx(expected / hr.numel())
    assert outside(samples, hr) == pytest.approx(100 * ends / hr.numel())


def test_ranks_of_equally_distributed_values_are_even_in_spite_of_many_ties():
    n, size = 9, (300, 300)
    shares = rank_histogram(integers(n, *size, below=5), integers(1, *size, below=5, seed=1)[0]).numpy()
    assert shares.sum() == pytest.approx(1)
    assert shares == pytest.approx(np.full(n + 1, 1 / (n + 1)), abs=0.002)


def test_hundreds_of_samples_have_ranks():
    hr = integers(1, 4, 5)[0] // 2
    shares = rank_histogram(torch.cat([hr[None].expand(300, -1, -1, -1), 255 - hr[None]]), hr)
    assert shares[:301].numpy() == pytest.approx(np.full(301, 1 / 301))
    assert shares[301] == 0


def test_spread_skill_is_a_ratio_of_sums():
    assert spread_skill([1, 8], [2, 2], 3) == pytest.approx(math.sqrt(4 / 3 * 9 / 4))
    assert spread_skill([0, 0], [1, 2], 5) == 0
    assert spread_skill([1, 0], [0, 0], 5) == math.inf
    assert math.isnan(spread_skill([0], [0], 5))


def test_ends_of_the_interval_are_ratios_that_a_t_test_just_rejects():
    spreads, errors = SIMULATION["sums"](np.random.default_rng(0), 12, "unequal widths")
    low, high = spread_skill_interval(spreads, errors, 8)
    assert low < spread_skill(spreads, errors, 8) < high
    for end in (low, high):
        assert ttest_1samp(spreads - end**2 * 8 / 9 * errors, 0).pvalue == pytest.approx(0.05)


def test_interval_without_an_upper_or_a_lower_end():
    low, high = spread_skill_interval([1, 1.1, 1.2], [0.001, 0.001, 9], 8)
    assert 0 < low < spread_skill([1, 1.1, 1.2], [0.001, 0.001, 9], 8) < high == math.inf
    low, high = spread_skill_interval([0.001, 0.001, 9], [1, 1.1, 1.2], 8)
    assert low == 0
    assert spread_skill([0.001, 0.001, 9], [1, 1.1, 1.2], 8) < high < math.inf
    assert spread_skill_interval([0.001, 9], [9, 0.001], 8) == (0, math.inf)
    ends = spread_skill_interval([8, 10, 12, 9, 11], [4, 5, 6, 4.5, 5.5], 8)
    assert ends == pytest.approx([1.5, 1.5], abs=1e-6)  # the same ratio in every image
    assert all(math.isnan(end) for end in spread_skill_interval([1], [1], 8))


@pytest.mark.parametrize("population", SIMULATION["POPULATIONS"])
def test_coverage_of_the_interval_of_22_images(population):
    covered = {
        name: SIMULATION["coverage"](interval, population, 22, 1000)
        for name, interval in (("t test", spread_skill_interval), ("resampled", SIMULATION["resampled"]))
    }
    assert 0.9 < covered["t test"] < 0.985
    assert covered["resampled"] < covered["t test"] - 0.01
