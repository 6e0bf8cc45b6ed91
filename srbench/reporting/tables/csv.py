"""Tables as CSV: of means and intervals, of all values, and of pairs of rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from srbench.interfaces import MetricInfo
from srbench.metrics.loading import parse_metric
from srbench.metrics.suite import needing
from srbench.reporting.tables.table import Table
from srbench.run_folder.protocol import Protocol
from srbench.run_folder.values import COLUMNS, Values

PAIRS_FILE = "pairs.csv"
PAIRS = ("metric", "row", "other", "difference", "low", "high", "p", "n")
"""Columns of pairs of rows: p is adjusted for all pairs, the 95 % interval ``low`` to ``high`` is not."""


def table_csv(table: Table, suite: str, protocol: Protocol | None = None) -> str:
    """Return the CSV of means and intervals, one line per model and temperature.

    Given the ``protocol`` of a run, the metrics of its suite come first, measured or not (without those that need
    several samples per image, if there is one), and the columns ``family`` and ``competes`` name the model of a line,
    and whether the line represents it.
    """
    first: list[str] = []
    if protocol is not None:
        unusable = {metric.name for metric in needing(protocol.columns, protocol.lacking)}
        names = dict.fromkeys(parse_metric(column)[0] for column in protocol.columns)
        first = [name for name in names if name not in unusable]
    means = [metric.name for metric in table.metrics if metric.name not in first]
    ends = [f"{metric.name}_{end}" for metric in table.metrics if metric.permits_test for end in ("low", "high")]
    lines: list[dict[str, object]] = [
        {
            "model": line.setting.model,
            "temperature": line.setting.temperature,
            **({} if protocol is None else {"family": line.family, "competes": not line.is_variant}),
            **{name: line.numbers.get(name, "") for name in first},
            "n": line.n,
            **{name: line.numbers[name] for name in [*means, *ends]},
            "not_finite": line.not_finite,
            **{f"{metric.name}_signature": metric.signature for metric in table.metrics},
            "suite": suite,
        }
        for line in table.lines
    ]
    return csv_text([[*lines[0]], *([*line.values()] for line in lines)])


def rows_csv(values: Values, metrics: Sequence[MetricInfo], suite: str, *, missing: bool = True) -> str:
    """Return the CSV of all values, one line per number, with signature and suite.

    ``sample`` is empty for a value of all samples, and ``image`` for a value of all images. A value that is missing is
    an empty cell, or no line if ``missing`` is false.
    """
    signatures = {metric.name: metric.signature for metric in metrics}
    numbers = values.numbers(metrics)
    lines = [
        [model, temperature, image, "" if sample < 0 else sample, metric, value, signatures[metric], suite]
        for model, temperature, image, sample, metric, value in numbers
        if missing or not math.isnan(value)
    ]
    return csv_text([[*COLUMNS, "signature", "suite"], *lines])


def pairs_csv(table: Table) -> str:
    """Return the CSV of every two compared rows, one line per metric and pair; rows are named as ``compare`` does."""
    return csv_text([PAIRS, *pair_lines(table)])


def pair_lines(table: Table) -> Iterator[list[object]]:
    """Yield a line of PAIRS for every two compared rows in every metric."""
    names = [line.setting.folder for line in table.lines]
    for metric, (row, other, *numbers, n) in table.pairs:
        yield [metric.name, names[row], names[other], *numbers, n]


def csv_text(lines: Sequence[Sequence[object]]) -> str:
    """Return lines of cells as CSV; None and NaN are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in line] for line in lines)
    return text.getvalue()
