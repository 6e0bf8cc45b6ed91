"""Rule of significance for the rows of a column; every mark and verdict follows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from srbench.interfaces import MetricFacts
from srbench.reporting.families import Families, Family
from srbench.run_folder.statistics import LEVEL, fewest_images, holm, least_p, paired_p_values

Mark = Literal["", "best", "second", "own", "best own", "second own"]
"""``best`` and ``second`` among models, ``own`` for the best of all rows of a model."""
UNDECIDED = "undecided"
"""Verdict if the images support neither of two rows."""
RULE = (
    "{best}: the best mean, and every row not distinguishable from it; {second} (three rows or more): the best mean "
    "of the remaining rows, and every one not distinguishable from that. A column without marks is undecided. Two "
    "rows are distinguishable if a paired permutation test over the images gives p {less} 0.05 after Holm's "
    "correction for all pairs of competing rows; overlapping intervals do not decide it."
)
"""Rule for the reader; a format string for the words of both marks and the sign for "less"."""
_TOGETHER = 2_000_000
"""Differences in memory at once."""


@dataclass(frozen=True)
class Ranking:
    """Every row of a column against every other."""

    families: Families
    marks: tuple[Mark, ...]
    """"best" for the row with the best mean of all by which models compete, and those of them not distinguishable from
    it, "second" for the same among the others of more than two; none if no row is distinguishable from the best one.
    "own" likewise for the best of all rows of a model that has variants."""
    taking_part: tuple[int, ...]
    """Rows by which models compete and that may have a mark: those with a finite value for every image."""
    leader: int | None
    """Row with the best mean; None if no row takes part, or the metric has no direction."""
    p: NDArray[np.float64]
    """(rows, rows): two-sided p of the paired permutation test; 1 if two rows have no image in common."""
    p_holm: NDArray[np.float64]
    """(rows, rows): p after Holm's correction for all pairs of the same family."""
    better: NDArray[np.int64]
    """(rows, rows): 1 if the row is better than the column, -1 if it is worse, 0 if that is undecided."""
    tests: dict[Family, int]
    """Number of tested pairs by family; families without any are left out."""
    shared: NDArray[np.int64]
    """(rows, rows): number of images for which both rows have a finite value."""
    means: NDArray[np.float64]
    """(rows, rows): mean of the row over the images that it shares with the column; NaN if there are none."""

    def tests_of(self, row: int, other: int) -> int:
        """Number of tested pairs for which the p of two rows is corrected."""
        return self.tests.get(self.families.of(row, other), 1)

    @property
    def is_decided(self) -> bool:
        """True if the images decide which models are best."""
        return any(mark.startswith("best") for mark in self.marks)

    @property
    def fewest(self) -> int:
        """Smallest number of images that allows a verdict between models."""
        return fewest_images(self.tests.get("models", 1))

    @property
    def most(self) -> int:
        """Largest number of images that the rows of two models share, or that the only one has."""
        rows = self.families.models
        shared = self.shared[np.ix_(rows, rows)]
        return int(shared.max(initial=0, where=~np.eye(len(rows), dtype=bool) if len(rows) > 1 else True))

    @property
    def least(self) -> float:
        """Smallest p, after correction, that the most images shared by two models can give."""
        return least_p(self.most, self.tests.get("models", 1))

    def is_alike(self, row: int, other: int) -> bool:
        """True if two rows are of the same images, as far as their values are finite."""
        return bool(self.shared[row, other] == self.shared[row, row] == self.shared[other, other])


