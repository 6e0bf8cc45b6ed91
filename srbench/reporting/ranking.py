"""The rule that decides which rows of a column are best, the same in every table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from srbench.interfaces import MetricInfo
from srbench.run_folder.statistics import ALPHA, p_values
from srbench.run_folder.values import differences

RULE = (
    "{bold}: the best mean and every mean that is not significantly worse (paired sign-flip test over the {units}, "
    "adjusted for all pairs of rows, p {less} 0.05); no row is bold if none is significantly worse."
)
"""The rule in words; a format string for the word in bold, the less-than sign, and ``images`` or ``groups``."""


@dataclass(frozen=True)
class BestRows:
    """Best rows of a column."""

    leader: int | None = None
    """Row with the best mean, the first of equal rows; None if the metric has no direction or the rows have no image in
    common."""
    means: dict[int, float] = field(default_factory=dict)
    """Means of the compared rows, over the images that all of them share."""
    p: dict[int, float] = field(default_factory=dict)
    """p of every other row against the leader, adjusted for all pairs of the compared rows."""
    images: int = 0
    """Number of images that all rows share."""
    n: int = 0
    """Number of units of the test: these images, or their groups."""

    @property
    def alike(self) -> list[int]:
        """Rows that are not significantly worse than the leader."""
        return [row for row, p in self.p.items() if p >= ALPHA]

    @property
    def rows(self) -> list[int]:
        """Rows in bold: the leader and the rows not significantly worse; none if that would be every row."""
        return [] if self.leader is None or len(self.alike) == len(self.p) else sorted([self.leader, *self.alike])


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
    finite = {
        row: {image: value for image, value in values.items() if math.isfinite(value)}
        for row, values in columns.items()
    }
    rows = [row for row, values in finite.items() if values]
    if not rows or not metric.direction:
        return BestRows()
    images = sorted(set.intersection(*(set(finite[row]) for row in rows)))
    if not images:
        return BestRows()
    units = [unit_of.get(image, image) for image in images]
    values = np.array([[finite[row][image] for row in rows] for image in images])
    first, second = np.triu_indices(len(rows), 1)
    gaps = _means(differences(values[:, first], values[:, second], metric), units)
    means = _means(values, units).mean(axis=0)
    leader = int(np.argmax(metric.direction * means))
    equal = first[(second == leader) & ~gaps.any(axis=0)]
    leader = int(equal.min(initial=leader))
    p = dict(zip(zip(first.tolist(), second.tolist(), strict=True), p_values(gaps).tolist(), strict=True))
    return BestRows(
        rows[leader],
        {row: float(mean) for row, mean in zip(rows, means, strict=True)},
        {row: p[min(place, leader), max(place, leader)] for place, row in enumerate(rows) if place != leader},
        len(images),
        len(gaps),
    )


def _means(values: NDArray[np.float64], units: Sequence[str]) -> NDArray[np.float64]:
    """Return the means of the rows (n, k) of each unit, in the order of their names; the sorted rows if all differ."""
    names, place = np.unique(np.array(units), return_inverse=True)
    totals = np.zeros((len(names), values.shape[1]))
    np.add.at(totals, place, values)
    return totals / np.bincount(place)[:, None]
