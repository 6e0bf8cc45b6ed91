"""Tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable
from rich.text import Text

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.reporting.results import distinct
from srbench.reporting.tables.table import Block, Cell, Line, Table, Tables, as_tables, header, informative
from srbench.run_folder.values import Values, averaged_images, mean_of_images
from srbench.words import printable


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
