"""Bootstrap intervals of means, paired permutation tests, and correction for many tests.

All are over images, the units that are drawn at random; samples of one image are averaged first. Every call makes a
generator with a fixed seed, so a number does not depend on what else is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import erfc
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
_ENOUGH = 2000
"""Random signs with a sum as large after which a test ends: p is then known to about 2 %."""
_SMOOTH = 500
"""Least number of unlike differences for the saddlepoint approximation, which is then within one per cent."""
_LARGEST = 0.1
"""Largest share of one difference in the sum of squares for the same."""
_NEWTON = 20
_BATCH = 1000
"""Resamples held in memory at once."""


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """95 % interval of the mean of (n,) values: bias-corrected and accelerated bootstrap (BCa).

    Efron, "Better bootstrap confidence intervals", 1987, sections 3, 4 and 6; the numbers are those of
    ``scipy.stats.bootstrap``, which takes a second to import. Values that are not finite are left out. Returns two NaN
    for fewer than six values, as no test of the mean of so few reaches 95 % either, and an interval without width for
    equal values.
    """
    return mean_intervals([values])[0]


def mean_intervals(columns: Iterable[ArrayLike]) -> list[tuple[float, float]]:
    """``mean_interval`` of several columns, whose images are drawn once for all that have equally many values."""
    found = [_finite(values) for values in columns]
    drawn = [numbers for numbers in found if _has_width(numbers)]
    means = {size: iter(_resampled_means([one for one in drawn if len(one) == size])) for size in set(map(len, drawn))}
    return [_interval(numbers, next(means[len(numbers)]) if _has_width(numbers) else None) for numbers in found]


def _has_width(numbers: NDArray[np.float64]) -> bool:
    return len(numbers) >= fewest_images(1) and bool(np.ptp(numbers) > 0)


def _interval(numbers: NDArray[np.float64], means: NDArray[np.float64] | None) -> tuple[float, float]:
    """Interval by the ``means`` of resampled values; None for values that are too few or equal."""
    if len(numbers) < fewest_images(1):
        return np.nan, np.nan
    if means is None:
        return float(numbers[0]), float(numbers[0])
    mean, normal = numbers.mean(), NormalDist()
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


def _resampled_means(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Means of RESAMPLES draws of n values with replacement, of k columns (n,) -> (k, RESAMPLES)."""
    generator, length = np.random.default_rng(0), len(columns[0])
    means = np.empty((len(columns), RESAMPLES))
    for first in range(0, RESAMPLES, _BATCH):
        size = min(_BATCH, RESAMPLES - first)
        places, values = generator.integers(0, length, (size, length)), np.empty((size, length))
        for column, found in zip(columns, means, strict=True):
            np.take(column, places, out=values, mode="clip")  # places are inside; "raise" would copy the result
            found[first : first + size] = values.mean(axis=1)
    return means


def paired_p_values(differences: ArrayLike, tests: int | None = None) -> NDArray[np.float64]:
    """Two-sided p of "the mean is 0" for columns of paired differences, (n, columns) -> (columns,).

    ``tests`` is the number of tests that p will be corrected for, if these columns are a part of them.

    Permutation test by changing signs (Fisher, "The design of experiments", 1935, section 21): all signs up to 17
    images, 99 999 random ones above, the same for every column, but no more than it takes to know a large p (Besag and
    Clifford, "Sequential Monte Carlo p-values", 1991). From 2000 tests on both grow with the tests, so that p < 0.05
    stays possible after correction. For hundreds of images p is that of all signs to a percent, see
    ``_saddlepoint_p_values``, but no smaller than random signs could show. Differences that are not finite are left
    out; p is 1 if fewer than two are left, or all are 0.
    """
    numbers = np.asarray(differences, dtype=np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, 0)  # a zero is the same under both signs
    numbers = numbers[numbers.any(axis=1)]
    # sums in another order differ in their last digits
    bar = np.abs(numbers.sum(axis=0)) - 1e-10 * np.abs(numbers).sum(axis=0)
    most = max(PERMUTATIONS, PERMUTATIONS_PER_TEST * (tests or numbers.shape[1]) - 1)
    if 2 ** max(len(numbers) - 1, 0) <= most:
        found: NDArray[np.float64] = np.zeros(numbers.shape[1])
        for signs in _every_sign(len(numbers)):
            found += (np.abs(signs @ numbers) >= bar).sum(axis=0)
        found /= 2 ** max(len(numbers) - 1, 0)
        return found
    # Hoeffding: random signs reach a sum as large with probability 2 exp(-sum^2 / (2 sum of squares)) at most
    bound = 2 * np.exp(-(numbers.sum(axis=0) ** 2) / (2 * np.maximum((numbers**2).sum(axis=0), np.finfo(float).tiny)))
    least = 1 / (most + 1)
    p, left = np.full(numbers.shape[1], least), np.flatnonzero(bound > least)
    is_smooth = np.array([_is_smooth(numbers[:, test]) for test in left], dtype=bool)
    smooth, others = left[is_smooth], left[~is_smooth]
    p[smooth] = np.maximum(_saddlepoint_p_values(np.abs(numbers[:, smooth]), bar[smooth]), least)
    p[others] = _sampled_p_values(numbers[:, others], bar[others], most)
    return p


