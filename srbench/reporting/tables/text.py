"""The table as text: for the terminal, in Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable
from rich.text import Text

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.metrics.loading import parse_metric
from srbench.metrics.suite import needing
from srbench.pages import markdown
from srbench.reporting.results import distinct
from srbench.reporting.tables.table import (
    Block,
    Cell,
    Line,
    Table,
    Tables,
    as_tables,
    header,
    informative,
    together,
)
from srbench.run_folder.protocol import Protocol
from srbench.run_folder.values import COLUMNS, Values, averaged_images, mean_of_images
from srbench.words import printable

PAIRS_FILE = "pairs.csv"
PAIRS = ("metric", "row", "other", "difference", "low", "high", "p", "n")
"""Columns of pairs of rows: p is adjusted for all pairs, the 95 % interval ``low`` to ``high`` is not."""


def empty_table(
    names: Sequence[str], metrics: Sequence[MetricInfo], title: str = "", caption: str = ""
) -> TerminalTable:
    """Return a table for the terminal without rows: columns ``names``, then a column per metric."""
    table = TerminalTable(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        header_style="",
        title=Text(title),
        title_style="",
        title_justify="left",
        caption=Text(caption),
        caption_style="",
        caption_justify="left",
    )
    for name in names:
        table.add_column(name, no_wrap=True)
    for metric in metrics:
        # one word per line, so that eight metrics fit 80 columns
        table.add_column(Text(header(metric).replace(" ", "\n")), justify="right")
    return table


def image_table(values: Values, metrics: Sequence[MetricInfo]) -> TerminalTable:
    """Return the table of a single setting for the terminal: a row per image or group, and the means.

    Metrics of all images together stand below it; those of groups have rows of their own.
    """
    [setting] = values.settings
    rows = [metric for metric in metrics if metric.permits_test]
    together = [
        f"{header(metric)} {printed(mean_of_images(values.means(setting, metric)), metric)}"
        for metric in metrics
        if not metric.permits_test
    ]
    columns = {metric.name: values.means(setting, metric) for metric in rows}
    shown, left_out = informative(rows, {name: column.values() for name, column in columns.items()})
    shown = distinct(shown)
    of_images = [metric for metric in shown if metric.is_of_images]
    table = empty_table(
        [values.unit if of_images else "group"],
        shown,
        caption="\n".join(filter(None, ["   ".join(together), left_out])),
    )
    units = {metric.name: values.of_units(setting, metric) for metric in shown}
    images = [values.unit_of.get(image, image) for image in values.images[setting] if of_images or not shown]
    for unit in dict.fromkeys((*images, *(unit for column in units.values() for unit in column))):
        cells = (units[metric.name].get(unit) for metric in shown)
        texts = ("" if cell is None else printed(cell, metric) for cell, metric in zip(cells, shown, strict=True))
        table.add_row(Text(printable(unit)), *texts)
    table.add_section()
    means = [printed(mean_of_images(units[metric.name]), metric) for metric in shown]
    counted = of_images or shown
    n = values.count(setting) if of_images or not shown else max(len(units[metric.name]) for metric in shown)
    numbers = sorted({averaged_images(units[metric.name]) for metric in counted}) or [n]
    averaged = "–".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
    of_n = f" of {n}" if numbers[0] < n else ""
    table.add_row(f"mean of {averaged}{of_n}" + (f" {values.units}" if values.unit_of else ""), *means)
    counts = [sum(map(math.isfinite, columns[metric.name].values())) for metric in counted]
    if len(numbers) > 1 or 0 in counts or (values.unit_of and min(counts, default=len(images)) < len(images)):
        finite = (sum(map(math.isfinite, columns[metric.name].values())) for metric in shown)
        table.add_row("finite values", *map(str, finite))
    return table


def terminal_table(tables: Table | Tables[Block]) -> TerminalTable:
    """Return a table, or a stack of tables, for the terminal, without intervals: one row per model.

    The variants follow in a table that stands alone. Only the first row of a block names dataset and scale.
    """
    stack = as_tables(tables)
    names = ("dataset", "scale", "model") if stack.title else ("model",)
    shown = empty_table(names, stack.columns, title=stack.title)
    shown.add_column("n", justify="right", no_wrap=True)
    for number, block in enumerate(stack.blocks):
        if number:
            shown.add_section()
        place = block.place
        for line in block.table.models:
            shown.add_row(*map(Text, place), *_terminal_cells(line, stack.cells(block, line)))
            place = tuple("" for _ in place)
        if block.table.variants and not stack.title:
            shown.add_section()
            shown.add_row(Text("variants", "dim"))
            for line in block.table.variants:
                shown.add_row(*_terminal_cells(line, stack.cells(block, line)))
    return shown


def _terminal_cells(line: Line, cells: Sequence[Cell]) -> list[Text]:
    means = [Text(cell.text, "bold" if cell.is_best else "") for cell in cells]
    return [Text(line.label), *means, Text(str(line.n))]


def markdown_table(
    tables: Table | Tables[Block], part: Literal["models", "variants"] = "models", *, letters: bool = False
) -> str:
    """Return a Markdown table of the means of the models, or of the variants, the best in bold.

    With ``letters``, every model has a letter, and a mean has the letters of the models that are significantly worse.
    Rows of a stack name their runs.
    """
    stack = as_tables(tables)
    letters = letters and part == "models"
    names = (*(("dataset", "scale") if stack.title else ()), *(("",) if letters else ()), "model")
    rows = [
        [
            *map(markdown.escape, (*block.place, *((line.letter,) if letters else ()), line.label)),
            *(
                (f"**{cell.text}**" if cell.is_best else cell.text)
                + (f"<sup>{together(cell.beaten)}</sup>" if letters and cell.beaten else "")
                for cell in cells
            ),
            str(line.n),
            *([markdown.escape(", ".join(block.run_names(line)))] if stack.title else []),
        ]
        for block, line, cells in stack.rows(part)
    ]
    columns = [markdown.escape(header(metric)) for metric in stack.columns]
    return markdown.table([*names, *columns, "n", *(["runs"] if stack.title else [])], rows, texts=len(names))


def interval_table(table: Table) -> str:
    """Return a Markdown table of the 95 % intervals of all lines; empty if there are none."""
    rows = [[markdown.escape(line.label), *(cell.interval for cell in table.cells(line))] for line in table.shown]
    if not any(any(row[1:]) for row in rows):
        return ""
    return markdown.table(["model", *(markdown.escape(header(metric)) for metric in table.columns)], rows)


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
