"""The gate of ``srbench compare --fail-if-worse``: whether B is significantly worse than A in some metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import DEPENDENT, corrected, loss_sentence, too_few
from srbench.judging.sign_flips import fewest_units
from srbench.judging.verdicts import losses
from srbench.reporting import ReportError
from srbench.reporting.results import Runs
from srbench.reporting.writers.compare import Comparison
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

    Raises ValueError for a metric that is unknown, was not measured in both runs or permits no verdict, and ReportError
    if B lacks models or values that A has, or if there are too few images for any verdict.
    """
    metrics = _named(comparisons[0].results, names)
    if lacking := _lacking(comparisons):
        run_a, run_b = (run.folder.path for run in comparisons[0].results.runs)
        raise ReportError(
            f"{joined(lacking)} of A ({run_a}) {'is' if len(lacking) == 1 else 'are'} not in B ({run_b}), which cannot "
            "pass without; measure the same models and temperatures in B, under the same labels (--models LABEL=MODEL)"
        )
    tests = len(metrics) * len(comparisons)
    judged = [[each for each in comparison.differences if each.metric in metrics] for comparison in comparisons]
    for comparison, differences in zip(comparisons, judged, strict=True):
        a, b = (f"{side} ({label})" for side, label in zip("AB", comparison.labels, strict=True))
        for difference in differences:
            if missing := difference.lacking:
                raise ReportError(
                    f"{b} has no finite {difference.metric.title} on "
                    f"{number_of(len(missing), difference.metric.subject)} on which {a} has one ({listed(missing)}); "
                    "without them it cannot pass"
                )
            if difference.units is not None and not difference.units.are_independent:
                raise ReportError(f"{a} and {b} cannot be compared: {DEPENDENT}")
            if difference.n < fewest_units(tests):
                raise ReportError(f"{a} and {b} {too_few(difference, tests)}")
    worse = {id(each) for each in losses([each for differences in judged for each in differences], tests)}
    sentences = [
        loss_sentence(*comparison.labels, own)
        for comparison, differences in zip(comparisons, judged, strict=True)
        if (own := [each for each in differences if id(each) in worse])
    ]
    if sentences:
        return Gate(True, f"{'. '.join(sentences)} {corrected(tests)}.")
    models = joined(
        [f"B ({b}) is not significantly worse than A ({a})" for a, b in (each.labels for each in comparisons)]
    )
    titles = ", ".join(metric.title for metric in metrics)
    return Gate(False, f"{models} in {titles} {corrected(tests)}.")


def _named(results: Runs, names: Sequence[str]) -> list[MetricInfo]:
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
