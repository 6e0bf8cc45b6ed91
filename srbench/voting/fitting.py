"""Strengths fitted to votes, and intervals by bootstrap over raters and over images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from srbench.voting.counted import Counted, Floats, Integers
from srbench.voting.strengths import careless, preferred, strengths

LEVEL = 0.95
"""Confidence of all intervals; those of strengths hold for all models together."""
RESAMPLES = 400
"""Resamples of raters, of images, and of both: standard deviations are known to 4 %."""
HR_PLACE, LR_PLACE = 0, 1
"""HR and LR of obvious questions as models, so that the first outcome is the right one."""


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval, NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Resample:
    """Resamples of one kind, and the strengths fitted to each."""

    votes: Floats
    """Weight of every answer, (resamples, n)."""
    images: Floats
    """Weight of every image, (resamples, images)."""
    logs: Floats
    """Strengths, (resamples, models)."""


@dataclass(frozen=True)
class Fit:
    """Strengths fitted to some answers."""

    logs: Floats
    """Natural logarithms with mean 0, (models,)."""
    careless: float
    """Share of answers that were given without looking."""
    resamples: tuple[Resample, ...]
    """Resamples of raters, of images, and of both at once; one of these with one image or rater, none with one each."""
    units: int
    """Number of raters or of images, whichever is fewer, or the one that is not one."""

    def log(self, model: int) -> Interval:
        """Strength of a model and its interval, which holds for all models together."""
        return self.within(float(self.logs[model]), [one.logs[:, model] for one in self.resamples], several=True)

    def share(self, model: int) -> Interval:
        """Probability that a model is preferred to another; its interval by its log-odds."""
        odds = [_logit(preferred(logs))[:, model] for logs in (self.logs[None], *(one.logs for one in self.resamples))]
        found = self.within(float(odds[0][0]), odds[1:], several=True)
        return Interval(*(0.5 + 0.5 * math.tanh(one / 2) for one in (found.value, found.low, found.high)))

    def within(
        self,
        value: float,
        resampled: Sequence[Floats],
        low: float = -math.inf,
        high: float = math.inf,
        *,
        several: bool = False,
    ) -> Interval:
        """A value and its interval between two limits, from its values in all resamples, without those that are NaN.

        Variances of raters and images add up, less that of both at once, which is in each of them (Cameron, Gelbach and
        Miller, "Robust inference with multiway clustering", 2011); Student's t with the fewer of them as trials.
        ``several`` corrects for as many intervals as there are models (Bonferroni).
        """
        from scipy.stats import t

        kept = [one[np.isfinite(one)] for one in resampled]
        if self.units < 2 or not math.isfinite(value) or min(map(len, kept), default=0) < 2:
            return Interval(value)
        variances = [float(one.var()) for one in kept]
        if len(variances) == 3:
            raters, images, both = variances
            variances = [max(raters + images - both, raters, images)]
        error = (1 - LEVEL) / 2 / (len(self.logs) if several else 1)
        reach = float(t.isf(error, self.units - 1)) * math.sqrt(variances[0])
        return Interval(value, max(value - reach, low), min(value + reach, high))


def percent(share: float) -> str:
    """A share for a reader: ``71 %``."""
    return f"{100 * share:.0f} %"


def fitted(votes: Counted, obvious: Counted) -> Fit:
    """Fit strengths to answers that count, and to resamples of them.

    The share of careless answers is estimated from ``obvious``, of the same raters and images, in each resample anew.
    """
    logs, share = _fit(votes, obvious, np.ones((1, len(votes.rater))), np.ones((1, len(obvious.rater))))
    counts = [len(np.unique(one)) for one in (votes.rater, votes.image)]
    # votes by one rater about one image are a unit of their own, whatever the models
    cells = [one.rater * votes.images + one.image for one in (votes, obvious)]
    units = {"raters": (votes.rater, obvious.rater), "images": (votes.image, obvious.image), "both": tuple(cells)}
    if min(counts) < 2:
        units = {name: units[name] for name, count in zip(("raters", "images"), counts, strict=True) if count > 1}
    found = []
    for place, (name, (unit, other)) in enumerate(units.items()):
        random = np.random.default_rng(place)
        present, drawn = _drawn(unit, random)
        weights, checks = drawn[:, np.searchsorted(present, unit)], _of_units(other, present, drawn)
        images = _of_units(np.arange(votes.images), present, drawn) if name == "images" else np.ones((1, votes.images))
        found.append(Resample(weights, images, _fit(votes, obvious, weights, checks)[0]))
    few = [count for count in counts if count > 1]
    return Fit(logs[0], float(share[0]), tuple(found), min(few, default=min(counts)))


def _fit(votes: Counted, obvious: Counted, weights: Floats, checks: Floats) -> tuple[Floats, Floats]:
    """Strengths, (resamples, models), and shares of careless answers, (resamples,)."""
    lapses = careless(obvious.counts(checks)[:, HR_PLACE, LR_PLACE])
    return strengths(votes.counts(weights), lapses), lapses.all


def _drawn(units: Integers, random: np.random.Generator) -> tuple[Integers, Floats]:
    """Units that are there, sorted, and how often each is drawn, (resamples, units)."""
    present = np.unique(units)
    drawn = random.multinomial(len(present), np.full(len(present), 1 / len(present)), RESAMPLES)
    return present, drawn.astype(np.float64)


def _of_units(units: Integers, present: Integers, drawn: Floats) -> Floats:
    """Number of times that the unit of each vote is drawn, (resamples, n); once for one without votes that count."""
    place = np.minimum(np.searchsorted(present, units), len(present) - 1)
    return np.where(present[place] == units, drawn[:, place], 1.0)


def _logit(shares: Floats) -> Floats:
    return np.log(shares) - np.log1p(-shares)
