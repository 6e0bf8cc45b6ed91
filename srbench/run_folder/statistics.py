"""Bootstrap intervals of means, paired permutation tests, and correction for many tests.

Images are the units that are resampled; samples of one image are averaged first. Every call makes its own generator with
a fixed seed, so no number depends on what else is computed, except by rounding. scipy is imported where it is used: it
takes most of a second.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence of every interval; a difference is significant if p is below 1 - LEVEL."""
RESAMPLES = 9999
"""Resamples of a bootstrap, and random changes of sign of a permutation test."""
ENUMERATED = 15
"""Largest number of images for which a permutation test goes through all changes of sign."""
_BATCH = 2_000_000
"""Resampled values in memory at once."""


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """95 % interval of the mean of (n,) values: bias-corrected and accelerated bootstrap (BCa).

    Efron, "Better bootstrap confidence intervals", 1987, by ``scipy.stats.bootstrap``. Values that are not finite are
    left out. Returns two NaN for fewer than six values, as no test of the mean of so few reaches 95 % either, and an
    interval without width for equal values.
    """
    return mean_intervals([values])[0]


def mean_intervals(columns: Iterable[ArrayLike]) -> list[tuple[float, float]]:
    """``mean_interval`` of several columns, which is faster for columns of equal length than one by one."""
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
    """Ends (columns, 2) of the intervals of the means of (columns, n) values."""
    from scipy.stats import bootstrap

    images = columns.shape[1]

    def means(chosen: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """(..., m) indices of resampled images -> means (columns, ...): one matrix product serves all columns."""
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
    """Two-sided p of "the mean is 0" for columns of paired differences, (n, columns) -> (columns,).

    Permutation test by changing signs (Fisher, "The design of experiments", 1935, section 21), by
    ``scipy.stats.permutation_test``: all signs up to 15 images, 9999 random ones above, the same for every column.
    Differences that are not finite are left out; p is 1 if fewer than two are left, or all are 0.
    """
    from scipy.stats import permutation_test

    numbers = np.asarray(differences, dtype=np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, 0)  # a zero is the same under both signs
    numbers = numbers[numbers.any(axis=1)]
    images, tests = numbers.shape
    if images < 2:
        return np.ones(tests)
    result = permutation_test(
        (np.ones(images),),  # the signs are what is permuted: one matrix product then serves all columns
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
    """Least number of images with which one of so many tests can reach p < 0.05 after Holm's correction.

    The smallest p of n images is 2 / 2^n, and the correction multiplies the smallest of several by their number.
    """
    images = 1
    while tests * 2.0 ** (1 - images) >= 1 - LEVEL:
        images += 1
    return images


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust the p values (k,) of several tests, so that they keep their level for one false finding among all.

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