def _is_smooth(differences: NDArray[np.float64]) -> bool:
    """True if sums under random signs have nearly a density, to which no single difference contributes much."""
    squares = differences**2
    return len(np.unique(squares[: 2 * _SMOOTH])) >= _SMOOTH and bool(squares.max() <= _LARGEST * squares.sum())


def _saddlepoint_p_values(numbers: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of all signs of (n, tests) absolute differences with a sum of at least ``sums`` (tests,) on either side.

    Saddlepoint approximation of the permutation distribution (Robinson, "Saddlepoint approximations for permutation
    tests and confidence intervals", 1982) with the tail of Barndorff-Nielsen ("Inference on full or partial parameters
    based on the standardized signed log likelihood ratio", 1986): the sum has the cumulant generating function
    K(t) = sum log cosh(t d).
    """
    at = np.zeros(numbers.shape[1])
    for _ in range(_NEWTON):  # K' is concave, so no step goes too far
        slopes = np.tanh(at * numbers)
        step = (sums - (numbers * slopes).sum(axis=0)) / (numbers**2 * (1 - slopes**2)).sum(axis=0)
        at += step
        if (np.abs(step) <= 1e-9 * at).all():
            break
    scaled = at * numbers
    height = (np.logaddexp(scaled, -scaled) - np.log(2)).sum(axis=0)
    width = np.sqrt((numbers**2 * (1 - np.tanh(scaled) ** 2)).sum(axis=0))
    root = np.sqrt(2 * np.maximum(at * sums - height, 0))
    is_far = root > 1e-3  # the distribution is symmetric: its middle needs no correction
    shift = np.log(at * width / np.where(is_far, root, 1), out=np.zeros_like(at), where=is_far)
    normal = root + np.divide(shift, root, out=np.zeros_like(at), where=is_far)
    return np.array([erfc(one / np.sqrt(2)) for one in normal])


def _sampled_p_values(numbers: NDArray[np.float64], bar: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Values of p by so many random signs of (n, tests) differences at most; ``bar`` (tests,) are the observed sums."""
    found: NDArray[np.float64] = np.zeros(numbers.shape[1])
    tried = np.full(numbers.shape[1], most)
    left, random = np.arange(numbers.shape[1]), np.random.default_rng(0)
    for start in range(0, most if len(left) else 0, _BATCH):
        signs = _random_signs(min(_BATCH, most - start), len(numbers), random)
        found[left] += (np.abs(signs @ numbers) >= bar).sum(axis=0)
        is_open = found[left] < _ENOUGH
        tried[left[~is_open]] = start + len(signs)
        left, numbers, bar = left[is_open], numbers[:, is_open], bar[is_open]
        if not len(left):
            break
    p: NDArray[np.float64] = (found + 1) / (tried + 1)  # joined by the observed signs (Phipson and Smyth, 2010)
    return p


def _every_sign(n: int) -> Iterator[NDArray[np.float64]]:
    """Rows of n signs in batches: half of all 2^n, as the other half has the same absolute sums."""
    every = np.arange(2 ** max(n - 1, 0))
    for part in np.array_split(every, -(-len(every) // _BATCH)):
        yield (1 - 2 * (part[:, None] >> np.arange(n) & 1)).astype(np.float64)


def _random_signs(count: int, n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """So many rows of n random signs."""
    bits = np.frombuffer(random.bytes(-(-count * n // 8)), dtype=np.uint8)
    return np.unpackbits(bits, count=count * n).reshape(count, n).astype(np.float64) * 2 - 1


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
