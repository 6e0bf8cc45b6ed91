"""Which column agrees with people: how often a metric orders two outputs of an image as raters do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from srbench.interfaces import MetricInfo
from srbench.judging.sign_flips import mean_interval
from srbench.judging.verdicts import BestRows, best_rows
from srbench.run_folder.values import Values, by_unit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FEWEST_ROWS = 3
"""Smallest number of rows for a rank correlation of their means; of two rows, it can only be 1 or -1."""
_SHARE = MetricInfo(name="agreement", title="agreement", direction=1, protocol="", per="image", digits=3)
"""The share of an image as a column, whose rows are metrics."""


@dataclass(frozen=True)
class Preferences:
    """Pairs of outputs of an image of which people prefer one, as indices of rows, images and raters: (pairs,)."""

    first: Integers
    second: Integers
    image: Integers
    choice: Integers
    """1 if people prefer the first output, -1 if the second."""
    rater: Integers
    """Rater of each pair; empty if ratings are means of several raters."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of a metric with people."""

    metric: MetricInfo
    share: float
    """Share of the pairs of an image that the metric orders as people do, mean over units; a tie counts one half."""
    low: float
    """Lower end of its 95 % interval over images, or groups; NaN below six."""
    high: float
    low_of_raters: float
    """Lower end of the 95 % interval over raters of the mean of their shares; NaN below six raters."""
    high_of_raters: float
    pairs: int
    """Number of pairs with values of the metric."""
    units: int
    """Number of images of these pairs, or of their groups if means are over groups."""
    correlation: float
    """Rank correlation, positive for agreement; NaN if undefined."""


@dataclass(frozen=True)
class Agreements:
    """Agreement of several metrics with the same people."""

    people: str
    """``votes``, or the title of a column of ratings."""
    statistic: str
    """Name of the rank correlation."""
    rows: tuple[Agreement, ...]
    """The highest share first."""
    best: BestRows
    """Best rows by the test of tables, as places in ``rows``."""
    unit: str
    """What means and intervals are over: ``image`` or ``group``."""


def agreements(
    people: str,
    statistic: str,
    pairs: Preferences,
    values: Mapping[MetricInfo, Floats],
    images: Sequence[str],
    correlations: Mapping[str, float],
    units: Values,
) -> Agreements:
    """Compare metrics with people.

    Args:
        people: What the metrics are compared with, in words.
        statistic: Name of the rank correlation.
        pairs: What people prefer.
        values: Values (rows, images) of every metric with a direction, NaN for a missing value.
        images: Names of the images.
        correlations: Rank correlation of every metric, by name.
        units: They say whether means are over groups.
    """
    rows, shares = [], []
    for metric, own in values.items():
        left, right = (metric.direction * own[row, pairs.image] for row in (pairs.first, pairs.second))
        usable = ~np.isnan(left) & ~np.isnan(right)
        if not usable.any():
            continue
        agrees = (1 + (np.sign(np.nan_to_num(left[usable] - right[usable])) * pairs.choice[usable])) / 2
        by_image = _means(agrees, pairs.image[usable])
        share = {images[place]: value for place, value in by_image.items()}
        of_units = [*by_unit(share, units.unit_of).values()]
        low, high = (math.nan, math.nan) if units.is_dependent else mean_interval(of_units)
        of_raters = _means(agrees, pairs.rater[usable]) if len(pairs.rater) else {}
        ends = low, high, *mean_interval([*of_raters.values()])
        counts = int(usable.sum()), len(of_units)
        rows.append(
            Agreement(metric, float(np.mean(of_units)), *ends, *counts, correlations.get(metric.name, math.nan))
        )
        shares.append(share)
    order = sorted(range(len(rows)), key=lambda place: -rows[place].share)
    columns = {place: shares[row] for place, row in enumerate(order)}
    return Agreements(
        people, statistic, tuple(rows[row] for row in order), best_rows(columns, _SHARE, units), units.unit
    )


def agreements_with_ratings(values: Values, ratings: MetricInfo, metrics: Sequence[MetricInfo]) -> Agreements:
    """Compare metrics with a column of ratings, by every two outputs of an image whose ratings differ.

    The rank correlation is Spearman's, over all rated outputs, as in tables of image quality assessment.
    """
    from scipy.stats import spearmanr

    images = list(dict.fromkeys(image for setting in values.settings for image in values.images[setting]))
    rated = ratings.direction * _array(values, ratings, images)
    measured = {metric: _array(values, metric, images) for metric in metrics if _is_comparable(metric)}
    first, second, place = (
        np.array(column, dtype=np.int64)
        for column in zip(
            *((a, b, image) for a, b in combinations(range(len(rated)), 2) for image in range(len(images))), strict=True
        )
    )
    choice = np.sign(np.nan_to_num(rated[first, place] - rated[second, place])).astype(np.int64)
    kept = choice != 0
    pairs = Preferences(first[kept], second[kept], place[kept], choice[kept], np.zeros(0, np.int64))
    correlations = {}
    for metric, own in measured.items():
        usable = np.isfinite(rated) & np.isfinite(own)
        if len(np.unique(rated[usable])) > 1 and len(np.unique(own[usable])) > 1:
            correlations[metric.name] = float(spearmanr(rated[usable], metric.direction * own[usable]).statistic)
    return agreements(ratings.title, "Spearman's ρ", pairs, measured, images, correlations, values)


def agreement_of_columns(values: Values, metrics: Sequence[MetricInfo]) -> tuple[list[MetricInfo], Floats]:
    """Return how alike metrics order the rows of an image: Kendall's tau-b, mean over images, (metrics, metrics).

    Positive if both prefer the same rows; NaN if no image has three rows with values of both. The metrics are those
    that have a direction and a value for each image.
    """
    shown = [metric for metric in metrics if _is_comparable(metric)]
    images = list(dict.fromkeys(image for setting in values.settings for image in values.images[setting]))
    first, second = np.triu_indices(len(values.settings), 1)
    order = []
    for metric in shown:
        merits = metric.direction * _array(values, metric, images)
        with np.errstate(invalid="ignore"):
            order.append(np.sign(merits[first] - merits[second]))  # (pairs of rows, images)
    taus = np.full((len(shown), len(shown)), np.nan)
    for a, b in combinations(range(len(shown)), 2):
        both = ~np.isnan(order[a]) & ~np.isnan(order[b])
        one, other = (np.where(both, order[place], 0) for place in (a, b))
        norms = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
        usable = (norms > 0) & (both.sum(axis=0) >= FEWEST_ROWS)
        if usable.any():
            taus[a, b] = taus[b, a] = ((one * other).sum(axis=0)[usable] / norms[usable]).mean()
    return shown, taus


def _is_comparable(metric: MetricInfo) -> bool:
    return metric.is_of_images and bool(metric.direction)


def _array(values: Values, metric: MetricInfo, images: Sequence[str]) -> Floats:
    """Return the means over samples (rows, images) of a metric, NaN for a missing value."""
    means = (values.means(setting, metric) for setting in values.settings)
    return np.array([[own.get(image, math.nan) for image in images] for own in means])


def _means(shares: Floats, places: Integers) -> dict[int, float]:
    """Return the mean share of every image or rater."""
    return {int(place): float(shares[places == place].mean()) for place in np.unique(places)}
