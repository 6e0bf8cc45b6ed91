"""Verdicts in words: the rules of tables, and what a report, a comparison, a gate and votes say."""

from __future__ import annotations

import math

from srbench.interfaces import MetricInfo

TEST = "paired sign-flip test over the {units}, adjusted for all pairs of"
"""The test in words; a format string for ``images`` or ``groups``, which rows or steps follow."""
RULE = (
    f"{{bold}}: the best mean and every mean that is not significantly worse ({TEST} rows, p {{less}} 0.05); no row is "
    "bold if none is significantly worse."
)
"""The rule in words; a format string for the word in bold, the less-than sign, and ``images`` or ``groups``."""
LETTERS = "Superscripts are the letters of the models that are significantly worse, by the same test."
COLUMNS = (
    "↑ higher is better, ↓ lower is better. A and B are means over the n {units} for which both have a value; A - B is "
    "the mean of the paired differences with its 95 % interval. Interval and two-sided p come from sign flips "
    "of {unit}s; if p < 0.05, the verdict names the better model. Unlike the bold marks of a report, p is not adjusted "
    "for the other models of the run. Wins, ties and losses count {unit}s for A."
)
"""Explanation of the table of a comparison; a format string for ``Values.unit`` and ``Values.units``."""


def printed(value: float, metric: MetricInfo) -> str:
    """Format a value with the digits of its metric; NaN is a dash."""
    return "–" if math.isnan(value) else f"{value:.{metric.digits}f}"


def with_unit(value: float, metric: MetricInfo) -> str:
    """Format a value as ``printed``, followed by dB if that is its unit."""
    text = printed(value, metric)
    return f"{text} {metric.unit}" if metric.unit == "dB" else text


def p_text(value: float) -> str:
    """Format a p value: ``0.031`` or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
