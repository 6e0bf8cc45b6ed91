"""Trainings of which a table has several checkpoints:
their curves, the best step by each metric, metrics that agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import TEST
from srbench.judging.verdicts import best_rows
from srbench.reporting.tables.table import Table, of_lr
from srbench.run_folder.protocol import Setting
from srbench.words import listed

FEWEST_STEPS = 3
"""Fewest checkpoints that make a curve."""
SELECTION = (
    "Choosing the best checkpoint on these images is selection on the test set: a number to publish needs other images."
)
COMPARED = (
    f"For each metric, the table names the best step, the steps that are not significantly worse ({TEST} steps), and "
    "the metrics whose ranking of the steps is most and least similar, with Kendall's tau: 1 for the same ranking, -1 "
    "for the reverse."
)
"""What the table of a plot of checkpoints shows; a format string for ``images`` or ``groups``."""
_NAMED = 8
"""Largest number of steps listed in a cell."""


@dataclass(frozen=True)
class Curve:
    """The checkpoints of a training, at one temperature."""

    label: str
    """Label of the training and temperature: ``mine``, or ``mine τ=0.8``."""
    rows: tuple[int, ...]
    """Indices of the lines of the table, by rising step."""
    steps: tuple[int, ...]

    def step(self, row: int) -> int:
        """Return the step of a line of the table."""
        return self.steps[self.rows.index(row)]


def curves_of(table: Table) -> list[Curve]:
    """Return a curve for each training and temperature with three checkpoints or more."""
    steps: dict[Setting, dict[int, int]] = {}
    for row, line in enumerate(table.lines):
        if line.checkpoint is not None:
            training = Setting(line.checkpoint.training, line.setting.temperature)
            steps.setdefault(training, {})[line.checkpoint.step] = row
    curves = []
    for training, rows in steps.items():
        if len(rows) >= FEWEST_STEPS:
            ordered = sorted(rows)
            curves.append(Curve(training.label, tuple(rows[step] for step in ordered), tuple(ordered)))
    return curves


@dataclass(frozen=True)
class Best:
    """The best checkpoint of a curve by a metric."""

    row: int | None
    """Its line of the table; None if the metric has no direction, or no finite value."""
    alike: list[int] | None
    """Lines that are not significantly worse; None if that cannot be tested: too few images or groups, or one value."""


def best_steps(table: Table, curve: Curve, metrics: Iterable[MetricInfo]) -> dict[str, Best]:
    """Return the best checkpoint of a curve by the name of each metric."""
    return {metric.name: _best(table, curve, metric) for metric in metrics}


def _best(table: Table, curve: Curve, metric: MetricInfo) -> Best:
    if not metric.permits_test:
        means = {row: metric.direction * table.lines[row].cells[metric.name].mean for row in curve.rows}
        finite = {row: mean for row, mean in means.items() if math.isfinite(mean)}
        return Best(max(finite, key=finite.__getitem__) if finite and metric.direction else None, None)
    rows = [row for row in curve.rows if not (of_lr(metric) and table.lines[row].is_projected)]
    columns = {row: table.values.means(table.lines[row].setting, metric) for row in rows}
    best = best_rows(columns, metric, table.values)
    return Best(best.leader, best.top[1:] if best.verdict in ("decided", "undecided") else None)


def agreement(table: Table, curve: Curve, metric: MetricInfo, other: MetricInfo) -> float:
    """Return Kendall's tau-b of two metrics over the steps: 1 if both order them alike, from worst to best.

    NaN if a metric is equal at all steps, or both are finite at fewer than three: M. G. Kendall, "The treatment of ties
    in ranking problems", 1945.
    """
    from scipy.stats import kendalltau

    means = [
        [table.lines[row].cells[each.name].mean * each.direction for row in curve.rows] for each in (metric, other)
    ]
    pairs = [pair for pair in zip(*means, strict=True) if all(map(math.isfinite, pair))]
    return float(kendalltau(*zip(*pairs, strict=True)).statistic) if len(pairs) >= FEWEST_STEPS else math.nan


def best_table(
    table: Table, curves: Sequence[Curve], metrics: Iterable[MetricInfo], best: Sequence[Mapping[str, Best]]
) -> list[list[str]]:
    """Return the table below the plot of curves, the header first: a row for each metric with a direction.

    ``best`` are the best checkpoints of each curve, by the name of the metric.
    """
    directed = [metric for metric in metrics if metric.direction]
    rows = [["metric", "best step", "mean", "not significantly worse", "most alike", "least alike"]]
    for place, metric in product(range(len(curves)), directed):
        curve, found = curves[place], best[place][metric.name]
        taus = [(agreement(table, curve, metric, other), other.title) for other in directed if other is not metric]
        known = sorted((each for each in taus if not math.isnan(each[0])), key=lambda each: -each[0])
        ends = [f"{title} {tau:.2f}" for tau, title in (known[0], known[-1])] if known else ["–", "–"]
        step, mean = "–", "–"
        if found.row is not None:
            step, mean = str(curve.step(found.row)), table.lines[found.row].cells[metric.name].text
        name = metric.title if len(curves) == 1 else f"{curve.label}, {metric.title}"
        rows.append([name, step, mean, _steps(curve, found.alike), *ends])
    return rows if len(rows) > 1 else []


def _steps(curve: Curve, rows: Sequence[int] | None) -> str:
    if rows is None:
        return "–"
    if len(rows) == len(curve.rows) - 1:
        return "all"
    return listed([str(curve.step(row)) for row in curve.rows if row in rows], _NAMED) or "none"
