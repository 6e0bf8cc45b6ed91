"""The section of a report on samples as a distribution: proper scores, calibration and the number of samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from srbench.interfaces import MetricInfo
from srbench.judging.tests import FEWEST_UNITS
from srbench.judging.verdicts import best_rows
from srbench.reporting.figures.plots import Plot, by_model
from srbench.reporting.figures.samples import plots_of_samples
from srbench.reporting.files import Draft
from srbench.reporting.results import Results
from srbench.reporting.samples import Sampler, saved_samplers
from srbench.reporting.summary import best_sentence
from srbench.reporting.table import Table
from srbench.terminal.progress import Progress, silent
from srbench.words import joined

CRPS, ENERGY = "crps", "lpips_energy"
"""Names of the metrics that make the section."""


@dataclass(frozen=True)
class DistributionSection:
    """Sentences and plots."""

    sentences: list[str]
    plots: list[Plot] = field(default_factory=list)


def distribution_section(
    results: Results, table: Table, out: Draft, progress: Progress = silent
) -> DistributionSection | None:
    """Return the section of a report; None for a table without CRPS and LPIPS energy. Its plots are not written yet.

    Raises SRBenchError if saved images have unequal sizes.
    """
    scores = [metric for metric in table.columns if metric.name in (CRPS, ENERGY)]
    if not scores:
        return None
    has_energy = any(metric.name == ENERGY for metric in scores)
    samplers, absent = saved_samplers(results, out, lpips=has_energy, progress=progress)
    samplers = [sampler for sampler in samplers if any(image.spread for image in sampler.images.values())]
    sentences = [best_sentence(table, metric) for metric in scores] if len(table.lines) > 1 else []
    sentences += [sentence for metric in scores for sentence in _temperatures(table, metric)]
    sentences += spread_sentences(samplers, results)
    if absent:
        labels = joined([setting.label for setting in absent])
        sentences.append(
            f"Spread/skill, rank histograms and curves of {labels} are left out: they need HR and two or more saved samples "
            "of every image."
        )
    return DistributionSection(sentences, plots_of_samples(table, scores, samplers))


def _temperatures(table: Table, metric: MetricInfo) -> Iterator[str]:
    """Yield a sentence on the temperature with the lowest score of each model measured at several temperatures."""
    clauses = []
    for model, rows in by_model(table.lines).items():
        columns = {row: table.values.means(table.lines[row].setting, metric) for row in rows}
        best = best_rows(columns, metric, table.values.units_for(metric))
        if best.leader is None or not best.p:
            continue
        compared = [row for row in rows if row in best.means]
        at = {row: f"{table.lines[row].setting.temperature:g}" for row in compared}
        alike = [at[row] for row in compared if row in best.alike] if best.n >= FEWEST_UNITS else []
        unsure = f", not significantly lower than at {joined(alike)}" if alike else ""
        clauses.append(f"{at[best.leader]} for {model} (of {joined([at[row] for row in compared])}{unsure})")
    if clauses:
        yield f"Temperature with the lowest {metric.title}: {joined(clauses)}."


def spread_sentences(samplers: Sequence[Sampler], results: Results) -> Iterator[str]:
    """Yield sentences on samplers that spread less than their error, more, or neither; and on those without a verdict."""
    from srbench.metrics.calibration import spread_skill, spread_skill_interval

    less: list[str] = []
    more: list[str] = []
    neither: list[str] = []
    undecided: list[str] = []
    for sampler in samplers:
        units: dict[str, list[float]] = {}
        for name, image in sampler.images.items():
            sums = units.setdefault(results.manifest.unit_of.get(name, name), [0.0, 0.0])
            sums[0] += image.spread
            sums[1] += image.error
        spreads, errors = zip(*units.values(), strict=True)
        ratio, (low, high) = spread_skill(spreads, errors, sampler.n), spread_skill_interval(spreads, errors, sampler.n)
        text = f"{sampler.setting.label} {ratio:.2f}"
        if len(units) < FEWEST_UNITS or not (math.isfinite(low) and math.isfinite(high)):
            undecided.append(text)
        else:
            (less if high < 1 else more if low > 1 else neither).append(f"{text} ({low:.2f}–{high:.2f})")
    given = "spread/skill with its 95 % interval"
    if less:
        yield f"Samples spread less than the error of their mean ({given} below 1): {joined(less)}."
    if more:
        yield f"Samples spread more than the error of their mean ({given} above 1): {joined(more)}."
    if neither:
        yield (
            "No difference of the spread of samples from the error of their mean is found, as for calibrated samples "
            f"({given}, which contains 1): {joined(neither)}."
        )
    if undecided:
        unit = results.values.unit
        yield (
            f"Spread/skill: {joined(undecided)}; undecided, as a verdict needs at least {FEWEST_UNITS} {unit}s and a bounded "
            "interval."
        )
    if fewer := sorted({(sampler.n, sampler.drawn) for sampler in samplers if sampler.n < sampler.drawn}):
        counts = joined([f"the first {n} of {drawn}" for n, drawn in fewer])
        yield f"Spread/skill, rank histograms and curves are of the saved samples of an image, {counts}."
