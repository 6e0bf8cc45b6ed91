"""The units of means, intervals and tests: what some rows share in a metric, and what is left out, for which reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from srbench.interfaces import MetricInfo
from srbench.run_folder.values import Values, differences


@dataclass(frozen=True, eq=False)
class Units:
    """Values of rows in a metric on the images, or groups, that all of these rows share."""

    metric: MetricInfo
    kind: str
    """What means and tests are over: ``image`` or ``group``."""
    are_independent: bool
    """False for images of groups that count one by one: there is no test."""
    rows: tuple[int, ...]
    """Compared rows: those with a finite value."""
    infinite: tuple[int, ...]
    """Rows that are not compared because all their values are infinite: outputs equal to HR have an infinite PSNR."""
    subjects: tuple[str, ...]
    """Sorted subjects of the values: images, or the groups of a metric with a value for each group."""
    left_out: tuple[str, ...]
    """Subjects of some compared row that are left out, as another row has no value, or an infinite one."""
    unit_of: tuple[str, ...]
    """Unit of every subject: itself, or the group of an image."""
    values: NDArray[np.float64]
    """(subjects, rows), finite."""

    @cached_property
    def n(self) -> int:
        """Number of units."""
        return len(set(self.unit_of))

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Means of the rows: (rows,)."""
        means: NDArray[np.float64] = self._by_unit(self.values).mean(axis=0)
        return means

    @cached_property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places of the first and the second row of every two rows."""
        first, second = np.triu_indices(len(self.rows), 1)
        return first, second

    @cached_property
    def gaps(self) -> NDArray[np.float64]:
        """Differences (n, pairs), first row minus second; values that are equal by ``values.is_close`` differ by 0."""
        return self._by_unit(self.gaps_of_subjects)

    @cached_property
    def gaps_of_subjects(self) -> NDArray[np.float64]:
        """The same by subject: (subjects, pairs)."""
        first, second = self.pairs
        return differences(self.values[:, first], self.values[:, second], self.metric)

    def _by_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the means (n, k) of the rows (subjects, k) of each unit, in the order of the names of units."""
        names, place = np.unique(np.array(self.unit_of), return_inverse=True)
        totals = np.zeros((len(names), values.shape[1]))
        np.add.at(totals, place, values)
        return totals / np.bincount(place)[:, None]


def shared_units(columns: Mapping[int, Mapping[str, float]], metric: MetricInfo, values: Values) -> Units | None:
    """Return what rows share in a metric, given the means over samples of each row by subject.

    A subject without a finite value in some row is left out for all rows; a row without any finite value is not
    compared. ``values`` say whether means are over groups. None if there is nothing to compare.
    """
    finite = {
        row: {subject: value for subject, value in values.items() if math.isfinite(value)}
        for row, values in columns.items()
    }
    rows = [row for row, own in finite.items() if own]
    if not rows:
        return None
    infinite = [row for row, own in columns.items() if row not in rows and any(map(math.isinf, own.values()))]
    shared = sorted(set.intersection(*(set(finite[row]) for row in rows)))
    some = {subject for row in rows for subject in columns[row]}
    groups = values.units_for(metric)
    return Units(
        metric,
        kind=unit_of_metric(metric, values),
        are_independent=values.permits_test(metric),
        rows=tuple(rows),
        infinite=tuple(infinite),
        subjects=tuple(shared),
        left_out=tuple(sorted(some.difference(shared))),
        unit_of=tuple(groups.get(subject, subject) for subject in shared),
        values=np.array([[finite[row][subject] for row in rows] for subject in shared]).reshape(len(shared), len(rows)),
    )


def unit_of_metric(metric: MetricInfo, values: Values) -> str:
    """Return what means and tests of a metric are over: ``image`` or ``group``."""
    return values.unit if metric.is_of_images else "group"
