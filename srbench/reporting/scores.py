"""Table of scores: text, interval and mark of every cell, the same in every format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from srbench.interfaces import MetricFacts, ModelFacts
from srbench.reporting.published import Published
from srbench.run_folder.protocol import Setting
from srbench.words import printable

if TYPE_CHECKING:  # ``srbench measure`` prints its table without pandas, which takes a third of a second to import
    import pandas as pd

    from srbench.reporting.families import Families
    from srbench.reporting.ranking import Mark, Ranking
    from srbench.run_folder.measured import Measured
    from srbench.run_folder.results import ResultTable

MARKDOWN: dict[Mark, str] = {
    "": "{}",
    "best": "**{}**",
    "second": "<u>{}</u>",
    "own": "*{}*",
    "best own": "***{}***",
    "second own": "<u>*{}*</u>",
}
TERMINAL: dict[Mark, str] = {
    "": "",
    "best": "bold",
    "second": "underline",
    "own": "italic",
    "best own": "bold italic",
    "second own": "underline italic",
}
HTML: dict[Mark, str] = {
    "": "{}",
    "best": "<b>{}</b>",
    "second": "<u>{}</u>",
    "own": "<i>{}</i>",
    "best own": "<b><i>{}</i></b>",
    "second own": "<u><i>{}</i></u>",
}
PROJECTED = "‡"
"""Mark of a value that projection fixes."""
PROJECTION = f"{PROJECTED} The outputs are projected onto the images that downscale to LR, which fixes this value."
"""Legend of the mark."""


@dataclass(frozen=True)
class Cell:
    """One metric of one line."""

    mean: float
    low: float
    """Lower end of the 95 % interval of the mean; NaN if there is none."""
    high: float
    mark: Mark
    text: str
    """Mean with the decimals worth printing."""
    interval: str
    """``21.43–24.05``, ``-1.3 to 8.9``; empty if there is none, or it has no width."""
    is_projected: bool = False
    """True for LR-PSNR of outputs that are projected onto LR."""

    @property
    def shown(self) -> str:
        """Text, with a mark if projection fixes the value."""
        return f"{self.text}{PROJECTED}" if self.is_projected else self.text


@dataclass(frozen=True)
class Line:
    """One model at one temperature."""

    setting: Setting
    cells: dict[str, Cell]
    """Cells by metric, in the order of the table."""
    images: int
    not_finite: int
    """Images with a value that is not finite, which counts in no mean."""
    is_projected: bool = False
    """True if the outputs are projected onto the images that downscale to LR."""

    @property
    def label(self) -> str:
        """Model and temperature for a reader."""
        return self.setting.label


@dataclass(frozen=True)
class Scores:
    """Table of means: a column for every metric, a line for every model and temperature."""

    metrics: tuple[MetricFacts, ...]
    lines: tuple[Line, ...]
    rankings: dict[str, Ranking]
    """Rankings of the lines by metric."""
    families: Families
    published: Published = field(default_factory=Published)
    """Rows beneath the table that were not measured here."""
    worst: dict[str, list[pd.Series[float]]] = field(default_factory=dict)
    """Values of the worst sample by image, a series per line, of the metrics that lead Consistency."""

    @property
    def competing(self) -> list[Line]:
        """Lines by which models compete, which stand first in every format."""
        return [self.lines[row] for row in self.families.models]

    @property
    def variants(self) -> list[Line]:
        """Lines that compete within their model alone."""
        return [self.lines[row] for row in self.families.variants]

    @property
    def family_columns(self) -> dict[str, list[str] | list[bool]]:
        """Model that every line is of or a variant of, and whether it competes: columns of a table as CSV."""
        labels = list(dict.fromkeys(line.setting.model for line in self.lines))
        return {
            "family": [labels[model] for model in self.families.model_of],
            "competes": [row in self.families.models for row in range(len(self.lines))],
        }

    @property
    def has_projected(self) -> bool:
        """True if projection fixes any value of the table."""
        return any(cell.is_projected for line in self.lines for cell in line.cells.values())

    def column(self, metric: str) -> list[Cell]:
        """Cells of a metric, one per line. Raises KeyError if it was not measured."""
        return [line.cells[metric] for line in self.lines]


def score(
    table: ResultTable, summary: pd.DataFrame, metrics: Sequence[MetricFacts], models: Sequence[ModelFacts] = ()
) -> Scores:
    """Scores of a table, from its summary and the facts of its metrics and models."""
    from srbench.reporting.families import families_of
    from srbench.reporting.ranking import rank

    places = [Setting(model, None if math.isnan(heat) else heat) for model, heat in summary.index]
    families = families_of(places, models)
    projected = {model.label for model in models if model.projected}
    worst = {one.name: table.worst(one) for one in metrics if one.leads and one.group == "Consistency"}
    rankings = {metric.name: rank(table.columns(metric.name), metric, families) for metric in metrics}
    lines = []
    for place, (setting, numbers) in enumerate(zip(places, summary.to_dict("records"), strict=True)):
        cells = {}
        for metric in metrics:
            mean, low, high = (float(numbers[f"{metric.name}{end}"]) for end in ("", "_low", "_high"))
            is_fixed = metric.name in worst and setting.model in projected
            cells[metric.name] = _cell(mean, low, high, rankings[metric.name].marks[place], metric, is_fixed)
        images, not_finite = int(numbers["n"]), int(numbers["not_finite"])
        lines.append(Line(setting, cells, images, not_finite, setting.model in projected))
    return Scores(tuple(metrics), tuple(lines), rankings, families, worst=worst)


def printed(value: float, metric: MetricFacts) -> str:
    """A value with the decimals worth printing; ``inf`` as it is, a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{metric.digits}f}"


def header(metric: MetricFacts) -> str:
    """Title and direction: ``LPIPS ↓``; ``sigma`` has none."""
    return f"{metric.title} {('', '↑', '↓')[metric.direction]}".rstrip()


def p_text(value: float) -> str:
    """A p value: ``0.031``, ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def joined(names: Sequence[str]) -> str:
    """Names in a sentence: ``a, b and c``; empty for none."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def empty_table(names: Sequence[str], metrics: Sequence[MetricFacts], title: str = "", caption: str = "") -> Table:
    """Table for the terminal without rows: columns for what a row is named by, then one per metric."""
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
    """Table of ``srbench measure`` for the terminal: a row per image, and the means."""
    sets = [f"{header(metric)} {printed(measured.sets[metric.name], metric)}" for metric in measured.set_metrics]
    table = empty_table(["image"], measured.metrics, title=f"protocol {measured.suite}", caption="   ".join(sets))
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
    """Table for the terminal: best bold, second underlined, best of its model italic, no intervals."""
    table = empty_table(["model"], scores.metrics)
    table.add_column("n", justify="right", no_wrap=True)
    for title, lines in (("", scores.competing), ("variants", scores.variants)):
        if title and lines:
            table.add_section()
            table.add_row(Text(title, "dim"))
        for line in lines:
            cells = [Text(cell.text, TERMINAL[cell.mark]) for cell in line.cells.values()]
            table.add_row(Text(line.label), *cells, str(line.images))
    if scores.published.lines:
        table.add_section()
    for row in scores.published.lines:
        table.add_row(*row.texts, style="dim italic")
    return table


def _cell(mean: float, low: float, high: float, mark: Mark, metric: MetricFacts, is_projected: bool) -> Cell:
    between = "–" if low >= 0 else " to "
    interval = "" if math.isnan(low) or low == high else f"{printed(low, metric)}{between}{printed(high, metric)}"
    return Cell(mean, low, high, mark, printed(mean, metric), interval, is_projected)
