"""Agreement of raters with each other (Krippendorff's alpha), and of the metrics of a run with raters."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from srbench.interfaces import MetricFacts
from srbench.run_folder.folder import RunFolder
from srbench.voting.counted import FIRST, NEITHER, SECOND, Counted, Floats
from srbench.voting.fitting import Fit, Interval

FEWEST_MODELS = 3
"""Least number of models for a rank correlation: two are always in the same or the opposite order."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of a metric with raters."""

    metric: MetricFacts
    accuracy: Interval
    """Share of answers that prefer an image which the metric prefers too; equal values count one half."""
    answers: int
    correlation: Interval
    """Spearman's correlation of the means of models with their strengths; NaN for fewer than three models."""


def alpha(votes: Counted) -> float:
    """Krippendorff's alpha of votes on pairs that several raters saw, as an ordinal scale with "cannot tell" between.

    The two images of every other pair change places, so that their order has no meaning. NaN if no pair was seen twice,
    or all answers are equal.
    """
    import evalica

    answers: defaultdict[tuple[int, int, int], dict[int, int]] = defaultdict(dict)
    for image, first, second, rater, outcome in zip(
        *(column.tolist() for column in (votes.image, votes.first, votes.second, votes.rater, votes.outcome)),
        strict=True,
    ):
        answers[image, first, second][rater] = {FIRST: 1, SECOND: -1, NEITHER: 0}[outcome]
    shared = [answers[unit] for unit in sorted(answers) if len(answers[unit]) > 1]
    units = [{rater: value * (-1) ** place for rater, value in one.items()} for place, one in enumerate(shared)]
    if len({value for one in units for value in one.values()}) < 2:
        return math.nan
    return float(evalica.alpha(pd.DataFrame(units).T, distance="ordinal").alpha)


def values_of(run: RunFolder, models: Sequence[str], images: Sequence[str]) -> dict[str, Floats]:
    """Values of the images that were voted on, (models, images) by metric with a direction; NaN where one is missing.

    Of a model that samples, that of the first sample, which was shown; or that of the whole set.
    """
    metrics = [metric for metric in run.manifest.metrics if metric.direction]
    found = {metric.name: np.full((len(models), len(images)), np.nan) for metric in metrics}
    settings = {setting.folder: setting for setting in run.manifest.settings}
    for row, name in enumerate(models):
        for column, image in enumerate(images):
            sample = run.sample(settings[name], image)
            for score in [] if sample is None or sample.failed else run.scores(sample):
                if score.metric in found and score.value is not None:
                    value = score.value[0] if isinstance(score.value, list) else score.value
                    found[score.metric][row, column] = value
    return found


def agreements(
    metrics: Sequence[MetricFacts], values: Mapping[str, Floats], votes: Counted, fit: Fit
) -> list[Agreement]:
    """Agreement of every metric with some votes and the strengths fitted to them, the best accuracy first."""
    voted = (np.bincount(votes.image, minlength=votes.images) > 0).astype(np.float64)[None]
    found = []
    for metric in metrics:
        better = values[metric.name] * metric.direction
        first, second = better[votes.first, votes.image], better[votes.second, votes.image]
        with np.errstate(invalid="ignore"):  # two infinite values are equal
            agrees = np.where(first == second, 0.5, (first > second) == (votes.outcome == FIRST))
        usable = (votes.outcome != NEITHER) & ~np.isnan(first) & ~np.isnan(second)
        if not usable.any():
            continue
        share = float(agrees[usable].mean())
        shares = [_share(agrees, usable, one.votes) for one in fit.resamples]
        correlation = float(_correlations(better, fit.logs[None], voted)[0])
        correlations = [_correlations(better, one.logs, one.images * voted) for one in fit.resamples]
        found.append(
            Agreement(
                metric, fit.within(share, shares, 0, 1), int(usable.sum()), fit.within(correlation, correlations, -1, 1)
            )
        )
    return sorted(found, key=lambda one: -one.accuracy.value)


def _share(agrees: Floats, usable: NDArray[np.bool_], weights: Floats) -> Floats:
    """Weighted mean over the usable answers by resample; NaN where none is usable."""
    weights = weights * usable
    with np.errstate(invalid="ignore"):
        shares: Floats = (weights @ agrees) / weights.sum(axis=1)
    return shares


def _correlations(better: Floats, logs: Floats, images: Floats) -> Floats:
    """Spearman's correlation of strengths with means over images, by resample; images without a value are left out."""
    from scipy.stats import rankdata

    if len(better) < FEWEST_MODELS:
        return np.full(len(logs), np.nan)
    usable = np.isfinite(better).all(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (images[:, usable] @ better[:, usable].T) / images[:, usable].sum(axis=1, keepdims=True)
        one, other = (rankdata(values, axis=1) - (len(better) + 1) / 2 for values in (np.round(means, 10), logs))
        found: Floats = (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return found
