"""The units of means, intervals and tests: what some rows share in a metric, and what is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from srbench.interfaces import MetricInfo
from srbench.run_folder.values import differences


@dataclass(frozen=True, eq=False)
class Units:
    """Values of rows in a metric on the images, or groups, that all of these rows share."""

    metric: MetricInfo
    rows: tuple[int, ...]
    """Compared rows: those with a finite value."""
    images: tuple[str, ...]
    """Subjects of the values, sorted: images, or the groups of a metric with a value for each group."""
    unit_of: tuple[str, ...]
    """Unit of every image: itself, or its group."""
    values: NDArray[np.float64]
    """(images, rows), finite."""

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
        first, second = self.pairs
        return self._by_unit(differences(self.values[:, first], self.values[:, second], self.metric))

    def _by_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the means (n, k) of the rows (images, k) of each unit, in the order of the names of units."""
        names, place = np.unique(np.array(self.unit_of), return_inverse=True)
        totals = np.zeros((len(names), values.shape[1]))
        np.add.at(totals, place, values)
        return totals / np.bincount(place)[:, None]


def shared_units(
    columns: Mapping[int, Mapping[str, float]],
    metric: MetricInfo,
    unit_of: Mapping[str, str] = MappingProxyType({}),
) -> Units | None:
    """Return what rows share in a metric, given the values (means over samples) of each row by image.

    An image without a finite value in some row is left out for all rows; a row without any finite value is not compared.
    ``unit_of`` names the group of every image if means are over groups. None if there is nothing to compare.
    """
    finite = {
        row: {image: value for image, value in values.items() if math.isfinite(value)}
        for row, values in columns.items()
    }
    rows = [row for row, values in finite.items() if values]
    images = sorted(set.intersection(*(set(finite[row]) for row in rows))) if rows else []
    if not images:
        return None
    values = np.array([[finite[row][image] for row in rows] for image in images])
    return Units(metric, tuple(rows), tuple(images), tuple(unit_of.get(image, image) for image in images), values)
