"""The summary: sentences at the start of every report that state the result of its table."""

from __future__ import annotations

from collections.abc import Iterator

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import p_text, with_unit
from srbench.judging.tests import FEWEST_UNITS
from srbench.reporting.table import Line, Table, of_lr
from srbench.words import joined

_COVERED = ("Perception", "Distortion")
"""Metric groups that the summary covers, in this order."""
KEEPS_LR = 45.0
"""LR-PSNR in dB from which an output counts as consistent with the LR image: Lugmayr et al., "NTIRE 2021 learning the
super-resolution space challenge", section 3."""


def decisive_metrics(table: Table) -> list[MetricInfo]:
    """Return the leading metrics of perception and distortion, or else the first metric that permits a verdict."""
    directed = [metric for metric in table.columns if metric.direction and metric.permits_test]
    leading = [metric for group in _COVERED for metric in directed if metric.is_primary and metric.group == group]
    return leading or directed[:1]


def summary(table: Table) -> list[str]:
    """Return sentences on the best models in perception and distortion, and on the diversity of models that sample.

    Without metrics of perception and distortion, they name the best model in the first metric with a direction.
    """
    decisive = decisive_metrics(table)
    if len(table.lines) == 1:
        line = table.lines[0]
        values = [f"{metric.title} {with_unit(line.cells[metric.name].mean, metric)}" for metric in decisive]
        return [f"{line.label}: {joined(values)}; no other row to compare it with."] if values else []
    return [*(best_sentence(table, metric) for metric in decisive), *_diversity(table)]


def best_sentence(table: Table, metric: MetricInfo) -> str:
    """Return the sentence on the best model in a metric, and on the models that are not significantly worse."""
    best = table.best[metric.name]
    one_each = ", comparing one row per model" if table.variants else ""
    projected = [line.label for line in table.models if of_lr(metric) and line.is_projected]
    without = f", without {joined(projected)}, projected onto LR" if projected else ""
    subject = f"{'Highest' if metric.direction > 0 else 'Lowest'} {metric.title}{one_each}{without}"
    if best.leader is None:
        reason = (
            "no other model is measured"
            if len(projected) == len(table.models)
            else "no image has a finite value from every model"
        )
        return f"{subject}: undecided, as {reason}."
    labels = {row: table.lines[row].label for row in best.means}
    label, mean = labels[best.leader], with_unit(best.means[best.leader], metric)
    if any(table.lines[row].images != best.images for row in best.means):
        mean += f" on the {best.images} images that all models share"
    if not best.p:
        return f"{subject}: {label} at {mean}; no other model {'is compared' if projected else 'has finite values'}."
    if best.n < FEWEST_UNITS:
        units = f"{FEWEST_UNITS} {table.values.unit}s"
        return f"{subject}: {label} at {mean}, undecided: a verdict needs at least {units}."
    others = sorted(best.p, key=lambda row: -metric.direction * best.means[row])
    alike = [row for row in others if row in best.alike]
    first = (alike or others)[0]
    p = p_text(best.p[first])
    against = f"({with_unit(best.means[first], metric)}, p {p if p.startswith('<') else f'= {p}'})"
    if not alike:
        return f"{subject}: {label} at {mean}, ahead of {labels[first]} {against}."
    return f"{subject}: {label} at {mean}, not significantly better than " + (
        f"{joined([f'{labels[first]} {against}', *(labels[row] for row in alike[1:])])}."
    )


def _diversity(table: Table) -> Iterator[str]:
    """Yield a sentence for each model whose samples differ: their spread, and whether they are consistent with LR."""
    spreads = [metric for metric in table.columns if metric.group == "Diversity"]
    for line in table.models:
        if spread := next((metric for metric in spreads if line.cells[metric.name].mean > 0), None):
            mean = with_unit(line.cells[spread.name].mean, spread)
            yield f"Samples of {line.label} vary ({spread.title} {mean}){_consistency(table, line)}."


def _consistency(table: Table, line: Line) -> str:
    """Return a clause on whether all samples of a row are consistent with LR; empty if that was not measured."""
    metric = next((metric for metric in table.columns if metric.worst), None)
    if metric is None:
        return ""
    worst = table.values.worst(line.setting, metric)
    if not worst:
        return ""
    lowest = min(worst.values())
    if lowest >= KEEPS_LR:
        by = ", by projection," if line.is_projected else ""
        return f" and{by} all match the LR image: {metric.title} at least {with_unit(lowest, metric)}"
    below = sum(value < KEEPS_LR for value in worst.values())
    return (
        f", but not all match the LR image: {metric.title} down to {with_unit(lowest, metric)} "
        f"({min(worst, key=worst.__getitem__)}), below {KEEPS_LR:g} dB on {below} of {len(worst)} images"
    )