def rank(columns: Sequence[pd.Series[float]], metric: MetricFacts, families: Families | None = None) -> Ranking:
    """Ranking of the rows of one column of the table, each given by its values indexed by image.

    Two rows are distinguishable if the paired permutation test over the images for which both have a finite value says
    p < 0.05 after Holm's correction for all pairs of the same family: under no difference at all, at most one column in
    twenty has any verdict between models, and one in twenty any between variants. A row with a value that is not finite
    has no mark, as its mean is over other images. Where rows are of unlike images, the best mean is that over the
    images of all rows that may have the mark. Without ``families`` every row is a model of its own.
    """
    rows, families = len(columns), families or Families.alike(len(columns))
    values = pd.concat(columns, axis=1, keys=range(rows)) if rows else pd.DataFrame()
    table = values.where(np.isfinite(values)).to_numpy()
    shared, means = _shared(table)
    p, p_holm = np.ones((2, rows, rows))
    better = np.zeros((rows, rows), dtype=np.int64)
    pairs = [pair for pair in combinations(range(rows), 2) if shared[pair]]
    kinds = [families.of(*pair) for pair in pairs]
    if pairs:
        firsts, seconds = np.array(pairs).T
        found, signs = np.empty((2, len(pairs)))
        for part in np.array_split(np.arange(len(pairs)), -(-len(pairs) * len(table) // _TOGETHER)):
            differences = table[:, firsts[part]] - table[:, seconds[part]]
            found[part] = paired_p_values(differences)
            signs[part] = metric.direction * np.sign(np.nanmean(differences, axis=0))
        corrected = np.ones_like(found)
        for kind in set(kinds):
            same = np.array([one == kind for one in kinds])
            corrected[same] = holm(found[same])
        verdicts = np.where(corrected < 1 - LEVEL, signs, 0).astype(np.int64)
        p[firsts, seconds] = p[seconds, firsts] = found
        p_holm[firsts, seconds] = p_holm[seconds, firsts] = corrected
        better[firsts, seconds], better[seconds, firsts] = verdicts, -verdicts
    whole = [row for row, column in enumerate(columns) if len(column) and np.isfinite(column).all()]
    taking_part = [row for row in families.models if row in whole]
    scores = metric.direction * table
    leader, marks = _marked(taking_part if metric.direction else [], scores, better)
    for group in families.groups if metric.direction else []:
        _, own = _marked([row for row in group if row in whole], scores, better)
        marks |= {row: _OWN[marks.get(row, "")] for row, mark in own.items() if mark == "best"}
    return Ranking(
        families,
        tuple(marks.get(row, "") for row in range(rows)),
        tuple(taking_part),
        leader,
        p,
        p_holm,
        better,
        dict(Counter(kinds)),
        shared,
        means,
    )


_OWN: dict[Mark, Mark] = {"": "own", "best": "best own", "second": "second own"}


def _shared(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of images (rows, rows) that two columns of (images, rows) share, and the means of the first over them."""
    there = np.isfinite(values)
    shared = there.T.astype(np.int64) @ there
    sums = np.where(there, values, 0).T @ there
    return shared, np.divide(sums, shared, out=np.full(shared.shape, np.nan), where=shared > 0)


def _marked(
    taking_part: Sequence[int], scores: NDArray[np.float64], better: NDArray[np.int64]
) -> tuple[int | None, dict[int, Mark]]:
    """Leader and marks of some rows, from (images, rows) scores, of which higher is better.

    Between rows of unlike images, the better mean may lose on those that two of them share.
    """
    rows = list(taking_part)
    common = scores[np.isfinite(scores[:, rows]).all(axis=1)]
    if not len(common):
        return None, {}
    means = common.mean(axis=0)
    marks: dict[int, Mark] = {}
    left, leader = rows, None
    for mark in _ORDER if len(rows) != 2 else _ORDER[:1]:  # the second of two is no news
        unbeaten = [row for row in left if not (better[row, left] < 0).any()]
        if not unbeaten:
            break
        first = max(unbeaten, key=lambda row: means[row])
        group = [row for row in left if better[first, row] == 0]
        if mark == "best":
            leader = first
            if len(group) == len(left):
                break  # nothing is decided
        marks |= dict.fromkeys(group, mark)
        left = [row for row in left if row not in group]
    return leader, marks


_ORDER: tuple[Mark, ...] = ("best", "second")


@dataclass(frozen=True)
class Best:
    """Best rows of a column."""

    leader: int | None = None
    """Row with the best mean; None if the metric has no direction or the rows have no image in common."""
    p: dict[int, float] = field(default_factory=dict)
    """p of every other row against the leader, after Holm's correction for all of these."""
    images: int = 0
    """Number of images that all rows share, which leader and p are of."""

    @property
    def rows(self) -> list[int]:
        """The leader and the rows that are not significantly worse, the bold ones; empty if no row is worse."""
        alike = [row for row, p in self.p.items() if p >= 1 - LEVEL]
        return [] if self.leader is None or len(alike) == len(self.p) else sorted([self.leader, *alike])

    @property
    def fewest(self) -> int:
        """Least number of images with which a row can be significantly worse."""
        return fewest_images(len(self.p))


def best_rows(columns: Mapping[int, pd.Series[float]], metric: MetricFacts) -> Best:
    """Best rows of a column, each given by its values (samples averaged) indexed by image.

    A row is worse than the leader if p < 0.05 in a paired permutation test over the images, after Holm's correction for
    all comparisons with the leader. Images for which a row has no finite value count for no row; a row without any
    finite value takes no part.
    """
    finite = {row: values[np.isfinite(values)] for row, values in columns.items()}
    rows = [row for row, values in finite.items() if len(values)]
    if not rows or not metric.direction:
        return Best()
    values = pd.concat([finite[row] for row in rows], axis=1, join="inner").to_numpy()
    if not len(values):
        return Best()
    place = int(np.argmax(metric.direction * values.mean(axis=0)))
    others = np.delete(values, place, axis=1)
    p = holm(paired_p_values(values[:, [place]] - others))
    compared = [row for row in rows if row != rows[place]]
    return Best(rows[place], dict(zip(compared, map(float, p), strict=True)), len(values))
