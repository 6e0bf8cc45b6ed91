"""The summary: sentences at the start of every report that state the result of its table."""

from __future__ import annotations

import math
from collections.abc import Iterator

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import best_sentence, few_units_sentence, printed, with_unit
from srbench.judging.sign_flips import FEWEST_UNITS
from srbench.reporting.tables.table import Line, Table, of_lr
from srbench.words import joined

_COVERED = ("Perception", "Distortion")
"""Metric groups that the summary covers, in this order."""
CRPS, ENERGY = "crps", "lpips_energy"
"""Names of the metrics that score samples as a distribution: a table with one of them is about samples."""
KEEPS_LR = 45.0
"""LR-PSNR in dB from which an output counts as consistent with the LR image: Lugmayr et al., "NTIRE 2021 learning the
super-resolution space challenge", section 3."""


def decisive_metrics(table: Table) -> list[MetricInfo]:
    """Return the scores of samples, or the leading metrics of perception and distortion,
    or the first that permits a verdict.
    """
    directed = [metric for metric in table.columns if metric.direction and metric.permits_test]
    if scores := [metric for metric in directed if metric.name in (CRPS, ENERGY)]:
        return scores
    leading = [metric for group in _COVERED for metric in directed if metric.is_primary and metric.group == group]
    return leading or directed[:1]


def summary(table: Table) -> list[str]:
    """Return sentences on the best models in the decisive metrics, and on the spread of models that sample."""
    decisive = decisive_metrics(table)
    few = []
    if any(map(table.values.permits_test, table.columns)):
        units = [table.best[metric.name].units for metric in decisive]
        n = min([max(line.n for line in table.lines), *(each.n for each in units if each is not None and each.n)])
        few = [few_units_sentence(1, n, table.unit)] if n < FEWEST_UNITS else []
    if len(table.lines) == 1:
        line = table.lines[0]
        values = [f"{metric.title} {with_unit(line.cells[metric.name].mean, metric)}" for metric in decisive]
        return [f"{line.label}: {joined(values)}; no other row to compare it with.", *few] if values else few
    return [*(sentence_on_best(table, metric) for metric in decisive), *_spread(table), *_diversity(table), *few]


def sentence_on_best(table: Table, metric: MetricInfo) -> str:
    """Return the sentence on the best model in a metric, and on the models that share its mark."""
    projected = [line.label for line in table.models if of_lr(metric) and line.is_projected]
    labels = {
        row: line.label for row, line in enumerate(table.lines) if not line.is_variant and line.label not in projected
    }
    return best_sentence(metric, table.best[metric.name], labels, projected, has_variants=bool(table.variants))


def _spread(table: Table) -> Iterator[str]:
    """Yield a sentence on the spread of samples beside the error of their mean, if it was measured."""
    for metric in (metric for metric in table.columns if metric.name == "spread_skill"):
        cells = [(line.label, line.cells[metric.name].mean) for line in table.models]
        if ratios := [f"{label} {printed(value, metric)}" for label, value in cells if math.isfinite(value)]:
            yield (
                f"Spread of samples divided by the error of their mean ({metric.title}, 1 if calibrated): "
                f"{joined(ratios)}."
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
