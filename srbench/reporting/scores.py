"""The table of scores as it is printed: text, interval and mark of every cell, for every format the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from srbench.interfaces import MetricFacts
from srbench.reporting.published import Published
from srbench.run_folder.protocol import setting_label
from srbench.system.file_names import printable

if TYPE_CHECKING:  # ``srbench measure`` prints its table without pandas, which takes a third of a second to import
    import pandas as pd

    from srbench.benchmark.measure import Measured
    from srbench.reporting.ranking import Mark, Ranking
    from srbench.run_folder.results import ResultTable

TERMINAL: dict[Mark, str] = {"": "", "best": "bold", "second": "underline"}


@dataclass(frozen=True)
class Cell:
    """One metric of one row."""

    mean: float
    low: float
    """Lower end of the 95 % interval of the mean; NaN where there is none."""
    high: float
    mark: Mark
    text: str
    """The mean with the decimals that are worth printing."""
    interval: str
    """``21.43–24.05``, ``-1.3 to 8.9``; empty where there is none, or it has no width."""


@dataclass(frozen=True)
class Line:
    """One model at one temperature."""

    model: str
    temperature: float
    """NaN for a model with one output."""
    cells: tuple[Cell, ...]
    """One a metric."""
    images: int
    not_finite: int
    """Images with a value that is not finite, which is in no mean."""

    @property
    def label(self) -> str:
        """Model and temperature for a reader."""
        return setting_label(self.model, self.temperature)


@dataclass(frozen=True)
class Scores:
    """The table: metrics are the columns, lines the rows."""

    metrics: tuple[MetricFacts, ...]
    lines: tuple[Line, ...]
    rankings: tuple[Ranking, ...]
    """One a metric: what the images say about its column."""
    published: Published = field(default_factory=Published)
    """Rows beneath the table that were not measured here."""

    def column(self, metric: str) -> list[Cell]:
        """The cells of a metric, one a line. Raises KeyError where it was not measured."""
        for place, facts in enumerate(self.metrics):
            if facts.name == metric:
                return [line.cells[place] for line in self.lines]
        raise KeyError(metric)


def score(table: ResultTable, summary: pd.DataFrame, metrics: Sequence[MetricFacts]) -> Scores:
    """Means, intervals and marks: of a table, its summary, and the facts of its metrics from the manifest."""
    from srbench.reporting.ranking import rank

    settings = [(str(model), float(temperature)) for model, temperature in summary.index.tolist()]
    columns = []
    rankings = [rank(table.columns(metric.name), metric) for metric in metrics]
    for metric, ranking in zip(metrics, rankings, strict=True):
        name = metric.name
        numbers = summary[[name, f"{name}_low", f"{name}_high"]].to_numpy(dtype=float).tolist()
        cells = zip(numbers, ranking.marks, strict=True)
        columns.append([_cell(mean, low, high, mark, metric) for (mean, low, high), mark in cells])
    counts = zip(summary["n"].tolist(), summary["not_finite"].tolist(), strict=True)
    lines = [
        Line(*setting, tuple(cells), int(n), int(not_finite))
        for setting, cells, (n, not_finite) in zip(settings, zip(*columns, strict=True), counts, strict=True)
    ]
    return Scores(tuple(metrics), tuple(lines), tuple(rankings))


def printed(value: float, metric: MetricFacts) -> str:
    """A value with the decimals that are worth printing; ``inf`` as it is, and a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.{metric.digits}f}"


def header(metric: MetricFacts) -> str:
    """Title and direction: ``LPIPS ↓``; ``sigma``, which has none."""
    return f"{metric.title} {('', '↑', '↓')[metric.direction]}".rstrip()


def p_text(value: float) -> str:
    """A p value: ``0.031``, ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def joined(names: Sequence[str]) -> str:
    """Names in a sentence: ``a, b and c``; nothing of none."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _empty_table(first: str, metrics: Sequence[MetricFacts]) -> Table:
    """A table for the terminal without rows: a column of names, then one for each metric."""
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, header_style="")
    table.add_column(first, no_wrap=True)
    for metric in metrics:
        # one word a line, so that eight metrics fit 80 columns
        table.add_column(Text(header(metric).replace(" ", "\n")), justify="right")
    return table


def measured_table(measured: Measured) -> Table:
    """The table of ``srbench measure`` for the terminal: a row per image, and the means."""
    table = _empty_table("image", measured.metrics)
    table.title, table.title_justify, table.title_style = f"protocol {measured.suite}", "left", ""
    sets = [f"{header(metric)} {printed(measured.sets[metric.name], metric)}" for metric in measured.set_metrics]
    table.caption, table.caption_justify, table.caption_style = "   ".join(sets), "left", ""
    for image in measured.values:
        cells = [printed(measured.of_image(image, metric.name), metric) for metric in measured.metrics]
        table.add_row(Text(printable(image)), *cells)
    table.add_section()
    means = [printed(measured.mean(metric.name), metric) for metric in measured.metrics]
    table.add_row(f"mean of {len(measured.values)}", *means)
    counts = [measured.count(metric.name) for metric in measured.metrics]
    if min(counts, default=0) < len(measured.values):
        table.add_row("finite values", *map(str, counts))
    return table


def terminal_table(scores: Scores) -> Table:
    """The table for the terminal: the best bold, the next underlined, without the intervals."""
    table = _empty_table("model", scores.metrics)
    table.add_column("n", justify="right", no_wrap=True)
    for line in scores.lines:
        cells = [Text(cell.text, TERMINAL[cell.mark]) for cell in line.cells]
        table.add_row(Text(line.label), *cells, str(line.images))
    if scores.published.lines:
        table.add_section()
    for row in scores.published.lines:
        texts = [row.label, *(cell.text for cell in row.cells), str(row.images)]
        table.add_row(*texts, style="dim italic")
    return table


def _cell(mean: float, low: float, high: float, mark: Mark, metric: MetricFacts) -> Cell:
    between = "–" if low >= 0 else " to "
    interval = "" if math.isnan(low) or low == high else f"{printed(low, metric)}{between}{printed(high, metric)}"
    return Cell(mean, low, high, mark, printed(mean, metric), interval)
