"""Bootstrap intervals of means, paired permutation tests, and correction for many tests.

All are over images, the units that are drawn at random; samples of one image are averaged first. Every call makes a
generator with a fixed seed, so a number does not depend on what else is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence of every interval; a difference is supported if p is below 1 - LEVEL."""
RESAMPLES = 9999
PERMUTATIONS = 99_999
"""Least number of changes of sign that a permutation test tries if there are more than that."""
PERMUTATIONS_PER_TEST = 50
"""The same for each of many tests: if one of so many is as large as the observed one, p < 0.05 after correction."""
_NEVER = 1e-9
"""Probability below which random signs are not tried: none of them would change the p of the test."""
_BATCH = 1000
"""Resamples held in memory at once."""


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """95 % interval of the mean of (n,) values: bias-corrected and accelerated bootstrap (BCa).

    Efron, "Better bootstrap confidence intervals", 1987, sections 3, 4 and 6; the numbers are those of
    ``scipy.stats.bootstrap``, which takes a second to import. Values that are not finite are left out. Returns two NaN
    for fewer than six values, as no test of the mean of so few reaches 95 % either, and an interval without width for
    equal values.
    """
    numbers = _finite(values)
    if len(numbers) < fewest_images(1):
        return np.nan, np.nan
    if np.ptp(numbers) == 0:
        return float(numbers[0]), float(numbers[0])
    means, mean = _resampled_means(numbers), numbers.mean()
    normal = NormalDist()
    share = (np.mean(means < mean) + np.mean(means <= mean)) / 2
    without_each = (numbers.sum() - numbers) / (len(numbers) - 1)
    influence = (len(numbers) - 1) * (without_each.mean() - without_each)
    spread = (influence**2).sum() ** 1.5
    if not 0 < share < 1 or spread == 0:  # values that differ in their last bits alone
        return np.nan, np.nan
    bias = normal.inv_cdf(share)
    acceleration = (influence**3).sum() / (6 * spread)
    ends = []
    for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        shifted = bias + normal.inv_cdf(level)
        ends.append(float(np.quantile(means, normal.cdf(bias + shifted / (1 - acceleration * shifted)))))
    return ends[0], ends[1]


def _resampled_means(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of RESAMPLES draws of n values with replacement, (n,) -> (RESAMPLES,)."""
    generator = np.random.default_rng(0)
    sizes = [min(_BATCH, RESAMPLES - first) for first in range(0, RESAMPLES, _BATCH)]
    batches = [numbers[generator.integers(0, len(numbers), (size, len(numbers)))].mean(axis=1) for size in sizes]
    return np.concatenate(batches)


def paired_p_values(differences: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p of "the mean is 0" for columns of paired differences, (n, tests) -> (tests,).

    Permutation test by changing signs (Fisher, "The design of experiments", 1935, section 21): all signs up to 17
    images, 99 999 random ones above, the same for every column. From 2000 tests on both grow with the tests, so that
    p < 0.05 stays possible after correction. Differences that are not finite are left out; p is 1 if fewer than two are
    left, or all are 0.
    """
    numbers = np.asarray(differences, dtype=np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, 0)  # a zero is the same under both signs
    numbers = numbers[numbers.any(axis=1)]
    # sums in another order differ in their last digits
    bar = np.abs(numbers.sum(axis=0)) - 1e-10 * np.abs(numbers).sum(axis=0)
    found, tried = np.zeros(numbers.shape[1], dtype=np.int64), 0
    most = max(PERMUTATIONS, PERMUTATIONS_PER_TEST * numbers.shape[1] - 1)
    is_exact = 2 ** max(len(numbers) - 1, 0) <= most
    # Hoeffding: random signs reach a sum as large with probability 2 exp(-sum^2 / (2 sum of squares)) at most
    bound = 2 * np.exp(-(numbers.sum(axis=0) ** 2) / (2 * np.maximum((numbers**2).sum(axis=0), np.finfo(float).tiny)))
    open_tests = np.flatnonzero((bound * most > _NEVER) | is_exact)
    numbers, bar = numbers[:, open_tests], bar[open_tests]
    for signs in _every_sign(len(numbers)) if is_exact else _random_signs(len(numbers), most if len(open_tests) else 0):
        found[open_tests] += (np.abs(signs @ numbers) >= bar).sum(axis=0)
        tried += len(signs)
    tried = tried if is_exact else most
    # random signs are joined by those that were observed (Phipson and Smyth, 2010)
    observed = int(not is_exact)
    return (found + observed) / (tried + observed)


def _every_sign(n: int) -> Iterator[NDArray[np.float64]]:
    """Rows of n signs in batches: half of all 2^n, as the other half has the same absolute sums."""
    every = np.arange(2 ** max(n - 1, 0))
    for part in np.array_split(every, -(-len(every) // _BATCH)):
        yield (1 - 2 * (part[:, None] >> np.arange(n) & 1)).astype(np.float64)


def _random_signs(n: int, count: int) -> Iterator[NDArray[np.float64]]:
    """So many rows of n random signs in batches."""
    random = np.random.default_rng(0)
    for start in range(0, count, _BATCH):
        yield random.choice((-1.0, 1.0), (min(_BATCH, count - start), n))


def fewest_images(tests: int) -> int:
    """Least number of images with which one of so many tests can reach p < 0.05 after Holm's correction."""
    n = 1
    while least_p(n, tests) >= 1 - LEVEL:
        n += 1
    return n


def least_p(images: int, tests: int) -> float:
    """Smallest p that one of so many tests can have after Holm's correction, if all differences have one sign.

    The smallest p of n images is 2 / 2^n, and the correction multiplies it by the number of tests. For so few images
    that this matters, the test goes through all changes of sign, however many tests there are.
    """
    return min(tests * 2.0 ** (1 - images), 1.0)


def smallest_difference(differences: ArrayLike, tests: int) -> float:
    """Smallest mean for which (n,) paired differences as scattered as these reach p < 0.05.

    Half the width of their t interval at 1 - 0.05 / ``tests`` (Bonferroni's, the first step of Holm's correction); NaN
    if so few images can show nothing.
    """
    from scipy.stats import t

    numbers = _finite(differences)
    n = len(numbers)
    if n < fewest_images(tests):
        return np.nan
    return float(t.ppf(1 - (1 - LEVEL) / tests / 2, n - 1) * numbers.std(ddof=1) / np.sqrt(n))


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
