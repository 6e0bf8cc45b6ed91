"""The table of scores, the same in every format: text and interval of every cell, and which cells are bold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from srbench.interfaces import MetricFacts
from srbench.metrics.suite import of_several_samples
from srbench.models import ModelFacts
from srbench.pages import markdown
from srbench.run_folder.protocol import Setting
from srbench.words import printable

if TYPE_CHECKING:  # ``srbench measure`` prints its table without pandas, which takes a third of a second to import
    import pandas as pd

    from srbench.reporting.families import Families
    from srbench.reporting.measurements import Measurements
    from srbench.reporting.ranking import BestRows
    from srbench.run_folder.measured import Measured
    from srbench.run_folder.results import ResultTable


@dataclass(frozen=True)
class Cell:
    """The value of a metric in a row."""

    mean: float
    low: float
    """Lower end of the 95 % interval of the mean; NaN for too few images."""
    high: float
    is_best: bool
    """True for the best mean among models, and for means not significantly worse; printed in bold."""
    text: str
    """The mean, rounded to the digits of the metric."""
    interval: str
    """``21.43–24.05`` or ``-1.3 to 8.9``; empty if there is no interval, or its width is 0."""


@dataclass(frozen=True)
class Line:
    """A row of the table: a model at one temperature."""

    setting: Setting
    cells: dict[str, Cell]
    """Cells by metric, in the order of the table."""
    images: int
    not_finite: int
    """Number of images with a non-finite value, which means leave out."""
    is_projected: bool = False
    """True if outputs are projected onto LR, so that they downscale to it."""

    @property
    def label(self) -> str:
        """Model and temperature, such as ``srflow τ=0.8``."""
        return self.setting.label


@dataclass(frozen=True)
class Scores:
    """The table of means: a column per metric, a row per model and temperature."""

    columns: tuple[MetricFacts, ...]
    """All metrics in the order of the cells of a line; those of all images together are last."""
    lines: tuple[Line, ...]
    best: dict[str, BestRows]
    """Best rows of every metric; none of a metric of all images together, which permits no test."""
    families: Families
    table: ResultTable
    """Values behind the means."""
    summary: pd.DataFrame
    """Means and intervals, as in table.csv."""
    left_out: str = ""
    """Sentence on measured but uninformative columns, which are not shown; else empty."""

    @property
    def metrics(self) -> tuple[MetricFacts, ...]:
        """Metrics of single images."""
        return tuple(metric for metric in self.columns if metric.per != "folder")

    @property
    def folder_metrics(self) -> tuple[MetricFacts, ...]:
        """Metrics of all images together: one value per row, without interval and test."""
        return tuple(metric for metric in self.columns if metric.per == "folder")

    @property
    def competing(self) -> list[Line]:
        """Rows that represent their models; they come first in every format."""
        return [self.lines[row] for row in self.families.models]

    @property
    def variants(self) -> list[Line]:
        """All other rows, shown below."""
        return [self.lines[row] for row in self.families.variants]

    @property
    def family_columns(self) -> dict[str, list[str] | list[bool]]:
        """Columns of table.csv: the family of every row, and whether the row represents it."""
        labels = list(dict.fromkeys(line.setting.model for line in self.lines))
        return {
            "family": [labels[model] for model in self.families.model_of],
            "competes": [row in self.families.models for row in range(len(self.lines))],
        }

    def column(self, metric: str) -> list[Cell]:
        """Return the cells of a metric, one per row. Raises KeyError if it was not measured."""
        return [line.cells[metric] for line in self.lines]


def scores_of(measurements: Measurements) -> Scores:
    """Compute the scores of one run, or of several runs in one table."""
    scores = score(measurements.table(), measurements.manifest.metrics, measurements.models)
    left_out = " ".join(filter(None, [scores.left_out, _not_of_one_sample(measurements)]))
    return replace(scores, left_out=left_out)


def _not_of_one_sample(measurements: Measurements) -> str:
    """Name the columns of the suite that need several samples per image, if there is one; else empty."""
    requests = [invocation.request for run in measurements.runs for invocation in run.invocations]
    by_suite = any(request is None or request.metrics is None for request in requests)
    if measurements.protocol.samples > 1 or not by_suite:
        return ""
    titles = [metric.title for metric in of_several_samples(measurements.protocol.columns)]
    needs = "is left out: it needs" if len(titles) == 1 else "are left out: they need"
    return f"{joined(titles)} {needs} two or more samples per image, and there is one." if titles else ""


def score(table: ResultTable, metrics: Sequence[MetricFacts], models: Sequence[ModelFacts] = ()) -> Scores:
    """Compute the scores of tidy values."""
    from srbench.reporting.families import families_of
    from srbench.reporting.ranking import best_rows
    from srbench.run_folder.results import settings_of  # pandas takes a third of a second to import

    metrics, left_out = informative(metrics, {name: table.columns(name) for name in table.metrics})
    metrics = sorted(distinct(metrics), key=lambda metric: metric.per == "folder")
    summary = table.summary()
    settings = settings_of(summary)
    families = families_of(settings, models)
    projected = {model.label for model in models if model.projected}
    best = {}
    for metric in metrics:
        columns = table.columns(metric.name) if metric.per != "folder" else []
        best[metric.name] = best_rows({row: columns[row] for row in families.models if columns}, metric)
    lines = []
    for row, (setting, numbers) in enumerate(zip(settings, summary.to_dict("records"), strict=True)):
        cells = {}
        for metric in metrics:
            mean, low, high = (float(numbers.get(f"{metric.name}{end}", math.nan)) for end in ("", "_low", "_high"))
            cells[metric.name] = _cell(mean, low, high, row in best[metric.name].rows, metric)
        images, not_finite = int(numbers["n"]), int(numbers["not_finite"])
        lines.append(Line(setting, cells, images, not_finite, setting.model in projected))
    return Scores(tuple(metrics), tuple(lines), best, families, table, summary, left_out)


def informative(
    metrics: Sequence[MetricFacts], columns: Mapping[str, Iterable[Iterable[float]]]
) -> tuple[Sequence[MetricFacts], str]:
    """Drop metrics of diversity that are 0 in every row; return the remaining metrics and a sentence on the dropped.

    ``columns`` are the values of each metric, row by row. If no metric would remain, all do.
    """
    dropped = [
        metric
        for metric in metrics
        if metric.group == "Diversity" and not any(value for row in columns[metric.name] for value in row)
    ]
    if not dropped or len(dropped) == len(metrics):
        return metrics, ""
    titles = joined([metric.title for metric in dropped])
    is_zero = "is left out: it is" if len(dropped) == 1 else "are left out: they are"
    return [metric for metric in metrics if metric not in dropped], (
        f"{titles} {is_zero} 0 everywhere, as no model draws samples that differ."
    )


def distinct(metrics: Sequence[MetricFacts]) -> list[MetricFacts]:
    """Make titles unique by appending the parts in which signatures differ, as in ``PSNR (Y) crop4``."""
    titled = []
    for metric in metrics:
        alike = [other.signature.split("|") for other in metrics if other.title == metric.title]
        own = [part for part in metric.signature.split("|") if any(part not in parts for parts in alike)]
        titled.append(replace(metric, title=" ".join([metric.title, *own])))
    return titled


def printed(value: float, metric: MetricFacts) -> str:
    """Format a value with the digits of its metric; NaN is a dash."""
    return "–" if math.isnan(value) else f"{value:.{metric.digits}f}"


def header(metric: MetricFacts) -> str:
    """Return title and direction of a metric: ``LPIPS ↓``, or ``sigma``, which has no direction."""
    return f"{metric.title} {('', '↑', '↓')[metric.direction]}".rstrip()


def p_text(value: float) -> str:
    """Format a p value: ``0.031`` or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def joined(names: Sequence[str]) -> str:
    """Join names for a sentence: ``a, b and c``; empty for no names."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def empty_table(names: Sequence[str], metrics: Sequence[MetricFacts], title: str = "", caption: str = "") -> Table:
    """Return a table for the terminal without rows: columns ``names``, then a column per metric."""
    table = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        header_style="",
        title=title,
        title_style="",
        title_justify="left",
        caption=caption,
        caption_style="",
        caption_justify="left",
    )
    for name in names:
        table.add_column(name, no_wrap=True)
    for metric in metrics:
        # one word per line, so that eight metrics fit 80 columns
        table.add_column(Text(header(metric).replace(" ", "\n")), justify="right")
    return table


def measured_table(measured: Measured) -> Table:
    """Return the table of ``srbench measure`` for the terminal: a row per image, and the means."""
    of_all = [f"{header(metric)} {printed(measured.mean(metric.name), metric)}" for metric in measured.folder_metrics]
    values = {
        metric.name: [[measured.of_image(image, metric.name) for image in measured.values]]
        for metric in measured.image_metrics
    }
    metrics, left_out = informative(measured.image_metrics, values)
    metrics = distinct(metrics)
    table = empty_table(["image"], metrics, caption="\n".join(filter(None, ["   ".join(of_all), left_out])))
    for image in measured.values:
        cells = [printed(measured.of_image(image, metric.name), metric) for metric in metrics]
        table.add_row(Text(printable(image)), *cells)
    table.add_section()
    means = [printed(measured.mean(metric.name), metric) for metric in metrics]
    total = len(measured.values)
    numbers = sorted({measured.averaged(metric.name) for metric in metrics}) or [total]
    averaged = "–".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
    table.add_row(f"mean of {averaged}" + (f" of {total}" if numbers[0] < total else ""), *means)
    counts = [measured.count(metric.name) for metric in metrics]
    if len(numbers) > 1 or 0 in counts:
        table.add_row("finite values", *map(str, counts))
    return table


def terminal_table(scores: Scores) -> Table:
    """Return the table for the terminal, without intervals: one row per model, then the variants."""
    table = empty_table(["model"], scores.columns)
    table.add_column("n", justify="right", no_wrap=True)
    for title, lines in (("", scores.competing), ("variants", scores.variants)):
        if title and lines:
            table.add_section()
            table.add_row(Text(title, "dim"))
        for line in lines:
            cells = [Text(cell.text, "bold" if cell.is_best else "") for cell in line.cells.values()]
            table.add_row(Text(line.label), *cells, str(line.images))
    return table


def markdown_table(scores: Scores, lines: Sequence[Line]) -> str:
    """Return a Markdown table of the means of some rows, the best in bold."""
    cells = [
        [
            markdown.escape(line.label),
            *(f"**{cell.text}**" if cell.is_best else cell.text for cell in line.cells.values()),
            str(line.images),
        ]
        for line in lines
    ]
    return markdown.table(["model", *(markdown.escape(header(metric)) for metric in scores.columns), "n"], cells)


def interval_table(scores: Scores) -> str:
    """Return a Markdown table of the 95 % intervals of all rows; empty if there are none."""
    lines = [
        [markdown.escape(line.label), *(cell.interval for cell in line.cells.values())]
        for line in (*scores.competing, *scores.variants)
    ]
    if not any(any(line[1:]) for line in lines):
        return ""
    return markdown.table(["model", *(markdown.escape(header(metric)) for metric in scores.columns)], lines)


def _cell(mean: float, low: float, high: float, is_best: bool, metric: MetricFacts) -> Cell:
    between = "–" if low >= 0 else " to "
    interval = "" if math.isnan(low) or low == high else f"{printed(low, metric)}{between}{printed(high, metric)}"
    return Cell(mean, low, high, is_best, printed(mean, metric), interval)
