"""The report of a matrix: the table of a paper, with the reports of its cells behind it, in Markdown, HTML, TeX, CSV.

A table for every suite: its metrics are its own. Rows are models, in a block a scale; groups of columns are datasets.
Every cell keeps the marks of its own report, so nothing is compared across protocols, datasets or scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from srbench.interfaces import MetricFacts
from srbench.matrix import MatrixError
from srbench.matrix.folder import Cell, Matrix, read_matrix
from srbench.reporting.files import ReportFolder
from srbench.reporting.matrix.latex import latex_tables
from srbench.reporting.matrix.parts import MISSING, Entry, Part, Value
from srbench.reporting.merge import read_runs
from srbench.reporting.ranking import RULE
from srbench.reporting.scores import TERMINAL, header, score
from srbench.run_folder import RunFolderError
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.system import markdown

_FILES = {"md": "report.md", "html": "report.html", "tex": "table.tex", "csv": "table.csv"}
_MARKDOWN = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}


@dataclass(frozen=True)
class MatrixReport:
    """What was written, and its tables."""

    files: tuple[Path, ...]
    """In the order of the formats."""
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    moved: tuple[tuple[Path, Path], ...]
    """Files of somebody else that were in the way: where they were, where they are now."""


def write_matrix_report(path: Path, formats: Sequence[str], out: Path | None = None) -> MatrixReport:
    """Write report.md, report.html, table.tex and table.csv of a matrix into its folder, or into ``out``.

    Links lead to the reports of its cells, which ``srbench.reporting.report`` writes. Raises MatrixError where no cell
    has been measured, SRBenchError where one is damaged.
    """
    matrix = read_matrix(path)
    entries, notes = _entries(matrix)
    parts = _parts(entries)
    folder = ReportFolder(out or path)
    links = path.resolve() if out is not None and out.resolve() != path.resolve() else None
    texts = {
        "md": _rendered("matrix.md.jinja", matrix, parts, notes, links),
        "html": _rendered("matrix.html.jinja", matrix, parts, notes, links),
        "tex": latex_tables(parts),
        "csv": _csv(entries),
    }
    made = [folder.write(file, texts[name].encode()) for name, file in _FILES.items() if name in formats]
    folder.finish(kept=tuple(file for name, file in _FILES.items() if name not in formats))
    return MatrixReport(tuple(made), parts, tuple(notes), tuple(folder.moved))


def _entries(matrix: Matrix) -> tuple[list[Entry], list[str]]:
    """The cells that have been measured, and what is missing of the others."""
    entries, notes = [], []
    for cell in matrix.cells:
        try:
            if not (matrix.folder(cell) / MANIFEST).is_file():
                raise RunFolderError(f"{matrix.folder(cell)}: not begun")
            measurements = read_runs([matrix.folder(cell)])
        except RunFolderError:
            notes.append(f"{_place(cell)}: nothing is measured yet.")
            continue
        table = measurements.table()
        entry = Entry(cell, measurements, score(table, table.summary(), measurements.manifest.metrics))
        entries.append(entry)
        notes += [
            f"{_place(cell)}: {line.label} has {line.images} of {len(measurements.images)} images."
            for line in entry.scores.lines if line.images < len(measurements.images)
        ]  # fmt: skip
    if not entries:
        raise MatrixError(f"{matrix.path}: nothing of it is measured yet; run its command: {matrix.command}")
    return entries, notes


def _place(cell: Cell) -> str:
    return f"{cell.group} x{cell.scale}, {cell.suite}"


def _parts(entries: Sequence[Entry]) -> tuple[Part, ...]:
    by_suite: dict[str, list[Entry]] = {}
    for entry in entries:
        by_suite.setdefault(entry.measurements.protocol.suite, []).append(entry)
    return tuple(_part(suite, tuple(group)) for suite, group in by_suite.items())


def _part(suite: str, entries: tuple[Entry, ...]) -> Part:
    metrics = {metric.name: metric for entry in entries for metric in entry.scores.metrics}
    groups = tuple(dict.fromkeys(entry.cell.group for entry in entries))
    blocks = []
    for scale in dict.fromkeys(entry.cell.scale for entry in entries):
        here = {entry.cell.group: entry for entry in entries if entry.cell.scale == scale}
        lines = {line.label: None for entry in here.values() for line in entry.scores.lines}
        rows = [
            (label, tuple(_value(here.get(group), label, metric) for group in groups for metric in metrics.values()))
            for label in lines
        ]
        blocks.append((scale, tuple(rows)))
    return Part(suite, tuple(metrics.values()), groups, tuple(blocks), entries)


def _value(entry: Entry | None, label: str, metric: MetricFacts) -> Value:
    line = next((one for one in entry.scores.lines if one.label == label), None) if entry is not None else None
    if entry is None or line is None or metric.name not in (one.name for one in entry.scores.metrics):
        return MISSING
    cell = line.cells[[one.name for one in entry.scores.metrics].index(metric.name)]
    return Value(cell.text, cell.mark, line.images < len(entry.measurements.images))


def _rendered(template: str, matrix: Matrix, parts: Sequence[Part], notes: Sequence[str], links: Path | None) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench.reporting"), trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=template.endswith(".html.jinja"),
    )  # fmt: skip
    environment.filters |= {"escape_markdown": markdown.escape, "code": markdown.code, "block": markdown.block}
    best, less = ("<b>Bold</b>", "&lt;") if "html" in template else ("**Bold**", "<")
    return environment.get_template(template).render(
        matrix=matrix,
        parts=parts,
        notes=notes,
        base="" if links is None else f"{links.as_uri()}/",
        header=header,
        table=_markdown_table,
        rule=RULE.format(best=best, second="<u>underlined</u>", less=less),
        style=(files("srbench.reporting") / "templates/report.css").read_text(encoding="utf-8"),
    )


def _markdown_table(part: Part) -> str:
    columns = [f"{markdown.escape(group)} {header(metric)}" for group in part.groups for metric in part.metrics]
    lines = [
        [markdown.escape(label), f"{scale}x", *(_MARKDOWN[value.mark].format(value.shown) for value in values)]
        for scale, rows in part.blocks for label, values in rows
    ]  # fmt: skip
    return markdown.table(["model", "scale", *columns], lines)


def _csv(entries: Sequence[Entry]) -> str:
    """A line for every mean: where it stands, the mean, its interval, and of how many images."""
    records = [
        {
            "suite": entry.measurements.protocol.suite, "data": entry.cell.group, "scale": entry.cell.scale,
            "model": line.model, "temperature": None if math.isnan(line.temperature) else line.temperature,
            "metric": metric.name, "mean": cell.mean, "low": cell.low, "high": cell.high, "n": line.images,
            "signature": metric.signature,
        }
        for entry in entries for line in entry.scores.lines
        for metric, cell in zip(entry.scores.metrics, line.cells, strict=True)
    ]  # fmt: skip
    return pd.DataFrame.from_records(records).to_csv(index=False)


def terminal_tables(parts: Sequence[Part]) -> list[Table]:
    """A table a suite and dataset for the terminal, as narrow as those of single runs."""
    tables = []
    for part in parts:
        width = len(part.metrics)
        for place, group in enumerate(part.groups):
            table = Table(box=SIMPLE_HEAD, title=f"{group}, {part.suite}", title_justify="left", pad_edge=False)
            table.add_column("model", no_wrap=True)
            table.add_column("scale", justify="right")
            for metric in part.metrics:
                table.add_column(header(metric).replace(" ", "\n"), justify="right")
            for scale, rows in part.blocks:
                for label, values in rows:
                    here = values[place * width : (place + 1) * width]
                    cells = [Text(value.shown, TERMINAL[value.mark]) for value in here]
                    table.add_row(Text(label), f"{scale}x", *cells)
                table.add_section()
            tables.append(table)
    return tables
