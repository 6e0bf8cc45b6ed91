"""The tally of a run in words: a sentence for the answer of its report, and remarks for who reads the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from srbench.voting.agreement import Agreement
from srbench.voting.fitting import Interval, percent
from srbench.voting.raters import FEWEST, RULE
from srbench.voting.tally import Strength, Tally
from srbench.words import number_of

_NAMED = 2
"""Largest number of named models that cannot be told from the first."""
CAPTION = (
    "Votes: the probability that people prefer a model to another, given that they prefer one of the two, averaged "
    "over the other models; 50 % is average. Bradley and Terry's model with ties (Davidson, 1970), corrected for the "
    "share of careless answers that the obvious questions show. The 95 % intervals hold simultaneously for all models "
    "(bootstrap over raters and images)."
)


def sentence(tally: Tally) -> str:
    """The result for a reader: who is preferred, to whom, by how many votes."""
    ranked = [one for one in tally.strengths if one.answers]
    raters, images = number_of(_counted(tally), "rater"), number_of(tally.images, "image")
    asked = f"{number_of(tally.answers, 'vote')} of {raters} on {images}"
    if not ranked:
        return f"Votes decide nothing: all of {number_of(len(tally.raters), 'rater')} are flagged."
    if tally.undecided == tally.answers:
        return f'Votes decide nothing: all of {asked} are "cannot tell".'
    best, others = ranked[0], [one for one in ranked[1:] if one.label in tally.alike]
    between = f" ({best.between})" if best.between else ""
    start = f"Preferred by people: {best.label}, {best.text}{between}"
    if not others:
        verdict = f"ahead of {ranked[1].label} ({ranked[1].text})"
    elif len(others) > _NAMED:
        verdict = f"not distinguishable from {others[0].label} ({others[0].text}) and {len(others) - 1} more"
    else:
        verdict = "not distinguishable from " + " and ".join(f"{one.label} ({one.text})" for one in others)
    return f"{start}, {verdict}; {asked}."


def remarks(tally: Tally) -> Iterator[str]:
    """Remarks for who reads the numbers, most important first."""
    if tally.flagged:
        names = "; ".join(f"{one.name} ({', '.join(one.reasons)})" for one in tally.flagged)
        of = f"{len(tally.flagged)} of {number_of(len(tally.raters), 'rater')}"
        yield f"{of} flagged and left out: {names}. {RULE}"
    yield from _limits(tally)
    if tally.careless > 0:
        yield f"Careless answers, estimated from obvious questions: {percent(tally.careless)}; they are taken out."
    yield agreement_of_raters(tally)
    if tally.undecided:
        yield f'{tally.undecided} of {number_of(tally.answers, "vote")} are "cannot tell".'
    if tally.outdated:
        yield f"{number_of(tally.outdated, 'vote')} on images that the run has replaced since, left out."


def _limits(tally: Tally) -> Iterator[str]:
    """Limits of what so few raters, images and answers can show."""
    if _counted(tally) == 1:
        yield "One rater: the votes say nothing about other people, and intervals are over images alone."
    if tally.images == 1:
        yield "One image: the votes say nothing about other images, and intervals are over raters alone."
    if _counted(tally) == tally.images == 1:
        yield "No intervals: they need two raters or two images."
    for one in tally.strengths:
        if one.always:
            yield f"{one.label} {one.always} every vote, so its strength is {_open_end(one)}."
    if unjudged := [one.name for one in tally.raters if not one.is_judged]:
        yield f"Fewer than {FEWEST} obvious questions, so not judged by them: {_few(unjudged)}."


def agreement_of_raters(tally: Tally) -> str:
    """Krippendorff's alpha for a reader."""
    if math.isnan(tally.alpha):
        return "Agreement of raters is not known: no pair was shown to two of them, or all answers are equal."
    return f"Agreement of raters (Krippendorff's alpha, ordinal; 1 is perfect, 0 is chance): {tally.alpha:.2f}."


def metric_sentence(found: Agreement) -> str:
    """Agreement of a metric with people, for a reader."""
    accuracy = _with(found.accuracy, percent)
    text = f"{found.metric.title} prefers the image that people prefer in {accuracy} of {found.answers} decided votes"
    if math.isnan(found.correlation.value):
        return f"{text}."
    correlation = _with(found.correlation, "{:.2f}".format)
    return f"{text}; rank correlation over models {correlation}."


def _with(found: Interval, form: Callable[[float], str]) -> str:
    if math.isnan(found.low):
        return form(found.value)
    return f"{form(found.value)} ({form(found.low)} to {form(found.high)})"


def _open_end(one: Strength) -> str:
    return "not bounded on that side" if math.isnan(one.preferred.low) else f"only known to be {one.text}"


def _counted(tally: Tally) -> int:
    return len(tally.raters) - len(tally.flagged)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
