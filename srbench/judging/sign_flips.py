"""Intervals of means, and paired tests of several rows, both from sign flips of images.

The units are images, whose samples are averaged first, or groups, whose images are. If the mean of a row, or of the
difference of two rows, is c, then values - c are as likely with their signs as with flipped signs. Up to 15 images, all
flips are enumerated; above, 9999 are drawn. Every call draws the same flips for the same number of images, so no number
depends on what else is computed, and intervals agree with tests of the same images in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.05
"""A difference is significant if p < ALPHA; intervals have the confidence level 1 - ALPHA."""
FEWEST_UNITS = 6
"""Fewest images with which a difference can be significant, for any number of rows: 2 / 2^6 < 0.05 < 2 / 2^5."""
FLIPS = 9999
"""Number of random sign flips, besides the flip of nothing, unless many tests need a smaller p."""
ENUMERATED = 15
"""Largest number of images for which all sign flips are enumerated."""
TIE = 1e-10
"""Statistics r of two flips that differ by less are equal up to rounding."""
_BATCH = 4_000_000
"""Number of signs drawn at once, a byte each; it determines the flips of more than 400 images."""
_PAIRS = 64
"""Number of pairs of rows tested at once, which bounds memory: a training of 100 checkpoints has 4950."""
_CACHED = 128_000
"""Number of signs handed on at once, 1 MB, which stay in the processor's cache."""


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """Return the 95 % interval of the mean of (n,) values: the means that a sign-flip test does not reject.

    Its ends are quantiles of the means of subsets of the values: Hartigan, "Using subsample values as typical values",
    1969. It covers exactly for symmetric values, never exceeds the range of the values, and of paired differences it
    excludes 0 if and only if p < 0.05. Non-finite values are left out. Returns two NaN for fewer than six values.
    """
    return mean_intervals([values])[0]


def mean_intervals(columns: Iterable[ArrayLike]) -> list[tuple[float, float]]:
    """Return ``mean_interval`` of each column; columns of equal length share their flips, which is faster."""
    numbers = [np.asarray(values, dtype=np.float64) for values in columns]
    numbers = [column[np.isfinite(column)] for column in numbers]
    intervals = [(math.nan, math.nan) for _ in numbers]
    for length in {len(column) for column in numbers if len(column) >= FEWEST_UNITS}:
        alike = [index for index, column in enumerate(numbers) if len(column) == length]
        ends = _intervals(np.stack([numbers[index] for index in alike], axis=1))
        for index, low, high in zip(alike, *ends, strict=True):
            intervals[index] = float(low), float(high)
    return intervals


def _intervals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intervals (2, columns) of the means of (n, columns) values."""
    around = values - values[0]  # equal values give an interval of width 0
    means, flips = [], 0
    for signs in sign_flips(len(values)):
        flips += len(signs)
        for subsets in (signs > 0, signs < 0):  # a flip supports every mean between those of the two
            subsets = subsets[subsets.any(axis=1)].astype(np.float64)
            means.append(subsets @ around / subsets.sum(axis=1, keepdims=True))
    ordered = np.sort(np.concatenate(means), axis=0)
    empty = 2 * flips - len(ordered)  # of flips of nothing, which support every mean
    outside = math.ceil(round(ALPHA * flips, 6)) - empty
    ends: NDArray[np.float64] = values[0] + ordered[[outside - 1, -outside]]
    return ends


def p_values(differences: ArrayLike) -> NDArray[np.float64]:
    """Return the two-sided p of "the mean difference is 0" for m pairs of rows: (n, m) -> (m,).

    ``differences`` are finite, unit by unit. p is adjusted for all pairs: it is the share of sign flips of images, the
    same for all pairs, for which the largest |t| of all pairs reaches that of the pair (single-step max-t: Westfall and
    Young, "Resampling-based multiple testing", 1993). For one pair, it is the test of Fisher, "The design of
    experiments", 1935, section 21. r = |sum of d| / sqrt(n sum of d^2), for differences d, stands for |t|, which
    increases with r and is infinite at r = 1. Rows that differ nowhere have p = 1.
    """
    gaps = np.asarray(differences, dtype=np.float64)
    lengths = np.sqrt(len(gaps)) * np.linalg.norm(gaps, axis=0)
    if not lengths.any():
        return np.ones(gaps.shape[1])
    unit = np.divide(gaps, lengths, out=np.zeros_like(gaps), where=lengths > 0)
    observed = np.abs(unit.sum(axis=0))
    blocks = np.array_split(unit, -(-unit.shape[1] // _PAIRS), axis=1)
    largest = [
        np.max([np.abs(signs @ block).max(axis=1) for block in blocks], axis=0) for signs in sign_flips(len(gaps))
    ]
    ordered = np.sort(np.concatenate(largest))
    reached = len(ordered) - np.searchsorted(ordered, observed - TIE)
    return np.where(lengths > 0, reached / len(ordered), 1.0)


def fewest_units(tests: int) -> int:
    """Return the fewest units n with which one of so many tests can be significant: the smallest p is 2 / 2^n."""
    return math.floor(math.log2(2 * tests / ALPHA)) + 1


def separate_p_values(differences: ArrayLike, tests: int) -> NDArray[np.float64]:
    """Return the two-sided p of ``p_values`` of m pairs of rows, each by itself, times ``tests`` (Bonferroni).

    More than 49 tests draw more flips, so that the smallest p times their number stays a tenth of ALPHA.
    """
    gaps = np.asarray(differences, dtype=np.float64)
    observed, reached, flips = np.abs(gaps.sum(axis=0)), np.zeros(gaps.shape[1], np.int64), 0
    largest = observed - TIE * np.sqrt(len(gaps)) * np.linalg.norm(gaps, axis=0)
    more = math.ceil(10 * tests / ALPHA)
    for signs in sign_flips(len(gaps), more if more > FLIPS else None):
        reached += (np.abs(signs @ gaps) >= largest).sum(axis=0)
        flips += len(signs)
    return np.minimum(1.0, reached / flips * tests)


def sign_flips(images: int, flips: int | None = None) -> Iterator[NDArray[np.float64]]:
    """Yield batches (b, n) of signs 1 and -1; the first flip leaves all signs as they are.

    Of all 2^n flips, half are enumerated, because the others mirror them, for up to ENUMERATED images; if ``flips`` are
    asked for, where there are no more of them. Otherwise so many, or FLIPS, are drawn.
    """
    is_enumerated = images <= ENUMERATED if flips is None else 2 ** (images - 1) <= flips
    flips = FLIPS if flips is None else flips
    if is_enumerated:
        yield np.where(np.arange(2 ** (images - 1))[:, None] >> np.arange(images) & 1, -1.0, 1.0)
        return
    yield np.ones((1, images))
    random, batch = np.random.default_rng(0), max(1, _BATCH // images)
    rows = max(1, _CACHED // images)
    for start in range(0, flips, batch):
        drawn = random.integers(0, 2, (min(batch, flips - start), images), dtype=np.int8)
        for first in range(0, len(drawn), rows):
            yield 2 * drawn[first : first + rows].astype(np.float64) - 1
