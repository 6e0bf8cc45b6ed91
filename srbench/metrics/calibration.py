"""Calibration of samples: whether they vary around their mean, and around HR, as HR varies around them.

Samples are calibrated if HR is distributed like another sample. Samples that vary too little are overconfident.
Sums over 8-bit values are exact, so values do not depend on the order of pixels or on the processor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srbench.metrics import MetricError
from srbench.metrics.proper_scores import require_eight_bits


def psnr_of_mean(samples: Tensor, hr: Tensor) -> float:
    """PSNR of the mean of the samples, not rounded to grey levels, in dB; inf if the mean equals HR.

    Above the PSNR of a single calibrated sample by 10 log10(2n / (n + 1)), 3.01 dB at most (Bendel et al., "A
    regularized conditional GAN for posterior sampling in image recovery problems", 2023).

    Args:
        samples: (n, 3, H, W) uint8.
        hr: (3, H, W) uint8.

    Raises:
        MetricError: The arguments are not of these shapes and types.
    """
    require_eight_bits(samples, hr)
    error = _squared_error(_sum(samples), len(samples), hr)
    return 10 * math.log10(255**2 * hr.numel() / error) if error else math.inf


def spread_and_error(samples: Tensor, hr: Tensor) -> tuple[float, float]:
    """Sum of the variances (ddof 1) of samples, and of the squared errors of their mean, in grey levels squared.

    Args:
        samples: (n, 3, H, W) uint8, n > 1.
        hr: (3, H, W) uint8.

    Raises:
        MetricError: The arguments are not of these shapes and types, or there is only one sample.
    """
    require_eight_bits(samples, hr)
    n = len(samples)
    if n < 2:
        raise MetricError("spread/skill needs at least 2 samples of an image, and there is 1; sample more")
    total = _sum(samples)
    squares = sum(_squares(sample) for sample in samples)
    return (n * squares - _squares(total)) / (n * (n - 1)), _squared_error(total, n, hr)


def spread_skill(spreads: Sequence[float], errors: Sequence[float], n: int) -> float:
    """Ratio of the spread of n samples to the error of their mean: 1 if calibrated, below 1 if overconfident.

    sqrt((n + 1) / n * sum of spreads / sum of errors), with sums over images (Fortin et al., "Why should ensemble
    spread match the RMSE of the ensemble mean?", 2014). The mean of ratios of single images would not be 1.

    Args:
        spreads: First values of ``spread_and_error``, an image each.
        errors: Second values.
        n: Number of samples of every image.

    Returns:
        0 and up; inf if only errors are 0, NaN if spreads are 0, too.
    """
    spread, error = math.fsum(spreads), math.fsum(errors)
    if not error:
        return math.inf if spread else math.nan
    return math.sqrt((n + 1) / n * spread / error)


def spread_skill_interval(
    spreads: Sequence[float], errors: Sequence[float], n: int, rows: int = 1
) -> tuple[float, float]:
    """95 % interval of ``spread_skill`` over images like these, for the same arguments.

    Of several ``rows``, all intervals together hold their ratios in 95 % (Bonferroni).

    It holds the ratios r for which a t test does not reject that spreads - r errors have a mean of 0 over images
    (Fieller, "Some problems in interval estimation", 1954). Of simulated sets of 22 images, 92 to 97 % of these
    intervals contain the true ratio, and 87 to 92 % of the percentile intervals of resampled images: ``python
    benchmarks/proper_scores.py``.

    Returns:
        Both ends; the second is inf if the mean of errors is not significantly above 0. NaN for fewer than two images.
    """
    images = len(spreads)
    if images < 2:
        return math.nan, math.nan
    from scipy.special import stdtrit

    spread, error = float(np.mean(spreads)), float(np.mean(errors))
    squares = float(stdtrit(images - 1, 1 - 0.025 / rows)) ** 2 * np.cov(spreads, errors) / images
    # a r^2 - 2 b r + c <= 0
    a, b, c = error**2 - squares[1, 1], spread * error - squares[0, 1], spread**2 - squares[0, 0]
    root = math.sqrt(max(b * b - a * c, 0))
    low, high = c / (b + root) if c > 0 else 0.0, (b + root) / a if a > 0 else math.inf
    return math.sqrt((n + 1) / n * low), math.sqrt((n + 1) / n * high)


def rank_histogram(samples: Tensor, hr: Tensor) -> Tensor:
    """Shares of HR values above k = 0 ... n of the n samples: (n + 1,) float64, 1 / (n + 1) each if calibrated.

    Hamill, "Interpretation of rank histograms for verifying ensemble forecasts", 2001. A value that equals t
    samples counts 1 / (t + 1) at each of the ranks that it could have. U-shaped for overconfident samples.

    Args:
        samples: (n, 3, H, W) uint8.
        hr: (3, H, W) uint8.

    Raises:
        MetricError: The arguments are not of these shapes and types.
    """
    require_eight_bits(samples, hr)
    n = len(samples)
    hr = hr.to(samples.device)
    codes = torch.zeros(hr.shape, dtype=torch.int32, device=hr.device)
    for sample in samples:
        codes += (sample < hr).to(torch.int32).mul_(n + 1).add_(sample == hr)
    counted = np.bincount(codes.flatten().cpu().numpy(), minlength=(n + 1) ** 2)
    counts = torch.from_numpy(counted).view(n + 1, n + 1)  # below x equal
    shares = torch.zeros(n + 1, dtype=torch.float64)
    for below in range(n + 1):
        for equal in range(n + 1 - below):
            shares[below : below + equal + 1] += counts[below, equal].double() / (equal + 1)
    return shares / hr.numel()


def outside(samples: Tensor, hr: Tensor) -> float:
    """Share of HR values below or above all samples, in percent: 200 / (n + 1) if calibrated, more if overconfident.

    The two ends of ``rank_histogram``: a value that equals t samples at an end of their range counts 1 / (t + 1).

    Args:
        samples: (n, 3, H, W) uint8.
        hr: (3, H, W) uint8.

    Raises:
        MetricError: The arguments are not of these shapes and types.
    """
    shares = rank_histogram(samples, hr)
    return 100 * float(shares[0] + shares[-1])


def _sum(samples: Tensor) -> Tensor:
    return samples.sum(dim=0, dtype=torch.int32)


def _squares(values: Tensor) -> float:
    """Return the sum of squared integers, exact up to 2^53: 74 samples of a 4K image."""
    return float(values.double().square_().sum())


def _squared_error(total: Tensor, n: int, hr: Tensor) -> float:
    """Return the sum of squared errors of the mean of n samples with a sum (3, H, W)."""
    return _squares(total - n * hr.to(total.device, torch.int32)) / n**2
