"""The rule that decides which rows of a column are best, the same in every table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from srbench.interfaces import MetricInfo
from srbench.run_folder.statistics import ALPHA, pair_p_values
from srbench.run_folder.values import by_unit

RULE = (
    "{bold}: the best mean and every mean that is not significantly worse (paired sign-flip test over the {units}, "
    "adjusted for all pairs of rows, p {less} 0.05); no row is bold if none is significantly worse."
)
"""The rule in words; a format string for the word in bold, the less-than sign, and ``images`` or ``folders``."""


@dataclass(frozen=True)
class BestRows:
    """Best rows of a column."""

    leader: int | None = None
    """Row with the best mean; None if the metric has no direction or the rows have no image in common."""
    means: dict[int, float] = field(default_factory=dict)
    """Means of the compared rows, over the images that all of them share."""
    p: dict[int, float] = field(default_factory=dict)
    """p of every other row against the leader, adjusted for all pairs of the compared rows."""
    images: int = 0
    """Number of images that all rows share."""
    n: int = 0
    """Number of units of the test: these images, or their folders."""

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
    of rows, because the values also choose the leader. An image without a finite value in some row is left out for all
    rows; a row without any finite value is not compared. If ``unit_of`` names the folder of every image, the test is
    over the means of folders.
    """
    finite = {
        row: {image: value for image, value in values.items() if math.isfinite(value)}
        for row, values in columns.items()
    }
    rows = [row for row, values in finite.items() if values]
    if not rows or not metric.direction:
        return BestRows()
    images = set.intersection(*(set(finite[row]) for row in rows))
    if not images:
        return BestRows()
    units = [by_unit({image: finite[row][image] for image in images}, unit_of) for row in rows]
    values = np.array([[of_row[unit] for of_row in units] for unit in sorted(units[0])])
    means = values.mean(axis=0)
    leader = int(np.argmax(metric.direction * means))
    p = pair_p_values(values)[leader]
    return BestRows(
        rows[leader],
        {row: float(mean) for row, mean in zip(rows, means, strict=True)},
        {row: float(p_value) for row, p_value in zip(rows, p, strict=True) if row != rows[leader]},
        len(images),
        len(values),
    )
