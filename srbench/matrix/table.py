"""The stacked table of a matrix for a paper: the rows of all cells, in Markdown, HTML, LaTeX and CSV.

Every suite has its own table, because suites have different metrics. Values are bold as in the report of each cell;
nothing is compared across datasets, scales or protocols.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.table import Table as TerminalTable
from rich.text import Text

from srbench.interfaces import MetricFacts, SRBenchError
from srbench.matrix import MatrixError
from srbench.matrix.folder import MatrixCell, has_started, read_matrix
from srbench.pages import markdown
from srbench.reporting.answer import answer
from srbench.reporting.files import FOLDER, changed_files, put_in_place, read_listing, records_of
from srbench.reporting.latex import BEST, bold, display_name, escape, row, title
from srbench.reporting.rendering import rendered, style_and_script
from srbench.reporting.report import FORMATS, images_of
from srbench.reporting.results import Results, read_results
from srbench.reporting.table import Table, distinct, header, table_of_runs
from srbench.reporting.text import empty_table
from srbench.run_folder import NothingMeasuredError
from srbench.words import number_of, one_line

_STYLES = ("report.css", "matrix.css")
_SCRIPTS = ("theme.js", "matrix.js")


@dataclass(frozen=True)
class Block:
    """The rows of a measured cell."""

    cell: MatrixCell
    results: Results
    table: Table
    strip: str | None
    """Path in the matrix folder of a strip in the cell's report; None if there is no strip or it is out of date."""

    @property
    def title(self) -> str:
        """Dataset and scale: ``set5 4×``."""
        return f"{self.cell.dataset} {self.cell.scale}×"

    @property
    def findings(self) -> list[str]:
        """Result of the cell in a few sentences, as in its report."""
        return answer(self.table)

    @property
    def images(self) -> str:
        """Number and origin of the images: ``5 images, LR by MATLAB's bicubic downscaling``."""
        protocol = self.results.protocol
        crop = "" if protocol.crop is None else f", the central {protocol.crop} x {protocol.crop} of each"
        return f"{number_of(len(self.results.images), 'image')}{crop}, LR {protocol.lr}"


@dataclass(frozen=True)
class SuiteTable:
    """Table of one suite."""

    suite: str
    """Name and version."""
    blocks: list[Block]

    @cached_property
    def metrics(self) -> list[MetricFacts]:
        """Columns: one per metric and signature."""
        metrics = {_column(metric): metric for block in self.blocks for metric in block.table.columns}
        return distinct(list(metrics.values()))

    @property
    def has_variants(self) -> bool:
        """True if the report of a cell has variants, which this table leaves out."""
        return any(block.table.variants for block in self.blocks)

    def rows(self, block: Block) -> Iterator[tuple[str, list[tuple[str, bool]], int]]:
        """Yield the rows of a block: label, (text, is bold) of every column, and number of images."""
        known = {_column(metric): metric.name for metric in block.table.columns}
        for line in block.table.models:
            cells = [line.cells[known[column]] if column in known else None for column in map(_column, self.metrics)]
            yield (
                line.label,
                [("–", False) if cell is None else (cell.text, cell.is_best) for cell in cells],
                line.images,
            )


@dataclass(frozen=True)
class MatrixReport:
    """Report of a matrix."""

    files: list[Path]
    """Files, in the order of FORMATS."""
    tables: list[SuiteTable]
    not_measured: list[str]
    """Cells without results."""
    damaged: list[str]
    """Unreadable cells, with the reason."""


def write_matrix_report(path: Path, formats: Sequence[str] = tuple(FORMATS), out: Path | None = None) -> MatrixReport:
    """Write report.md, report.html, table.tex and table.csv of a matrix into its folder ``report``, or into ``out``.

    The report names cells that are damaged or not measured. Raises MatrixError for an unknown format, and if no cell
    has results.
    """
    if unknown_formats := [name for name in formats if name not in FORMATS]:
        raise MatrixError(f"unknown format {unknown_formats[0]!r}; choose from {', '.join(FORMATS)}")
    matrix = read_matrix(path)
    tables: dict[str, SuiteTable] = {}
    not_measured, damaged = [], []
    for cell in matrix.cells:
        run = path / cell.name
        try:
            block = _block(cell, run) if has_started(run) else None
        except NothingMeasuredError:
            block = None
        except (SRBenchError, OSError) as error:
            damaged.append(f"{run}: {one_line(error).removeprefix(f'{run}: ').replace(f'{run}/', '')}")
            continue
        if block is None:
            not_measured.append(cell.name)
        else:
            suite = block.results.protocol.suite
            tables.setdefault(suite, SuiteTable(suite, [])).blocks.append(block)
    if damaged and not tables:
        raise MatrixError("; ".join(damaged))
    if not tables:
        raise MatrixError(f"{path}: nothing is measured yet; run its command: {matrix.command}")
    shown = list(tables.values())
    base = "../" if out is None else f"{path.resolve().as_uri()}/"
    facts = {"matrix": matrix, "tables": shown, "not_measured": not_measured, "damaged": damaged, "base": base}
    texts = {
        "md": rendered("matrix.md.jinja", rows=_markdown_table, **facts) + "\n",
        "html": rendered("matrix.html.jinja", **style_and_script(_STYLES, _SCRIPTS), **facts) + "\n",
        "tex": rendered("table.tex.jinja", comments=[], tables=list(map(_latex, shown))),
        "csv": _csv(shown),
    }
    folder = path / FOLDER if out is None else out
    files = {file: texts[name].encode() for name, file in FORMATS.items() if name in formats}
    put_in_place(folder, files)
    return MatrixReport([folder / file for file in files], shown, not_measured, damaged)


