"""Verdicts on rows: which rows of a column are best, and what a comparison of two rows says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from srbench.interfaces import MetricInfo
from srbench.judging.tests import ALPHA, mean_interval, mean_intervals, p_values
from srbench.judging.units import shared_units
from srbench.run_folder.values import by_unit, differences, mean_of_images

_PAIRS = 64
"""Number of pairs whose intervals are computed at once, which bounds memory: 100 checkpoints make 4950 pairs."""


@dataclass(frozen=True)
class BestRows:
    """Best rows of a column."""

    leader: int | None = None
    """Row with the best mean, the first of equal rows; None if the metric has no direction or the rows have no image in
    common."""
    means: dict[int, float] = field(default_factory=dict)
    """Means of the compared rows, over the images that all of them share."""
    pairs: dict[tuple[int, int], float] = field(default_factory=dict)
    """p of every two compared rows, each pair once, adjusted for all pairs."""
    images: int = 0
    """Number of images that all rows share."""
    n: int = 0
    """Number of units of the test: these images, or their groups."""

    @cached_property
    def p(self) -> dict[int, float]:
        """The p of every other row against the leader."""
        return {sum(pair) - (self.leader or 0): p for pair, p in self.pairs.items() if self.leader in pair}

    @property
    def alike(self) -> list[int]:
        """Rows that are not significantly worse than the leader."""
        return [row for row, p in self.p.items() if p >= ALPHA]

    @property
    def rows(self) -> list[int]:
        """Rows in bold: the leader and the rows not significantly worse; none if that would be every row."""
        return [] if self.leader is None or len(self.alike) == len(self.p) else sorted([self.leader, *self.alike])

    def beaten(self, metric: MetricInfo) -> dict[int, list[int]]:
        """Return, for each compared row, the rows that are significantly worse, sorted."""
        beaten: dict[int, list[int]] = {row: [] for row in self.means}
        for pair in (pair for pair, p in self.pairs.items() if p < ALPHA):
            worse, better = sorted(pair, key=lambda row: metric.direction * self.means[row])
            beaten[better].append(worse)
        return {row: sorted(worse) for row, worse in beaten.items()}


class Pair(NamedTuple):
    """Two compared rows of a column."""

    row: int
    other: int
    difference: float
    """Mean of the paired differences, row minus other."""
    low: float
    """Lower end of the 95 % interval of the mean difference, of these two rows alone; NaN for too few units."""
    high: float
    p: float
    """Two-sided p, adjusted for all pairs."""
    n: int
    """Number of units: the images that all compared rows share, or their groups."""


def best_rows(
    columns: Mapping[int, Mapping[str, float]],
    metric: MetricInfo,
    unit_of: Mapping[str, str] = MappingProxyType({}),
) -> BestRows:
    """Find the best rows of a column, given the values (means over samples) of each row by image.

    A row is worse than the leader if p < 0.05 in a paired sign-flip test over the ``shared_units``. p is adjusted for all
    pairs of rows, because the values also choose the leader.
    """
    units = shared_units(columns, metric, unit_of)
    if units is None or not metric.direction:
        return BestRows()
    rows, (first, second), means = units.rows, units.pairs, units.means
    leader = int(np.argmax(metric.direction * means))
    equal = first[(second == leader) & ~units.gaps.any(axis=0)]
    leader = int(equal.min(initial=leader))
    pairs = zip((rows[row] for row in first), (rows[row] for row in second), strict=True)
    return BestRows(
        rows[leader],
        {row: float(mean) for row, mean in zip(rows, means, strict=True)},
        dict(zip(pairs, p_values(units.gaps).tolist(), strict=True)),
        len(units.images),
        units.n,
    )


def pairs_of(
    best: BestRows,
    columns: Mapping[int, Mapping[str, float]],
    metric: MetricInfo,
    unit_of: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Pair]:
    """Yield every two compared rows of a column whose best rows are known, each pair once.

    Intervals invert the sign-flip test of the two rows alone, as in ``compare``: unlike p, they are not adjusted.
    """
    units = shared_units({row: columns[row] for row in best.means}, metric, unit_of)
    if units is None:
        return
    gaps = units.gaps
    blocks = np.array_split(gaps, max(1, -(-gaps.shape[1] // _PAIRS)), axis=1)
    ends = (interval for block in blocks for interval in mean_intervals(block.T))
    means = gaps.mean(axis=0).tolist()
    for ((row, other), p), difference, (low, high) in zip(best.pairs.items(), means, ends, strict=True):
        yield Pair(row, other, difference, low, high, p, best.n)


@dataclass(frozen=True)
class Difference:
    """Differences A minus B in one metric, image by image."""

    metric: MetricInfo
    mean_a: float
    mean_b: float
    by_image: dict[str, float]
    """Differences of the images with two finite values; 0 for values that are equal by ``values.is_close``. A metric of
    all images together has none: ``mean_a`` and ``mean_b`` are its values, without interval and test."""
    left_out: int
    """Number of images with a non-finite value."""
    low: float
    """Lower end of the 95 % interval of the mean difference; NaN for too few images."""
    high: float
    p: float
    """Two-sided p of the paired sign-flip test."""
    unit_of: Mapping[str, str] = field(default_factory=dict)
    """Group of every image if means and test are over groups, else empty."""
    is_projected: bool = False
    """True for a metric of consistency if A or B is projected onto LR: no verdict, as it says nothing about the model."""

    @cached_property
    def by_unit(self) -> dict[str, float]:
        """Differences of the images, or their means by group: the units of means and test."""
        return by_unit(self.by_image, self.unit_of)

    @property
    def mean(self) -> float:
        """Mean difference over images or groups, or the difference of two values of all images."""
        return fmean(self.by_unit.values()) if self.by_unit else self.mean_a - self.mean_b

    @property
    def is_judged(self) -> bool:
        """True if the metric has a direction and permits a test, and says something about both models."""
        return self.metric.direction != 0 and self.metric.permits_test and not self.is_projected

    @property
    def gains(self) -> dict[str, float]:
        """Differences of images, negated if lower is better, so that positive means that A is better."""
        return {name: (self.metric.direction or 1) * value for name, value in self.by_image.items()}

    @property
    def outcomes(self) -> tuple[int, int, int]:
        """Numbers of images, or of groups, on which A is better, equal and worse."""
        gains = [(self.metric.direction or 1) * value for value in self.by_unit.values()]
        return sum(gain > 0 for gain in gains), gains.count(0), sum(gain < 0 for gain in gains)

    @property
    def better(self) -> int:
        """1 if A is significantly better, -1 if B is, 0 if undecided or not judged."""
        return int(self.metric.direction * np.sign(self.mean)) if self.is_judged and self.p < ALPHA else 0


def difference_of(
    values_a: Mapping[str, float], values_b: Mapping[str, float], metric: MetricInfo, unit_of: Mapping[str, str]
) -> Difference:
    """Compare two rows on the ``shared_units``, given their values (means over samples) by image."""
    if not metric.permits_test:
        mean_a, mean_b = map(mean_of_images, (values_a, values_b))
        return Difference(metric, mean_a, mean_b, {}, 0, math.nan, math.nan, math.nan)
    common = sum(name in values_b for name in values_a)
    units = shared_units({0: values_a, 1: values_b}, metric, unit_of)
    if units is None or len(units.rows) < 2:
        return Difference(metric, math.nan, math.nan, {}, common, math.nan, math.nan, 1.0)
    by_image = dict(zip(units.images, differences(units.values[:, 0], units.values[:, 1], metric).tolist(), strict=True))
    low, high = mean_interval(units.gaps[:, 0])
    p = float(p_values(units.gaps)[0])
    mean_a, mean_b = units.means.tolist()
    return Difference(metric, mean_a, mean_b, by_image, common - len(by_image), low, high, p, unit_of)
