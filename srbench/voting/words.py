"""The result of votes in sentences and tables of text, for the terminal and the report."""

from __future__ import annotations

import math

from srbench.judging.sentences import agreement_sentence, vote_sentence
from srbench.judging.sign_flips import FEWEST_UNITS
from srbench.voting.agreement import Agreements
from srbench.voting.study import LARGEST_WINDOW
from srbench.voting.tally import RESAMPLES, Tally
from srbench.words import number_of

CAPTION = (
    "Preferred: probability that people prefer the model to another model of the vote (Bradley-Terry model fitted by "
    f"evalica), with a 95 % interval (bootstrap over images, {RESAMPLES} resamples)."
)
AGREEMENT = (
    "Agrees: share of the pairs of outputs of an image that the metric, which measures whole images, orders as people "
    "do, mean over images or groups, 50 % by chance."
)


def sentence(tally: Tally) -> str:
    """Return the result in a sentence: the preferred model, the runner-up, and the number of votes."""
    best, second, *_ = (
        f"{each.label}, {_percent(each.preferred)}"
        + ("" if math.isnan(each.low) else f" ({_interval(each.low, each.high)})")
        for each in tally.strengths
    )
    votes = f"{number_of(tally.votes, 'vote')} of {number_of(tally.raters, 'rater')} on "
    return vote_sentence(best, second, tally.lead, f"{votes}{number_of(tally.images, 'image')}", tally.decided_images)


def strength_table(tally: Tally) -> list[list[str]]:
    """Return header and rows of the models, the most preferred first."""
    rows = [["model", "preferred", "95 % interval", "votes"]]
    for strength in tally.strengths:
        cells = [_percent(strength.preferred), _interval(strength.low, strength.high)]
        if strength.images < FEWEST_UNITS:
            cells = ["too few", "–"]
        rows.append([strength.label, *cells, str(strength.votes)])
    return rows


def agreement_words(agreements: Agreements) -> str:
    """Return which metric agrees best with people; empty for a single metric."""
    return agreement_sentence(agreements.best, [row.metric.title for row in agreements.rows], agreements.people)


def agreement_table(agreements: Agreements) -> list[list[str]]:
    """Return header and rows of the metrics, the highest agreement first.

    Intervals over raters are shown if there are six raters or more.
    """
    has_raters = any(not math.isnan(row.low_of_raters) for row in agreements.rows)
    over_raters = ["over raters"] if has_raters else []
    rows = [
        [
            "metric",
            f"agrees with {agreements.people}",
            f"95 % over {agreements.unit}s",
            *over_raters,
            "pairs",
            agreements.statistic,
        ]
    ]
    for row in agreements.rows:
        cells = [_percent(row.share), _interval(row.low, row.high)]
        cells += [_interval(row.low_of_raters, row.high_of_raters)] if has_raters else []
        number = "–" if math.isnan(row.correlation) else f"{row.correlation:.2f}"
        if row.units < FEWEST_UNITS:
            cells, number = ["too few", *("–" for _ in cells[1:])], "–"
        rows.append([row.metric.title, *cells, str(row.pairs), number])
    return rows


def remarks(tally: Tally) -> list[str]:
    """Return sentences on the limits of the votes."""
    lines = []
    if tally.raters == 1:
        lines.append("One rater: the votes say nothing about other people.")
    if tally.images == 1:
        lines.append("One image: the votes say nothing about other images, and there are no intervals.")
    if tally.of_parts:
        lines.append(
            f"{tally.of_parts} of {number_of(tally.votes, 'vote')} are on a part of a larger image, but the metrics "
            f"measure the whole image; in a run with --crop {LARGEST_WINDOW}, people see what the metrics measure."
        )
    if tally.undecided:
        lines.append(f'{tally.undecided} of {number_of(tally.votes, "vote")} are "cannot tell".')
    if tally.outdated:
        lines.append(f"{number_of(tally.outdated, 'vote')} left out: the run has since replaced an image.")
    return lines


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"


def _interval(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"{100 * low:.0f}–{100 * high:.0f} %"
