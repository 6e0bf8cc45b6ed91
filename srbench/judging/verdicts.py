"""Verdicts on rows: which rows of a column are best, what a comparison of two rows says, and calibration of samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Literal, NamedTuple

import numpy as np

from srbench.interfaces import MetricInfo
from srbench.judging.sign_flips import ALPHA, FEWEST_UNITS, mean_interval, mean_intervals, p_values, separate_p_values
from srbench.judging.units import Units, shared_units
from srbench.run_folder.values import Values, mean_of_images

Verdict = Literal["decided", "undecided", "too few", "not judged"]
"""Whether a difference is significant; ``too few`` units for any test, or ``not judged``,
as there is nothing to test."""
_PAIRS = 64
"""Number of pairs whose intervals are computed at once, which bounds memory: 100 checkpoints make 4950 pairs."""


@dataclass(frozen=True)
class BestRows:
    """Best rows of a column."""

    units: Units | None = None
    """What the compared rows share; None if no row has a finite value, or the metric has no direction."""
    leader: int | None = None
    """Row with the best mean, the first of equal rows; None if the rows have no unit in common."""
    means: dict[int, float] = field(default_factory=dict)
    """Means of the compared rows, over the units that all of them share."""
    pairs: dict[tuple[int, int], float] = field(default_factory=dict)
    """p of every two compared rows, each pair once, adjusted for all pairs; empty without a test."""

    @property
    def verdict(self) -> Verdict:
        """Whether some rows are significantly worse than others."""
        if self.units is None or not self.pairs:
            return "not judged"
        if self.units.n < FEWEST_UNITS:
            return "too few"
        return "decided" if any(p < ALPHA for p in self.pairs.values()) else "undecided"

    @cached_property
    def ordered(self) -> list[int]:
        """Compared rows, the leader first, then by falling quality of their means."""
        direction = self.units.metric.direction if self.units else 0
        return sorted(self.means, key=lambda row: (row != self.leader, -direction * self.means[row]))

    @cached_property
    def top(self) -> list[int]:
        """The leader, and the rows that follow it down to the first that is significantly worse than the leader."""
        is_worse = (row != self.leader and self.p(row, self.leader or 0) < ALPHA for row in self.ordered)
        return [row for row, _ in zip(self.ordered, takewhile(lambda worse: not worse, is_worse), strict=False)]

    @property
    def rows(self) -> list[int]:
        """Rows in bold: the ``top``; none if that would be every row."""
        return [] if len(self.top) == len(self.means) else sorted(self.top)

    def p(self, row: int, other: int) -> float:
        """Return the p of two compared rows; 1 without a test."""
        return self.pairs.get((row, other), self.pairs.get((other, row), 1.0))

    @property
    def beaten(self) -> dict[int, list[int]]:
        """For each compared row, the rows below the top that are significantly worse, sorted.

        Without a row that is worse than the leader, there are none, so that letters contradict no mark, and are wrong
        as rarely as marks.
        """
        places = {row: place for place, row in enumerate(self.ordered)}
        beaten: dict[int, list[int]] = {row: [] for row in self.means}
        for pair in (pair for pair, p in self.pairs.items() if p < ALPHA):
            better, worse = sorted(pair, key=places.__getitem__)
            if worse not in self.top:
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
    """Number of units that all compared rows share."""


def best_rows(columns: Mapping[int, Mapping[str, float]], metric: MetricInfo, values: Values) -> BestRows:
    """Find the best rows of a column over the ``shared_units``, given the means over samples of each row by subject."""
    units = shared_units(columns, metric, values) if metric.direction else None
    return BestRows() if units is None else best_of(units)


def best_of(units: Units) -> BestRows:
    """Find the best rows: rows are tested in pairs, over the units, by sign flips.

    p is adjusted for all pairs of rows, because the values also choose the leader.
    """
    if not units.n:
        return BestRows(units)
    metric = units.metric
    rows, (first, second), means = units.rows, units.pairs, units.means
    leader = int(np.argmax(metric.direction * means))
    equal = first[(second == leader) & ~units.gaps.any(axis=0)]
    leader = int(equal.min(initial=leader))
    pairs = zip((rows[row] for row in first), (rows[row] for row in second), strict=True)
    return BestRows(
        units,
        rows[leader],
        {row: float(mean) for row, mean in zip(rows, means, strict=True)},
        dict(zip(pairs, p_values(units.gaps).tolist(), strict=True)) if units.are_independent else {},
    )


def pairs_of(best: BestRows) -> Iterator[Pair]:
    """Yield every two rows of a column that were tested, each pair once.

    Intervals invert the sign-flip test of the two rows alone, as in ``compare``: unlike p, they are not adjusted.
    """
    if best.units is None or not best.pairs:
        return
    gaps = best.units.gaps
    blocks = np.array_split(gaps, max(1, -(-gaps.shape[1] // _PAIRS)), axis=1)
    ends = (interval for block in blocks for interval in mean_intervals(block.T))
    means = gaps.mean(axis=0).tolist()
    for ((row, other), p), difference, (low, high) in zip(best.pairs.items(), means, ends, strict=True):
        yield Pair(row, other, difference, low, high, p, len(gaps))


@dataclass(frozen=True)
class Difference:
    """Differences of two rows A minus B in one metric."""

    metric: MetricInfo
    units: Units | None
    """What A and B share; None for a metric without units, or if a row has no finite value."""
    mean_a: float
    """Mean over the shared units; a metric of all images together has the value itself, without interval and test."""
    mean_b: float
    low: float
    """Lower end of the 95 % interval of the mean difference; NaN for too few units."""
    high: float
    p: float
    """Two-sided p of the paired sign-flip test of A and B alone; NaN without a test."""
    lacking: tuple[str, ...] = ()
    """Subjects on which A has a value, and B has none, or none that is finite or infinitely good."""
    is_projected: bool = False
    """True for a metric of consistency if A or B is projected onto LR:
    no verdict, as it says nothing about the model."""
    p_adjusted: float = math.nan
    """p adjusted for all compared rows of the run, as for its marks; NaN if A and B are of two runs."""
    is_marked: bool = True
    """False if the marks and letters of the report of the run show no difference between A and B."""

    @cached_property
    def by_image(self) -> dict[str, float]:
        """Differences by subject; 0 for values that are equal by ``values.is_close``."""
        units = self.units
        return {} if units is None else dict(zip(units.subjects, units.gaps_of_subjects[:, 0].tolist(), strict=True))

    @property
    def n(self) -> int:
        """Number of units."""
        return 0 if self.units is None else self.units.n

    @property
    def mean(self) -> float:
        """Mean difference over the units, or the difference of two values of all images."""
        return float(self.units.gaps.mean()) if self.units is not None and self.n else self.mean_a - self.mean_b

    @property
    def verdict(self) -> Verdict:
        """Whether A and B differ significantly; not judged without direction or test,
        or if that says nothing of both.
        """
        is_tested = self.units is None or self.units.are_independent
        if not (self.metric.direction and self.metric.permits_test and is_tested) or self.is_projected:
            return "not judged"
        return "too few" if self.n < FEWEST_UNITS else "decided" if self.p < ALPHA else "undecided"

    @property
    def gains(self) -> dict[str, float]:
        """Differences by subject, negated if lower is better, so that positive means that A is better."""
        return {name: (self.metric.direction or 1) * value for name, value in self.by_image.items()}

    @property
    def outcomes(self) -> tuple[int, int, int]:
        """Numbers of units on which A is better, equal and worse."""
        gains = (self.metric.direction or 1) * self.units.gaps[:, 0] if self.units is not None else np.zeros(0)
        return int((gains > 0).sum()), int((gains == 0).sum()), int((gains < 0).sum())

    @property
    def better(self) -> int:
        """1 if A is significantly better, -1 if B is, 0 if undecided or not judged."""
        return int(self.metric.direction * np.sign(self.mean)) if self.verdict == "decided" else 0


def difference_of(
    values_a: Mapping[str, float], values_b: Mapping[str, float], metric: MetricInfo, values: Values
) -> Difference:
    """Compare two rows on the ``shared_units``, given their means over samples by image or group."""
    if not metric.permits_test:
        mean_a, mean_b = map(mean_of_images, (values_a, values_b))
        return Difference(metric, None, mean_a, mean_b, math.nan, math.nan, math.nan)
    lacking = tuple(
        subject
        for subject, value in values_a.items()
        if (math.isnan(other := values_b.get(subject, math.nan)) and not math.isnan(value))
        or (math.isfinite(value) and not math.isfinite(other) and other != metric.direction * math.inf)
    )
    units = shared_units({0: values_a, 1: values_b}, metric, values)
    if units is None or len(units.rows) < 2 or not units.n:
        return Difference(metric, None, math.nan, math.nan, math.nan, math.nan, math.nan, lacking)
    mean_a, mean_b = units.means.tolist()
    difference = Difference(metric, units, mean_a, mean_b, math.nan, math.nan, math.nan, lacking)
    if not units.are_independent:
        return difference
    low, high = mean_interval(units.gaps[:, 0])
    return replace(difference, low=low, high=high, p=float(p_values(units.gaps)[0]))


def losses(differences: Sequence[Difference], tests: int) -> list[Difference]:
    """Return the differences in which B is significantly worse, with p corrected for a number of tests (Bonferroni)."""
    p: dict[int, float] = {}
    for n in {difference.n for difference in differences}:
        alike = [place for place, each in enumerate(differences) if each.units is not None and each.n == n]
        gaps = [units.gaps[:, 0] for place in alike if (units := differences[place].units)]
        p |= dict(zip(alike, separate_p_values(np.stack(gaps, axis=1), tests).tolist(), strict=True)) if gaps else {}
    return [
        each
        for place, each in enumerate(differences)
        if p.get(place, 1.0) < ALPHA and each.metric.direction * each.mean > 0
    ]


FEWEST_SAMPLES = 5
"""Fewest samples of an image for a verdict on their spread: with two, the variance of a single image is too rough."""


class Calibration(NamedTuple):
    """Spread of the samples of a row beside the error of their mean."""

    label: str
    ratio: float
    """Spread/skill: 1 if calibrated, below 1 if samples spread less than the error of their mean."""
    low: float
    """Lower end of its 95 % interval, which holds for all judged rows together."""
    high: float
    verdict: Verdict


def calibrations(
    rows: Mapping[str, tuple[Mapping[str, tuple[float, float]], int]], values: Values
) -> list[Calibration]:
    """Judge whether the samples of rows spread less or more than the error of their mean.

    Args:
        rows: By label, spread and error of every image (``calibration.spread_and_error``), and the number of samples.
        values: They say whether means are over groups.

    The intervals of k judged rows have the level 1 - 0.05 / k (Bonferroni), so that a table of calibrated rows has a
    wrong verdict as rarely as a single row.
    """
    from srbench.metrics.calibration import spread_skill, spread_skill_interval

    sums: dict[str, tuple[list[float], list[float], int]] = {}
    for label, (images, n) in rows.items():
        units: dict[str, list[tuple[float, float]]] = {}
        for image, pair in images.items():
            units.setdefault(values.unit_of.get(image, image), []).append(pair)
        of_units = [tuple(map(math.fsum, zip(*own, strict=True))) for own in units.values()]
        sums[label] = ([spread for spread, _ in of_units], [error for _, error in of_units], n)
    is_enough = {
        label: n >= FEWEST_SAMPLES and len(spreads) >= FEWEST_UNITS and not values.is_dependent
        for label, (spreads, _, n) in sums.items()
    }
    judged = []
    for label, (spreads, errors, n) in sums.items():
        low, high = (
            spread_skill_interval(spreads, errors, n, sum(is_enough.values())) if is_enough[label] else (0, math.inf)
        )
        verdict: Verdict = "decided" if high < 1 or low > 1 else "undecided"
        if not math.isfinite(high):
            verdict = "not judged" if values.is_dependent else "too few"
        judged.append(Calibration(label, spread_skill(spreads, errors, n), low, high, verdict))
    return judged
