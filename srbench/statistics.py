"""How sure a mean or a difference is: bootstrap intervals, paired permutation tests, correction for many tests.

Everything is over pictures, the unit that is drawn at random; samples of one picture are averaged before. A
generator with a fixed seed is made for every call, so that a number does not depend on what else is computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence of every interval; a difference is supported where p is below 1 - LEVEL."""
FEWEST_PICTURES = 6
"""Of less no test can reach p < 0.05: the smallest p of n pictures is 2 / 2^n."""
RESAMPLES = 9999
"""Of a bootstrap, and of a permutation test that is not exact."""
_BATCH = 1000
"""Resamples held in memory at once."""


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of the mean of (n,) values: bias-corrected and accelerated bootstrap.

    Efron, "Better bootstrap confidence intervals", 1987, as SciPy computes it. Values that are not finite are
    left out. Two NaN for fewer than two values; equal values have an interval without width.
    """
    from scipy.stats import bootstrap

    numbers = _finite(values)
    if len(numbers) < 2:
        return np.nan, np.nan
    if np.ptp(numbers) == 0:
        return float(numbers[0]), float(numbers[0])
    found = bootstrap(
        (numbers,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=LEVEL,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_p_value(differences: ArrayLike) -> float:
    """Two-sided p of "the mean of (n,) paired differences is 0": permutation test, by changing signs.

    All 2^n signs where those are not more than 9999 (n up to 13), else 9999 random ones. Fisher, "The design of
    experiments", 1935, section 21. Differences that are not finite are left out; 1 for fewer than two.
    """
    from scipy.stats import permutation_test

    numbers = _finite(differences)
    if len(numbers) < 2 or not numbers.any():
        return 1.0
    found = permutation_test(
        (numbers,),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        batch=_BATCH,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Of several tests, p values (k,) -> the same, adjusted so that one false finding among all stays at its level.

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
