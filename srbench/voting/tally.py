"""The result of the votes of a run: strengths of models, and the agreement of every metric with people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srbench.interfaces import MetricInfo
from srbench.judging.sign_flips import ALPHA, FEWEST_UNITS, p_values
from srbench.judging.verdicts import Verdict
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Setting
from srbench.run_folder.values import Values
from srbench.voting import VotingError
from srbench.voting.agreement import FEWEST_ROWS, Agreements, Preferences, agreements
from srbench.voting.records import Question, Vote, image_file, is_current, read_votes

RESAMPLES = 1000
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Strength:
    """How much raters prefer a model."""

    label: str
    preferred: float
    """Probability that people prefer it to another model of the vote, 0 to 1, averaged over the other models."""
    low: float
    high: float
    """Ends of the 95 % interval; NaN if all votes are on one image."""
    votes: int
    """Number of votes on its outputs, without "cannot tell"."""
    images: int
    """Number of images of these votes."""


@dataclass(frozen=True)
class Tally:
    """The result of the votes of a run."""

    strengths: tuple[Strength, ...]
    """The most preferred model first."""
    lead: Verdict
    """Whether the first model is significantly preferred to the second."""
    agreements: Agreements
    """Metrics with a direction beside the votes that decide."""
    votes: int
    undecided: int
    """Number of votes for "cannot tell"."""
    of_parts: int
    """Number of votes on a part of a larger image, as far as the images are still saved."""
    raters: int
    images: int
    decided_images: int
    """Number of images on which somebody prefers an output: the units of the test."""
    outdated: int
    """Number of votes left out because the run has replaced an image since."""


def tally(path: Path) -> Tally:
    """Count the votes of a run. Raises VotingError if there are none, RunFolderError if a line is damaged."""
    run = RunFolder.read(path)
    votes = read_votes(path)
    current = [vote for vote in votes if is_current(run, vote.question)]
    if not current:
        raise VotingError(f"{path}: no votes on its current images; collect votes with srbench vote {path}")
    compared = {image.name for vote in current for image in (vote.question.left, vote.question.right)}
    settings = [setting for setting in run.manifest.settings if setting.folder in compared]
    images = sorted({vote.question.image for vote in current})
    arrays = _vote_arrays(current, [setting.folder for setting in settings], images)
    preferred = arrays.preferred()
    order = np.argsort(-preferred, kind="stable")
    low, high = _intervals(arrays)
    strengths = []
    for model in order:
        own = ((arrays.left == model) | (arrays.right == model)) & (arrays.choice != 0)
        ends = float(preferred[model]), float(low[model]), float(high[model])
        strengths.append(Strength(settings[model].label, *ends, int(own.sum()), len(np.unique(arrays.image[own]))))
    return Tally(
        strengths=tuple(strengths),
        lead=lead_of(arrays),
        agreements=_agreements(run, settings, images, arrays, [vote.rater for vote in current]),
        votes=len(current),
        undecided=int((arrays.choice == 0).sum()),
        of_parts=sum(_is_of_a_part(run, vote.question) for vote in current),
        raters=len({vote.rater for vote in current}),
        images=len(images),
        decided_images=arrays.decided_images,
        outdated=len(votes) - len(current),
    )


def _is_of_a_part(run: RunFolder, question: Question) -> bool:
    file = image_file(run, question.image, question.left.name)
    assert file is not None  # as the question is current
    try:
        with Image.open(file[0], formats=["PNG"]) as output:
            return output.size != question.window[2:]
    except OSError:
        return False


@dataclass(frozen=True)
class VoteArrays:
    """Votes as arrays (votes,), with models and images as indices."""

    models: int
    left: Integers
    right: Integers
    image: Integers
    choice: Integers
    """1 for left, -1 for right, 0 for "cannot tell"."""

    @property
    def decided_images(self) -> int:
        """Number of images with a vote that decides."""
        return len(np.unique(self.image[self.choice != 0]))

    def preferred(self, weights: Floats | None = None) -> Floats:
        """Return the probability (models,) that a model is preferred to another, averaged over the other models.

        From strengths in the model of Bradley and Terry (1952), fitted by evalica; "cannot tell" counts as half a win
        for both. Half a win for both sides of every pair is added, so that a model that always wins has a finite
        strength. ``weights`` (votes,) weight the votes. Raises VotingError if evalica is not installed.
        """
        import pandas as pd  # slow to import; reports without votes do not need it

        try:
            import evalica
        except ImportError:
            raise VotingError("counting votes needs evalica; install it: pip install 'sr-bench[votes]'") from None

        pairs = list(combinations(range(self.models), 2))
        winner = {1: evalica.Winner.X, -1: evalica.Winner.Y, 0: evalica.Winner.Draw}
        result = evalica.bradley_terry(
            [*self.left.tolist(), *(first for first, _ in pairs)],
            [*self.right.tolist(), *(second for _, second in pairs)],
            [*(winner[choice] for choice in self.choice.tolist()), *(evalica.Winner.Draw for _ in pairs)],
            index=pd.RangeIndex(self.models),
            weights=np.append(np.ones(len(self.choice)) if weights is None else weights, np.ones(len(pairs))),
        )
        scores = result.scores.sort_index().to_numpy()
        probabilities = evalica.pairwise_scores(np.asarray(scores, np.float64))
        # without the probability of 0.5 of a model against itself
        preferred: Floats = (probabilities.sum(axis=1) - 0.5) / (self.models - 1)
        return preferred


def _vote_arrays(votes: Sequence[Vote], models: Sequence[str], images: Sequence[str]) -> VoteArrays:
    sign = {"left": 1, "right": -1, "neither": 0}
    columns = [
        (
            models.index(vote.question.left.name),
            models.index(vote.question.right.name),
            images.index(vote.question.image),
            sign[vote.choice],
        )
        for vote in votes
    ]
    return VoteArrays(len(models), *np.array(columns).T)


def lead_of(votes: VoteArrays) -> Verdict:
    """Judge whether the most preferred model is ahead of the next, by the test of tables, over the images.

    The values of models on an image are its share of their least-squares ratings, which are linear in the votes
    (Massey, "Statistical models applied to the rating of sports teams", 1997): if all models are equally good, they are
    as likely with all signs flipped. "Cannot tell" is half a win for both.
    """
    images, place = np.unique(votes.image, return_inverse=True)
    if votes.decided_images < FEWEST_UNITS:
        return "too few"
    wins, played = np.zeros((len(images), votes.models)), np.zeros((votes.models, votes.models))
    for one, other, sign in ((votes.left, votes.right, 1), (votes.right, votes.left, -1)):
        np.add.at(wins, (place, one), sign * votes.choice)
        np.add.at(played, (one, other), 1)
    ratings = wins @ np.linalg.pinv(np.diag(played.sum(axis=0)) - played)
    first, second = np.triu_indices(votes.models, 1)
    p = p_values(ratings[:, first] - ratings[:, second])
    *_, runner_up, best = np.argsort(votes.preferred(), kind="stable")
    return "decided" if p[(first == min(best, runner_up)) & (second == max(best, runner_up))] < ALPHA else "undecided"


def _intervals(votes: VoteArrays) -> tuple[Floats, Floats]:
    """Return 95 % intervals of the preferences, by a bootstrap over images; NaN with a single image."""
    from scipy.stats import bootstrap

    images = int(votes.image.max()) + 1
    if images < 2:
        missing = np.full(votes.models, np.nan)
        return missing, missing

    def statistic(resample: Integers) -> Floats:
        return votes.preferred(np.bincount(resample, minlength=images)[votes.image].astype(np.float64))

    resampled = bootstrap(
        (np.arange(images),), statistic, n_resamples=RESAMPLES, vectorized=False, method="percentile", rng=0
    )
    return np.asarray(resampled.confidence_interval.low), np.asarray(resampled.confidence_interval.high)


def _agreements(
    run: RunFolder, settings: Sequence[Setting], images: Sequence[str], votes: VoteArrays, raters: Sequence[str]
) -> Agreements:
    """Return the agreement of every metric that has a direction with the votes that decide, by the first sample.

    The rank correlation is Kendall's, between the models' means and preferences.
    """
    decides = votes.choice != 0
    rater = np.unique(raters, return_inverse=True)[1]
    arrays = (each[decides] for each in (votes.left, votes.right, votes.image, votes.choice, rater))
    metrics = [metric for metric in run.manifest.of_images if metric.direction and not metric.by_row]
    values = {metric: _values(run, metric, settings, images) for metric in metrics}
    preferred = votes.preferred()
    taus = {metric.name: _tau(metric.direction * own, preferred) for metric, own in values.items()}
    units = Values({}, dict.fromkeys(settings, images), run.manifest.unit_of, run.manifest.ungrouped)
    return agreements("votes", "Kendall's τ", Preferences(*arrays), values, images, taus, units)


def _tau(merits: Floats, preferred: Floats) -> float:
    """Return Kendall's tau between means over images of (models, images) and preferences.

    NaN for fewer than three models.
    """
    from scipy.stats import kendalltau

    usable = np.isfinite(merits).all(axis=0)
    if len(merits) < FEWEST_ROWS or not usable.any():
        return math.nan
    return float(kendalltau(merits[:, usable].mean(axis=1), preferred).statistic)


def _values(run: RunFolder, metric: MetricInfo, settings: Sequence[Setting], images: Sequence[str]) -> Floats:
    """Return the values (models, images) of the images that raters saw, NaN for a missing value."""
    values = np.full((len(settings), len(images)), np.nan)
    for row, setting in enumerate(settings):
        for column, image in enumerate(images):
            sample = run.sample(setting, image)
            score = None if sample is None or sample.failed else run.score(sample, metric)
            if score is not None and score.value is not None:
                values[row, column] = score.value[0] if isinstance(score.value, list) else score.value
    return values
