"""The gate of ``srbench compare --fail-if-worse``: whether B is significantly worse than A in some metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.judging.tests import ALPHA
from srbench.judging.verdicts import Difference
from srbench.reporting import ReportError
from srbench.reporting.compare import Comparison
from srbench.reporting.results import Results, mean_of
from srbench.words import joined, listed, number_of, unknown


@dataclass(frozen=True)
class Gate:
    """The result of a gate."""

    fails: bool
    """True if a B is significantly worse than its A."""
    text: str
    """The losses with their intervals, or that there is none, in one line."""


def gate(comparisons: Sequence[Comparison], names: Sequence[str]) -> Gate:
    """Judge the metrics of these names, as in rows.csv or as in ``--metrics``, in all comparisons together.

    LR-PSNR of outputs projected onto LR is judged too, unlike in tables, because the user names it.

    Raises ValueError for a metric that is unknown, was not measured in both runs or permits no verdict, and ReportError if
    B lacks models or values that A has, or if there are too few images for any verdict.
    """
    metrics = _named(comparisons[0].results, names)
    if lacking := _lacking(comparisons):
        run_a, run_b = (run.folder.path for run in comparisons[0].results.runs)
        raise ReportError(
            f"{joined(lacking)} of A ({run_a}) {'is' if len(lacking) == 1 else 'are'} not in B ({run_b}), which cannot "
            "pass without; measure the same models and temperatures in B, under the same labels (--models LABEL=MODEL)"
        )
    tests = len(metrics) * len(comparisons)
    needed = fewest_images(tests)
    losses = []
    for comparison in comparisons:
        a, b = (f"{side} ({label})" for side, label in zip("AB", comparison.labels, strict=True))
        differences = [each for each in comparison.differences if each.metric in metrics]
        for difference in differences:
            title, n = difference.metric.title, len(difference.by_unit)
            if missing := _missing(comparison, difference.metric):
                raise ReportError(
                    f"{b} has no finite {title} on {number_of(len(missing), 'image')} on which {a} has one "
                    f"({listed(missing)}); without them it cannot pass"
                )
            if n < needed:
                unit = comparison.results.values.unit
                raise ReportError(
                    f"{a} and {b} have {title} on {number_of(n, unit)}; a verdict in "
                    f"{number_of(tests, 'test')} needs at least {needed}"
                )
        if worse := worse_metrics(differences, tests):
            losses.append(f"{b} is significantly worse than {a} in {'; '.join(map(_loss, worse))}")
    correction = "" if tests == 1 else f", corrected for {tests} tests"
    if losses:
        return Gate(True, f"{'. '.join(losses)} (p < {ALPHA:g}{correction}).")
    models = joined(
        [f"B ({b}) is not significantly worse than A ({a})" for a, b in (each.labels for each in comparisons)]
    )
    titles = ", ".join(metric.title for metric in metrics)
    return Gate(False, f"{models} in {titles} (p < {ALPHA:g}{correction}).")


def worse_metrics(differences: Sequence[Difference], tests: int) -> list[Difference]:
    """Return the differences in which B is significantly worse, if p is corrected for a number of tests (Bonferroni)."""
    return [each for each in differences if each.p * tests < ALPHA and each.metric.direction * each.mean > 0]


def fewest_images(tests: int) -> int:
    """Return the fewest images, or groups, n with which a difference can be significant: the smallest p is 2 / 2^n."""
    return math.floor(math.log2(2 * tests / ALPHA)) + 1


def _named(results: Results, names: Sequence[str]) -> list[MetricInfo]:
    """Return the metrics of these names. Raises ValueError as ``gate`` does."""
    metrics = results.metrics
    by_name = {metric.spec: metric for metric in metrics} | {metric.name: metric for metric in metrics}
    named = []
    for name in names:
        if name not in by_name:
            raise ValueError(unknown("metric", name, (metric.name for metric in metrics)))
        metric = by_name[name]
        if without := [run.name for run in results.runs if metric.name not in run.metrics]:
            raise ValueError(
                f"{metric.title} is not measured in {joined(without)}; measure it in both runs, under one signature"
            )
        if metric.direction == 0:
            raise ValueError(f"{metric.title} has no better and worse; name a metric that has")
        if not metric.permits_test:
            raise ValueError(
                f"{metric.title} is one value of {metric.subject}, without a test; name a metric of single images"
            )
        named.append(metric)
    return list(dict.fromkeys(named))


def _lacking(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the labels of the rows of run A that are compared with none of B; empty for two models of one run."""
    run, *others = comparisons[0].results.runs
    compared = {comparison.a[0].setting for comparison in comparisons}
    return [
        setting.label
        for setting in dict.fromkeys(row.setting for row in run.measurements)
        if others and setting not in compared
    ]


def _missing(comparison: Comparison, metric: MetricInfo) -> list[str]:
    """Return the images on which A has a finite value, and B has none that is finite or infinitely good."""
    a, b = ({row.image: mean_of(row, metric) for row in rows} for rows in (comparison.a, comparison.b))
    return [
        image
        for image, value in a.items()
        if math.isfinite(value)
        and not math.isfinite(b.get(image, math.nan))
        and b.get(image) != metric.direction * math.inf
    ]


def _loss(difference: Difference) -> str:
    mean, low, high = (
        printed(value, difference.metric) for value in (difference.mean, difference.low, difference.high)
    )
    return f"{difference.metric.title}: A - B = {mean}, 95 % interval {low} to {high}"
