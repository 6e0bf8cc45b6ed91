"""Bootstrap intervals of means, paired permutation tests, and correction for multiple tests.

The units of resampling are images; samples of an image are averaged first. Every call seeds its own generator, so up to
rounding no number depends on what else is computed. scipy is imported inside the functions because it takes most of a
second.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence level of intervals; a difference is significant if p < 1 - LEVEL."""
RESAMPLES = 9999
"""Number of resamples of a bootstrap, and of random sign flips of a permutation test."""
ENUMERATED = 15
"""Largest number of images for which a permutation test enumerates all sign flips."""
_BATCH = 2_000_000
"""Number of resampled values in memory at once."""


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % interval of the mean of (n,) values: bias-corrected and accelerated bootstrap (BCa).

    Efron, "Better bootstrap confidence intervals", 1987, by ``scipy.stats.bootstrap``. Non-finite values are left out.
    Returns two NaN for fewer than six values, with which no permutation test reaches p < 0.05 either, and an interval
    of width 0 for equal values.
    """
    return mean_intervals([values])[0]


def mean_intervals(columns: Iterable[ArrayLike]) -> list[tuple[float, float]]:
    """Return ``mean_interval`` of each column; columns of equal length share their resamples, which is faster."""
    numbers = [_finite(values) for values in columns]
    intervals = [(np.nan, np.nan) for _ in numbers]
    by_length: dict[int, list[int]] = {}
    for place, column in enumerate(numbers):
        if len(column) < fewest_images(1):
            continue
        if np.allclose(column, column[0], rtol=1e-12, atol=0):
            intervals[place] = float(column[0]), float(column[0])
        else:
            by_length.setdefault(len(column), []).append(place)
    for places in by_length.values():
        ends = _bootstrap(np.stack([numbers[place] for place in places]))
        for place, (low, high) in zip(places, ends, strict=True):
            intervals[place] = float(low), float(high)
    return intervals


def _bootstrap(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intervals (columns, 2) of the means of (columns, n) values."""
    from scipy.stats import bootstrap

    images = columns.shape[1]

    def means(chosen: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Map indices of resampled images (..., m) to means (columns, ...), by one matrix product for all columns."""
        rows = chosen.reshape(-1, chosen.shape[axis]).astype(np.intp)
        first = np.arange(len(rows))[:, None] * images
        counts = np.bincount((rows + first).ravel(), minlength=len(rows) * images).reshape(len(rows), images)
        resampled: NDArray[np.float64] = columns @ counts.T / chosen.shape[axis]
        return resampled.reshape(len(columns), *chosen.shape[:-1])

    result = bootstrap(
        (np.arange(images),),
        means,
        axis=-1,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // images),
        method="BCa",
        rng=np.random.default_rng(0),
    )
    return np.stack([result.confidence_interval.low, result.confidence_interval.high], axis=1)


def paired_p_values(differences: ArrayLike) -> NDArray[np.float64]:
    """Return the two-sided p of "the mean is 0" for paired differences, (n, columns) -> (columns,).

    Sign-flip permutation test (Fisher, "The design of experiments", 1935, section 21), by
    ``scipy.stats.permutation_test``: all sign flips up to 15 images, 9999 random flips above, the same for every
    column. Non-finite differences are left out; p is 1 if fewer than two are left, or all are 0.
    """
    from scipy.stats import permutation_test

    numbers = np.asarray(differences, dtype=np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, 0)  # flipping the sign of 0 changes nothing
    numbers = numbers[numbers.any(axis=1)]
    images, tests = numbers.shape
    if images < 2:
        return np.ones(tests)
    result = permutation_test(
        (np.ones(images),),  # permute the signs, so that one matrix product serves all columns
        lambda signs, axis: np.abs(signs @ numbers),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**images if images <= ENUMERATED else RESAMPLES,
        batch=max(1, _BATCH // images),
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return np.asarray(result.pvalue)


def fewest_images(tests: int) -> int:
    """Return the smallest number of images with which one of ``tests`` can reach p < 0.05 after Holm's correction.

    The smallest possible p of n images is 2 / 2^n, and the correction multiplies the smallest p by ``tests``.
    """
    images = 1
    while tests * 2.0 ** (1 - images) >= 1 - LEVEL:
        images += 1
    return images


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust the p values (k,) of several tests to control the family-wise error rate.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[np.isfinite(numbers)]
