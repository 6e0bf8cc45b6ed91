"""The rule that decides which rows of a column are best, the same in every table, and the pairs behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from srbench.interfaces import MetricInfo
from srbench.run_folder.statistics import ALPHA, mean_intervals, p_values
from srbench.run_folder.values import differences

TEST = "paired sign-flip test over the {units}, adjusted for all pairs of"
"""The test in words; a format string for ``images`` or ``groups``, which rows or steps follow."""
RULE = (
    f"{{bold}}: the best mean and every mean that is not significantly worse ({TEST} rows, p {{less}} 0.05); no row is "
    "bold if none is significantly worse."
)
"""The rule in words; a format string for the word in bold, the less-than sign, and ``images`` or ``groups``."""
LETTERS = "Superscripts are the letters of the models that are significantly worse, by the same test."
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

    A row is worse than the leader if p < 0.05 in a paired sign-flip test over the images. p is adjusted for all pairs
    of rows, because the values also choose the leader. Values that are equal by ``values.is_close`` differ by 0. An image
    without a finite value in some row is left out for all rows; a row without any finite value is not compared. If
    ``unit_of`` names the group of every image, the test is over the means of groups.
    """
    column = _aligned(columns, unit_of)
    if column is None or not metric.direction:
        return BestRows()
    rows, images, units, values = column
    first, second, gaps = _gaps(values, units, metric)
    means = _means(values, units).mean(axis=0)
    leader = int(np.argmax(metric.direction * means))
    equal = first[(second == leader) & ~gaps.any(axis=0)]
    leader = int(equal.min(initial=leader))
    pairs = zip((rows[row] for row in first), (rows[row] for row in second), strict=True)
    return BestRows(
        rows[leader],
        {row: float(mean) for row, mean in zip(rows, means, strict=True)},
        dict(zip(pairs, p_values(gaps).tolist(), strict=True)),
        len(images),
        len(gaps),
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
    column = _aligned({row: columns[row] for row in best.means}, unit_of)
    if column is None:
        return
    _, _, units, values = column
    gaps = _gaps(values, units, metric)[2]
    blocks = np.array_split(gaps, max(1, -(-gaps.shape[1] // _PAIRS)), axis=1)
    ends = (interval for block in blocks for interval in mean_intervals(block.T))
    means = gaps.mean(axis=0).tolist()
    for ((row, other), p), difference, (low, high) in zip(best.pairs.items(), means, ends, strict=True):
        yield Pair(row, other, difference, low, high, p, best.n)


class _Aligned(NamedTuple):
    """The rows of a column that have a finite value, on the images that all of them share."""

    rows: list[int]
    images: list[str]
    units: list[str]
    """Unit of every image: itself, or its group."""
    values: NDArray[np.float64]
    """(images, rows)."""


def _aligned(columns: Mapping[int, Mapping[str, float]], unit_of: Mapping[str, str]) -> _Aligned | None:
    """Return the rows that can be compared; None without such rows or without a shared image."""
    finite = {
        row: {image: value for image, value in values.items() if math.isfinite(value)}
        for row, values in columns.items()
    }
    rows = [row for row, values in finite.items() if values]
    images = sorted(set.intersection(*(set(finite[row]) for row in rows))) if rows else []
    if not images:
        return None
    values = np.array([[finite[row][image] for row in rows] for image in images])
    return _Aligned(rows, images, [unit_of.get(image, image) for image in images], values)


def _gaps(
    values: NDArray[np.float64], units: Sequence[str], metric: MetricInfo
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the places of the first and the second row of all pairs, and their differences (units, pairs)."""
    first, second = np.triu_indices(values.shape[1], 1)
    return first, second, _means(differences(values[:, first], values[:, second], metric), units)


def _means(values: NDArray[np.float64], units: Sequence[str]) -> NDArray[np.float64]:
    """Return the means of the rows (n, k) of each unit, in the order of their names; the sorted rows if all differ."""
    names, place = np.unique(np.array(units), return_inverse=True)
    totals = np.zeros((len(names), values.shape[1]))
    np.add.at(totals, place, values)
    return totals / np.bincount(place)[:, None]
