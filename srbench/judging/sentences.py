"""Verdicts in words: the rules of tables, and what reports, comparisons, gates, votes and claims say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from srbench.interfaces import MetricInfo
from srbench.judging.sign_flips import ALPHA, FEWEST_UNITS, fewest_units
from srbench.judging.verdicts import FEWEST_SAMPLES, BestRows, Calibration, Difference, Verdict
from srbench.words import joined, number_of

TEST = "paired sign-flip test over the {units}, adjusted for all pairs of"
"""The test in words; a format string for ``images`` or ``groups``, which rows or steps follow."""
RULE = (
    "{bold}: the best mean and the means that follow it, down to the first that is significantly worse than the best "
    f"({TEST} rows, p {{less}} 0.05); no row is bold if none is significantly worse."
)
"""The rule in words; a format string for the word in bold, the less-than sign, and ``images`` or ``groups``."""
LETTERS = (
    "Superscripts are the letters of the models below the bold ones that are significantly worse, by the same test."
)
CAPTION_RULE = "in bold the best and those that follow, down to the first that is significantly worse"
CAPTION_LETTERS = "in superscript the letters of the models below that are significantly worse"
CAPTION_TEST = "(paired sign-flip test, adjusted for all pairs, $p < 0.05$)"
"""``RULE``, ``LETTERS`` and the test in short, for the caption of a LaTeX table."""
DEPENDENT = "images of a group are not independent (--average groups tests groups)"
"""Why there is no test of images in groups that count one by one."""


def printed(value: float, metric: MetricInfo) -> str:
    """Format a value with the digits of its metric; NaN is a dash, and a value that rounds to zero has no sign."""
    return "–" if math.isnan(value) else f"{value:z.{metric.digits}f}"


def with_unit(value: float, metric: MetricInfo) -> str:
    """Format a value as ``printed``, followed by dB if that is its unit."""
    text = printed(value, metric)
    return f"{text} {metric.unit}" if metric.unit == "dB" else text


def p_text(value: float) -> str:
    """Format a p value: ``0.031`` or ``< 0.001``; NaN is a dash."""
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def needed(unit: str, tests: int = 1) -> str:
    """Return the fewest units of a verdict in words: ``at least 6 images``."""
    return f"at least {fewest_units(tests)} {unit}s"


def best_sentence(
    metric: MetricInfo, best: BestRows, labels: Mapping[int, str], projected: Sequence[str], *, has_variants: bool
) -> str:
    """Return the sentence on the best row of a column, and on the rows that share its mark.

    ``labels`` are of all rows that may be compared, ``projected`` of those that are not, as they are projected onto LR.
    """
    subject = f"{'Highest' if metric.direction > 0 else 'Lowest'} {metric.title}"
    subject += ", comparing one row per model" if has_variants else ""
    subject += f", without {joined(projected)}, projected onto LR" if projected else ""
    units = best.units
    if units is not None and units.infinite:
        subject += f", without {joined([labels[row] for row in units.infinite])}, whose values are infinite"
    if units is None or best.leader is None:
        reason = "no image has a finite value from every model" if labels else "no other model is measured"
        return f"{subject}: undecided, as {reason}."
    leader = f"{labels[best.leader]} at {with_unit(best.means[best.leader], metric)}"
    if units.left_out:
        shared = len(units.subjects)
        of = f"{shared} of {number_of(shared + len(units.left_out), metric.subject)}"
        leader += f" on the {of} with a finite value of every model"
    if len(units.rows) == 1:
        return f"{subject}: {leader}; no other model {'is compared' if projected else 'has finite values'}."
    if best.verdict == "not judged":
        return f"{subject}: {leader}; not tested, as {DEPENDENT}."
    if best.verdict == "too few":
        return f"{subject}: {leader}, undecided."
    alike = best.top[1:]
    first = best.ordered[1]
    p = p_text(best.p(best.leader, first))
    against = f"{labels[first]} ({with_unit(best.means[first], metric)}, p {p if p.startswith('<') else f'= {p}'})"
    if not alike:
        return f"{subject}: {leader}, ahead of {against}."
    return (
        f"{subject}: {leader}, not significantly better than {joined([against, *(labels[row] for row in alike[1:])])}."
    )


def temperature_sentence(metric: MetricInfo, models: Mapping[str, tuple[BestRows, Mapping[int, str]]]) -> str:
    """Return the sentence on the temperature with the lowest score of each model; empty if there is none to compare.

    ``models`` have, by name, the best rows of a model, and the temperatures of its rows.
    """
    found, few = [], []
    for model, (best, at) in models.items():
        if best.leader is None or best.units is None or not best.pairs:
            continue
        of = f"of {joined([at[row] for row in at if row in best.means])}"
        if best.verdict == "too few":
            few.append(f"{model} ({of})")
            continue
        alike = [at[row] for row in at if row in best.top[1:]]
        unsure = f", not significantly lower than at {joined(alike)}" if alike else ""
        found.append(f"{at[best.leader]} for {model} ({of}{unsure})")
    clauses = [*found, *(f"undecided for {clause}" for clause in few)]
    return f"Temperature with the lowest {metric.title}: {joined(clauses)}." if clauses else ""


def spread_sentences(rows: Sequence[Calibration], unit: str) -> Iterator[str]:
    """Yield sentences on rows whose samples spread less than their error, more, or neither; and on the undecided."""
    decided = [row for row in rows if row.verdict == "decided"]
    judged = [*decided, *(row for row in rows if row.verdict == "undecided")]
    together = f", for all {len(judged)} rows together" if len(judged) > 1 else ""
    given = f"spread/skill with its 95 % interval{together}"
    if less := [_interval(row) for row in decided if row.high < 1]:
        yield f"Samples spread less than the error of their mean ({given}, below 1): {joined(less)}."
    if more := [_interval(row) for row in decided if row.low > 1]:
        yield f"Samples spread more than the error of their mean ({given}, above 1): {joined(more)}."
    if neither := [_interval(row) for row in rows if row.verdict == "undecided"]:
        yield (
            "No difference of the spread of samples from the error of their mean is found, as for calibrated samples "
            f"({given}, which contains 1): {joined(neither)}."
        )
    if rest := [f"{row.label} {row.ratio:.2f}" for row in rows if row.verdict == "too few"]:
        yield (
            f"Spread/skill: {joined(rest)}; undecided, as a verdict needs {FEWEST_SAMPLES} saved samples of an image, "
            f"{needed(unit)} and a bounded interval."
        )
    if rest := [f"{row.label} {row.ratio:.2f}" for row in rows if row.verdict == "not judged"]:
        yield f"Spread/skill: {joined(rest)}; not tested, as {DEPENDENT}."


def _interval(row: Calibration) -> str:
    """Format a ratio with its interval, with as many digits as show on which side of 1 an end is, up to six."""

    def end(value: float) -> str:
        texts = (f"{value:.{digits}f}" for digits in range(2, 7))
        return next((text for text in texts if value == 1 or float(text) != 1), f"{value:.6f}")

    return f"{row.label} {row.ratio:.2f} ({end(row.low)}–{end(row.high)})"


def columns_of_comparison(differences: Sequence[Difference], units: str) -> str:
    """Explain the table of a comparison; ``units`` are ``Values.units``."""
    kinds = dict.fromkeys(each.units.kind for each in differences if each.units is not None)
    unit = " or ".join(f"{kind}s" for kind in kinds) or "images"
    is_adjusted = any(not math.isnan(each.p_adjusted) for each in differences)
    adjusted = (
        "p of all is adjusted for all compared rows of the run, as for its bold marks."
        if is_adjusted
        else "Unlike the bold marks of a report, p is not adjusted for the other models of the run."
    )
    titles = joined([each.metric.title for each in differences if not each.metric.permits_test])
    return (
        f"↑ higher is better, ↓ lower is better. A and B are means over the n {units} for which both have a value; A - "
        "B is the mean of the paired differences with its 95 % interval. Interval and two-sided p come from sign flips "
        f"of {unit}, of A and B alone; if p < 0.05, the verdict names the better model. {adjusted} Wins, ties and "
        f"losses count {unit} for A."
    ) + (f" {titles}: a value of the model or of all images together, without interval and test." if titles else "")


def comparison_sentence(labels: tuple[str, str], differences: Sequence[Difference], images: int | None) -> str:
    """Return the verdict in words, such as ``srflow is better in LPIPS; SSIM is undecided.``

    ``images`` is the number of images that both rows have, None if both have all.
    """
    judged = [each for each in differences if each.verdict != "not judged"]
    titles = {sign: [_title(each) for each in judged if each.better == sign] for sign in (1, -1, 0)}
    parts = [
        f"{label} is better in {joined(titles[sign])}"
        for sign, label in zip((1, -1), labels, strict=True)
        if titles[sign]
    ]
    if titles[0]:
        parts.append(f"{joined(titles[0])} {'is' if len(titles[0]) == 1 else 'are'} undecided")
    sentence = f"{'; '.join(parts)}." if parts else "No metric of the two permits a verdict."
    if parts and images is not None:
        sentence = f"On the {number_of(images, 'image')} that both have, {sentence}"
    for kind in dict.fromkeys(_kind(each) for each in judged if each.verdict == "too few"):
        sentence += f" A verdict needs {needed(kind)}."
    if projected := [each.metric.title for each in differences if each.is_projected]:
        sentence += f" No verdict in {joined(projected)}, as outputs are projected onto LR."
    if any(each.units is not None and not each.units.are_independent for each in differences):
        sentence += f" There is no test, as {DEPENDENT}."
    return sentence


def _title(difference: Difference) -> str:
    """Return the title of a metric; with p of A and B alone and of all rows if the report
    of the run marks no difference.
    """
    title = difference.metric.title
    if difference.verdict != "decided" or difference.is_marked:
        return title
    p, adjusted = p_text(difference.p), p_text(difference.p_adjusted)
    return f"{title} (p {p} of these two rows alone, {adjusted} adjusted for all rows; the report marks no difference)"


def _kind(difference: Difference) -> str:
    return difference.metric.subject if difference.units is None else difference.units.kind


def loss_sentence(a: str, b: str, worse: Sequence[Difference]) -> str:
    """Return what a gate says of a B that is significantly worse than its A, without a full stop."""
    losses = []
    for each in worse:
        mean, low, high = (printed(value, each.metric) for value in (each.mean, each.low, each.high))
        losses.append(f"{_title(each)}: A - B = {mean}, 95 % interval {low} to {high}")
    return f"B ({b}) is significantly worse than A ({a}) in {'; '.join(losses)}"


def corrected(tests: int) -> str:
    """Return the level of the tests of a gate: ``(p < 0.05, corrected for 2 tests)``."""
    return f"(p < {ALPHA:g}{'' if tests == 1 else f', corrected for {tests} tests'})"


def too_few(difference: Difference, tests: int) -> str:
    """Return why a gate cannot judge a difference on too few units, as the end of a sentence on A and B."""
    kind = _kind(difference)
    return (
        f"have {difference.metric.title} on {number_of(difference.n, kind)}; a verdict in {number_of(tests, 'test')} "
        f"needs {needed(kind, tests)}"
    )


def vote_sentence(best: str, second: str, lead: Verdict, votes: str, images: int) -> str:
    """Return the result of votes: ``Preferred by people: a, 90 % (79–98 %), ahead of b, 52 % (49–58 %); 60 votes ...``

    ``images`` is the number of images on which somebody prefers an output.
    """
    if lead == "too few":
        preferred = f"an output is preferred on {number_of(images, 'image')}" if images else 'all are "cannot tell"'
        return f"Votes decide nothing: of {votes}, {preferred}; a verdict needs {needed('image')}."
    verdict = "ahead of" if lead == "decided" else "not distinguishable from"
    return f"Preferred by people: {best}, {verdict} {second}; {votes}."


def agreement_sentence(best: BestRows, titles: Sequence[str], people: str) -> str:
    """Return which metric agrees best with people, such as ``votes``; ``best`` has shares by place in ``titles``."""
    if best.leader is None or len(best.means) < 2 or best.units is None:
        return ""
    first, *others = (f"{titles[row]} ({100 * best.means[row]:.0f} %)" for row in best.ordered)
    sentence = f"Of the metrics, {first} agrees best with {people}"
    if best.verdict == "not judged":
        return f"{sentence}; not tested, as {DEPENDENT}."
    if best.verdict == "too few":
        return f"{sentence}, undecided, as a verdict needs {needed(best.units.kind)}."
    alike = others[: len(best.top) - 1]
    if alike:
        return f"{sentence}, not significantly better than {joined(alike)}."
    p = p_text(best.p(best.leader, best.ordered[1]))
    return f"{sentence}, significantly better than {others[0]}, p {p if p.startswith('<') else f'= {p}'}."


def claims_sentence(reproduced: int, claims: int, by_luck: float, elsewhere: Sequence[str]) -> str:
    """Return how many claims are reproduced, and how many arbitrary numbers would be;
    ``elsewhere`` are rows not here.
    """
    sentence = f"{reproduced} of {number_of(claims, 'claim')} reproduced; {by_luck:.2g} expected by chance"
    rows = dict.fromkeys(elsewhere)
    about = (
        f"; {len(elsewhere)} about {number_of(len(rows), 'row')} that {'is' if len(rows) == 1 else 'are'} not "
        "measured here"
    )
    return f"{sentence}{about}: {', '.join(rows)}" if rows else sentence


def few_units_sentence(rows: int, n: int, unit: str) -> str:
    """Return the sentence on too few units for any verdict, or for small differences among many rows;
    empty if enough.
    """
    if n < FEWEST_UNITS:
        return f"Verdicts and 95 % intervals need {needed(unit)}."
    if rows > _MANY_ROWS and n < _ENOUGH_UNITS:
        return (
            f"{rows} rows are compared on {n} {unit}s, so only large differences are significant; for more than "
            f"{_MANY_ROWS} rows, at least {_ENOUGH_UNITS} {unit}s are better."
        )
    return ""


_MANY_ROWS, _ENOUGH_UNITS = 5, 20
"""Among more rows, few images show large differences only: a row that is worse by .6 standard deviations is called
worse in 62 % of tables of 8 rows and 22 images, and in 9 % with 8 images (``benchmarks/significance.py``)."""
