"""Rule of significance for the rows of a column; every mark and verdict follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from srbench.interfaces import MetricFacts
from srbench.run_folder.statistics import LEVEL, fewest_images, holm, paired_p_values

Mark = Literal["", "best", "second"]
UNDECIDED = "undecided"
"""Verdict if the images support neither of two rows."""
RULE = (
    "{best}: the best mean, and every row not distinguishable from it; {second}: the same among the other rows. A "
    "column without marks is undecided. Two rows are distinguishable if a paired permutation test over the images says "
    "p {less} 0.05 after Holm's correction for all pairs of rows; whether intervals overlap does not tell."
)
"""Rule for the reader; a format string for the words of both marks and the sign for "less"."""


@dataclass(frozen=True)
class Ranking:
    """Every row of a column against every other."""

    marks: tuple[Mark, ...]
    """"best" for the row with the best mean and all rows not distinguishable from it, "second" for the same among the
    others. All are empty if no row is distinguishable from the best one."""
    taking_part: tuple[int, ...]
    """Rows that may have a mark: those with a finite value for every image."""
    leader: int | None
    """Row with the best mean; None if no row takes part, or the metric has no direction."""
    p: NDArray[np.float64]
    """(rows, rows): two-sided p of the paired permutation test; 1 if two rows have no image in common."""
    p_holm: NDArray[np.float64]
    """(rows, rows): p after Holm's correction for all pairs of rows."""
    better: NDArray[np.int64]
    """(rows, rows): 1 if the row is better than the column, -1 if it is worse, 0 if that is undecided."""
    tests: int
    """Number of tested pairs of rows."""
    shared: NDArray[np.int64]
    """(rows, rows): number of images for which both rows have a finite value."""
    means: NDArray[np.float64]
    """(rows, rows): mean of the row over the images that it shares with the column; NaN if there are none."""

    @property
    def fewest(self) -> int:
        """Smallest number of images that allows a verdict."""
        return fewest_images(self.tests)

    @property
    def most(self) -> int:
        """Largest number of images that two rows share, or of the only row."""
        others = ~np.eye(len(self.shared), dtype=bool) if len(self.shared) > 1 else True
        return int(self.shared.max(initial=0, where=others))

    def is_alike(self, row: int, other: int) -> bool:
        """True if two rows are of the same images, as far as their values are finite."""
        return bool(self.shared[row, other] == self.shared[row, row] == self.shared[other, other])


def rank(columns: Sequence[pd.Series[float]], metric: MetricFacts) -> Ranking:
    """Ranking of the rows of one column of the table, each given by its values indexed by image.

    Two rows are distinguishable if the paired permutation test over the images for which both have a finite value says
    p < 0.05 after Holm's correction for all pairs of rows: under no difference at all, at most one column in twenty
    has any verdict. A row with a value that is not finite has no mark, as its mean is over other images. Where rows
    are of unlike images, the best mean is that over the images of all rows that may have a mark.
    """
    rows, turn = len(columns), metric.direction
    values = pd.concat(columns, axis=1, keys=range(rows)) if rows else pd.DataFrame()
    values = values.where(np.isfinite(values))
    pairs = [pair for pair in combinations(range(rows), 2) if values[list(pair)].notna().all(axis=1).any()]
    p, p_holm = np.ones((2, rows, rows))
    better = np.zeros((rows, rows), dtype=np.int64)
    if pairs:
        firsts, seconds = np.array(pairs).T
        table = values.to_numpy()
        differences = table[:, firsts] - table[:, seconds]
        found = paired_p_values(differences)
        corrected = holm(found)
        verdicts = np.where(corrected < 1 - LEVEL, turn * np.sign(np.nanmean(differences, axis=0)), 0).astype(np.int64)
        p[firsts, seconds] = p[seconds, firsts] = found
        p_holm[firsts, seconds] = p_holm[seconds, firsts] = corrected
        better[firsts, seconds], better[seconds, firsts] = verdicts, -verdicts
    taking_part = [row for row, column in enumerate(columns) if len(column) and np.isfinite(column).all()]
    common = values.index[values[taking_part].notna().all(axis=1)]
    scores = [turn * float(column.reindex(common).mean()) for column in columns]
    leader, marks = _marked(taking_part if turn and len(common) else [], scores, better)
    shared, means = _shared(values.to_numpy())
    return Ranking(marks, tuple(taking_part), leader, p, p_holm, better, max(len(pairs), 1), shared, means)


def _shared(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of images (rows, rows) that two columns of (images, rows) share, and the means of the first over them."""
    there = np.isfinite(values)
    shared = there.T.astype(np.int64) @ there
    sums = np.where(there, values, 0).T @ there
    return shared, np.divide(sums, shared, out=np.full(shared.shape, np.nan), where=shared > 0)


def _marked(
    taking_part: Sequence[int], scores: Sequence[float], better: NDArray[np.int64]
) -> tuple[int | None, tuple[Mark, ...]]:
    """Leader and marks. Between rows of unlike images, the better mean may lose on those that two of them share."""
    marks: list[Mark] = [""] * len(scores)
    left, leader = list(taking_part), None
    for mark in ("best", "second"):
        unbeaten = [row for row in left if not (better[row, left] < 0).any()]
        if not unbeaten:
            break
        first = max(unbeaten, key=lambda row: scores[row])
        group = [row for row in left if better[first, row] == 0]
        if mark == "best":
            leader = first
            if len(group) == len(left):
                break  # nothing is decided
        for row in group:
            marks[row] = mark
        left = [row for row in left if row not in group]
    return leader, tuple(marks)