def _block(cell: MatrixCell, run: Path) -> Block:
    results = read_results([run])
    return Block(cell, results, table_of_runs(results), _strip(run, results))


def _strip(run: Path, results: Results) -> str | None:
    """Return the first strip in the report of a run; None if there is none, or the report is out of date or changed."""
    folder = run / FOLDER
    listing = read_listing(folder)
    if listing is None or (listing.records, listing.images) != (records_of(run), images_of(results)):
        return None
    strips = [f"strips/{name}.png" for name in results.images if f"strips/{name}.png" in listing.files]
    return f"{run.name}/{FOLDER}/{strips[0]}" if strips and not any(changed_files(folder, listing)) else None


def _column(metric: MetricFacts) -> tuple[str, str]:
    return metric.name, metric.signature


def _markdown_table(table: SuiteTable) -> str:
    lines = [
        [
            markdown.escape(block.cell.dataset),
            f"{block.cell.scale}x",
            markdown.escape(label),
            *(f"**{text}**" if is_best else text for text, is_best in values),
            str(images),
        ]
        for block in table.blocks
        for label, values, images in table.rows(block)
    ]
    columns = [markdown.escape(header(metric)) for metric in table.metrics]
    return markdown.table(["dataset", "scale", "model", *columns, "n"], lines, texts=3)


def _latex(table: SuiteTable) -> dict[str, object]:
    """Return the values for ``table.tex.jinja``; only the first row of a block names its dataset and scale."""
    blocks = []
    for block in table.blocks:
        place = [escape(block.cell.dataset), rf"${block.cell.scale}\times$"]
        lines: list[str] = []
        for label, values, images in table.rows(block):
            cells = [bold(escape(text), is_best=is_best) for text, is_best in values]
            lines.append(row([*(place if not lines else ["", ""]), escape(display_name(label)), *cells, str(images)]))
        blocks.append(lines)
    tabular = {
        "columns": f"lll{'r' * (len(table.metrics) + 1)}",
        "head": [row(["dataset", "scale", "model", *map(title, table.metrics), "$n$"])],
        "blocks": blocks,
    }
    is_bold = any(is_best for block in table.blocks for _, cells, _ in table.rows(block) for _, is_best in cells)
    best = f", {BEST}, separately for every dataset and scale" if is_bold else ""
    data = "; ".join(escape(f"{block.cell.dataset} {block.cell.scale}x: {block.images}") for block in table.blocks)
    return {
        "signatures": [metric.signature for metric in table.metrics],
        "is_wide": True,
        "caption": f"Super-resolution, protocol {escape(table.suite)} ({data}): means over $n$ images{best}.",
        "label": "".join(c if c.isalnum() else "-" for c in table.suite),
        "tabulars": [tabular],
    }


def _csv(tables: Sequence[SuiteTable]) -> str:
    """Return the CSV: one line per mean, variants included, with its interval and the number of images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("suite", "data", "scale", "model", "temperature", "metric", "mean", "low", "high", "n", "signature")
    writer.writerow(columns)
    for table in tables:
        for block in table.blocks:
            for line in block.table.lines:
                for metric, cell in zip(block.table.columns, block.table.cells(line), strict=True):
                    place = (table.suite, block.cell.dataset, block.cell.scale)
                    setting = (line.setting.model, line.setting.temperature)
                    interval = ("" if number != number else number for number in (cell.mean, cell.low, cell.high))
                    writer.writerow([*place, *setting, metric.name, *interval, line.images, metric.signature])
    return text.getvalue()


def terminal_table(table: SuiteTable) -> TerminalTable:
    """Return the table of a suite for the terminal."""
    shown = empty_table(("dataset", "scale", "model"), table.metrics, title=table.suite)
    shown.add_column("n", justify="right", no_wrap=True)
    for block in table.blocks:
        for place, (label, values, images) in enumerate(table.rows(block)):
            cells = [Text(text, "bold" if is_best else "") for text, is_best in values]
            where = (block.cell.dataset, f"{block.cell.scale}x") if place == 0 else ("", "")
            shown.add_row(*map(Text, where), Text(label), *cells, str(images))
        shown.add_section()
    return shown
