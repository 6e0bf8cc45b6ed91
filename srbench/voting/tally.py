"""The result of all votes of a run: how often models are preferred, raters, and metrics that agree with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srbench.run_folder.folder import RunFolder
from srbench.voting import VotingError
from srbench.voting.agreement import Agreement, agreements, alpha, values_of
from srbench.voting.counted import FIRST, NEITHER, SECOND, Counted, counted
from srbench.voting.fitting import LEVEL, Fit, Interval, fitted, percent
from srbench.voting.raters import Rater, judged
from srbench.voting.records import HR, LR, Vote, foreign, read_votes


@dataclass(frozen=True)
class Strength:
    """A model as raters see it."""

    name: str
    """Folder of the setting."""
    label: str
    """Name for a reader."""
    preferred: Interval
    """Probability that it is preferred to another model of the vote, where one of the two is; mean over the others."""
    log: Interval
    """Strength in the model of Bradley and Terry: natural logarithm, with mean 0 over the models."""
    answers: int
    """Number of answers about it that count."""
    always: str = ""
    """``won`` or ``lost`` if it did so in every answer, which leaves its strength open on that side."""

    @property
    def text(self) -> str:
        """Share for a reader: ``71 %``, or what the votes can say of a model that always won or lost."""
        if not self.answers:
            return "no votes"
        low, high = self.preferred.low, self.preferred.high
        if self.always and math.isnan(low):
            return f"{self.always} every vote"
        if self.always:
            return f"at least {percent(low)}" if self.always == "won" else f"at most {percent(high)}"
        return percent(self.preferred.value)

    @property
    def between(self) -> str:
        """95 % interval for a reader; empty if there is none."""
        if self.always or not self.answers or math.isnan(self.preferred.low):
            return ""
        return f"{100 * self.preferred.low:.0f}–{percent(self.preferred.high)}"


@dataclass(frozen=True)
class Tally:
    """All that the votes of a run say."""

    strengths: tuple[Strength, ...]
    """Models by the votes of raters that are not flagged, the most preferred first."""
    by_all: tuple[Strength, ...]
    """The same by the votes of all raters; equal to ``strengths`` if nobody is flagged."""
    alike: tuple[str, ...]
    """Labels of models that cannot be told from the most preferred one; all others if there are no intervals."""
    raters: tuple[Rater, ...]
    answers: int
    """Number of answers that count, of raters that are not flagged."""
    images: int
    undecided: int
    """Number of those that are "cannot tell"."""
    alpha: float
    """Krippendorff's alpha of raters that are not flagged; NaN where it is undefined."""
    careless: float
    """Share of answers given without looking, estimated from obvious questions; NaN without such questions."""
    metrics: tuple[Agreement, ...]
    outdated: int
    """Number of votes left out, as their images are no longer those of the run."""

    @property
    def flagged(self) -> tuple[Rater, ...]:
        """Raters that are left out."""
        return tuple(rater for rater in self.raters if rater.reasons)

    def of(self, name: str) -> Strength | None:
        """The strength of a setting by its folder; None if nobody was asked about it."""
        return next((one for one in self.strengths if one.name == name and one.answers), None)


def tally(path: Path) -> Tally:
    """Tally the votes of a run. Raises VotingError if there is none, RunFolderError if a line is damaged."""
    run = RunFolder.read(path)
    votes = read_votes(path)
    current = [vote for vote in votes if not foreign(run, vote.question)]
    if not current:
        raise VotingError(f"{path}: no votes on its images yet; ask for some with srbench vote {path}")
    return tally_of(run, current, len(votes) - len(current))


def tally_of(run: RunFolder, votes: Sequence[Vote], outdated: int = 0) -> Tally:
    """Tally votes on images of a run. Raises VotingError if none of them counts."""
    asked = {side.name for vote in votes if vote.question.kind == "vote" for side in vote.question.sides}
    labels = {one.folder: one.label for one in run.manifest.settings if one.folder in asked}
    if not labels:
        raise VotingError(f"{run.path}: no votes that count yet; ask for some with srbench vote {run.path}")
    raters, seen = judged(votes), {vote.question.image for vote in votes}
    images = [one for one in run.manifest.images if one in seen]
    names = [one.name for one in raters], images
    main = counted([vote for vote in votes if vote.question.kind == "vote"], list(labels), *names)
    obvious = counted([vote for vote in votes if vote.question.kind == "obvious"], [HR, LR], *names)
    unflagged = np.array([not one.reasons for one in raters])
    votes_of, checks_of = main.of(unflagged), obvious.of(unflagged)
    fit = fitted(votes_of, checks_of)
    found = _ranked(labels, votes_of, fit)
    metrics = [metric for metric in run.manifest.metrics if metric.direction]
    values = values_of(run, list(labels), images)
    return Tally(
        strengths=found,
        by_all=found if unflagged.all() else _ranked(labels, main, fitted(main, obvious)),
        alike=_alike(list(labels), found, fit),
        raters=tuple(raters),
        answers=len(votes_of.outcome),
        images=len(np.unique(votes_of.image)),
        undecided=int((votes_of.outcome == NEITHER).sum()),
        alpha=alpha(votes_of),
        careless=float(fit.careless) if len(checks_of.outcome) else math.nan,
        metrics=tuple(agreements(metrics, values, votes_of, fit)),
        outdated=outdated,
    )


def _ranked(labels: Mapping[str, str], votes: Counted, fit: Fit) -> tuple[Strength, ...]:
    """Models, the most preferred first; their intervals hold for all of them together."""
    found = []
    for place, (name, label) in enumerate(labels.items()):
        mine = (votes.first == place) | (votes.second == place)
        won = votes.outcome[mine] == np.where(votes.first[mine] == place, FIRST, SECOND)
        lost = votes.outcome[mine] == np.where(votes.first[mine] == place, SECOND, FIRST)
        always = "" if not mine.any() else "won" if won.all() else "lost" if lost.all() else ""
        share, log = fit.share(place), fit.log(place)
        if always and fit.resamples:
            share, log = _open(always, share.value, log.value, len(labels), fit.units)
        found.append(Strength(name, label, share, log, int(mine.sum()), always))
    return tuple(sorted(found, key=lambda one: -one.preferred.value))


def _alike(names: Sequence[str], ranked: Sequence[Strength], fit: Fit) -> tuple[str, ...]:
    """Labels of models whose difference from the first one has an interval with 0, or none."""
    found, first = [], names.index(ranked[0].name)
    for other in ranked[1:]:
        place = names.index(other.name)
        gap = fit.within(
            float(fit.logs[first] - fit.logs[place]),
            [one.logs[:, first] - one.logs[:, place] for one in fit.resamples],
            several=True,
        )
        if not gap.low > 0:
            found.append(other.label)
    return tuple(found)


def _open(always: str, share: float, log: float, models: int, trials: int) -> tuple[Interval, Interval]:
    """Intervals of a model that always won, or lost, with one end that no vote bounds.

    All of n trials were won with a probability p if the share is p^(1/n) (Clopper and Pearson, 1934).
    """
    least = ((1 - LEVEL) / models) ** (1 / trials)
    least_log = math.log(least / (1 - least)) * (models - 1) / models
    if always == "won":
        return Interval(max(share, least), least, 1), Interval(max(log, least_log), least_log, math.inf)
    return Interval(min(share, 1 - least), 0, 1 - least), Interval(min(log, -least_log), -math.inf, -least_log)
