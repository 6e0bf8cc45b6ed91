"""Report of a matrix: the table of a paper, with the reports of its cells behind it, in Markdown, HTML, LaTeX and CSV.

Every suite has a table, as its metrics are its own. Rows are models, in a block per scale; groups of columns are
datasets. Cells keep the marks of their own reports: nothing is compared across protocols, datasets or scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.table import Table
from rich.text import Text

from srbench.matrix import MatrixError
from srbench.matrix.folder import Cell, Matrix, read_matrix
from srbench.pages import markdown
from srbench.reporting.files import FOLDER, put_in_place
from srbench.reporting.matrix.latex import latex_tables
from srbench.reporting.matrix.parts import MISSING, Entry, Part, Value
from srbench.reporting.measurements import read_runs
from srbench.reporting.rendering import rendered, source
from srbench.reporting.scores import empty_table, header, scores_of
from srbench.run_folder import RunFolderError
from srbench.run_folder.manifest import FILE as MANIFEST

_FILES = {"md": "report.md", "html": "report.html", "tex": "table.tex", "csv": "table.csv"}


@dataclass(frozen=True)
class MatrixReport:
    """Files that were written, in the order of the formats, and their tables."""

    files: list[Path]
    parts: list[Part]
    notes: list[str]


def write_matrix_report(path: Path, formats: Sequence[str] = tuple(_FILES), out: Path | None = None) -> MatrixReport:
    """Write report.md, report.html, table.tex and table.csv of a matrix into ``report`` in its folder, or ``out``.

    Links lead to the reports of its cells, which ``srbench.reporting.report`` writes. Raises MatrixError if no cell has
    been measured, SRBenchError if one is damaged.
    """
    matrix = read_matrix(path)
    entries, notes = _entries(path, matrix)
    by_suite: dict[str, list[Entry]] = {}
    for entry in entries:
        by_suite.setdefault(entry.measurements.protocol.suite, []).append(entry)
    parts = [_part(suite, group) for suite, group in by_suite.items()]
    base = "../" if out is None else f"{path.resolve().as_uri()}/"
    facts = {"matrix": matrix, "parts": parts, "notes": notes, "base": base}
    texts = {
        "md": rendered("matrix.md.jinja", table=_markdown_table, **facts) + "\n",
        "html": rendered("matrix.html.jinja", style=source("report.css"), **facts) + "\n",
        "tex": latex_tables(parts),
        "csv": _csv(entries),
    }
    folder = path / FOLDER if out is None else out
    put_in_place(folder, {file: texts[name].encode() for name, file in _FILES.items() if name in formats})
    return MatrixReport([folder / file for name, file in _FILES.items() if name in formats], parts, notes)


def _entries(path: Path, matrix: Matrix) -> tuple[list[Entry], list[str]]:
    """Cells that have been measured, and notes about missing ones and missing images."""
    entries, notes = [], []
    for cell in matrix.cells:
        run = path / cell.name
        try:
            if not (run / MANIFEST).is_file():
                raise RunFolderError(f"{run}: not begun")
            measurements = read_runs([run])
        except RunFolderError:
            notes.append(f"{_place(cell)}: nothing is measured yet.")
            continue
        entry = Entry(cell, measurements, scores_of(measurements))
        entries.append(entry)
        notes += [
            f"{_place(cell)}: {line.label} has {line.images} of {len(measurements.images)} images."
            for line in entry.scores.lines
            if line.images < len(measurements.images)
        ]
    if not entries:
        raise MatrixError(f"{path}: nothing of it is measured yet; run its command: {matrix.command}")
    return entries, notes


def _place(cell: Cell) -> str:
    return f"{cell.group} x{cell.scale}, {cell.suite}"


def _part(suite: str, entries: list[Entry]) -> Part:
    metrics = {metric.name: metric for entry in entries for metric in entry.scores.metrics}
    groups = list(dict.fromkeys(entry.cell.group for entry in entries))
    values: dict[int, dict[str, dict[tuple[str, str], Value]]] = {}
    competing: set[tuple[int, str]] = set()
    for entry in entries:
        competing |= {(entry.cell.scale, line.label) for line in entry.scores.competing}
        for line in entry.scores.lines:
            is_partial = line.images < len(entry.measurements.images)
            row = values.setdefault(entry.cell.scale, {}).setdefault(line.label, {})
            for name, cell in line.cells.items():
                row[entry.cell.group, name] = Value(cell.text, cell.is_best, is_partial)
    columns = [(group, name) for group in groups for name in metrics]
    blocks = [
        (scale, [(label, [rows[label].get(column, MISSING) for column in columns]) for label in labels])
        for scale, rows in values.items()
        for is_first in (True, False)
        if (labels := [label for label in rows if ((scale, label) in competing) == is_first])
    ]
    return Part(suite, list(metrics.values()), groups, blocks, entries)


def _markdown_table(part: Part) -> str:
    columns = [f"{markdown.escape(group)} {header(metric)}" for group in part.groups for metric in part.metrics]
    lines = [
        [
            markdown.escape(label),
            f"{scale}x",
            *(f"**{value.shown}**" if value.is_best else value.shown for value in values),
        ]
        for scale, rows in part.blocks
        for label, values in rows
    ]
    return markdown.table(["model", "scale", *columns], lines)


def _csv(entries: Sequence[Entry]) -> str:
    """One line per mean: its place, its value, its interval, and the number of images."""
    records = [
        {
            "suite": entry.measurements.protocol.suite,
            "data": entry.cell.group,
            "scale": entry.cell.scale,
            "model": line.setting.model,
            "temperature": line.setting.temperature,
            "family": family,
            "competes": competes,
            "metric": metric.name,
            "mean": cell.mean,
            "low": cell.low,
            "high": cell.high,
            "n": line.images,
            "signature": metric.signature,
        }
        for entry in entries
        for line, family, competes in zip(entry.scores.lines, *entry.scores.family_columns.values(), strict=True)
        for metric, cell in zip(entry.scores.metrics, line.cells.values(), strict=True)
    ]
    return pd.DataFrame.from_records(records).to_csv(index=False, lineterminator="\n")


def terminal_tables(parts: Sequence[Part]) -> list[Table]:
    """Tables for the terminal, one per suite and dataset, as narrow as those of single runs."""
    tables = []
    for part in parts:
        width = len(part.metrics)
        for place, group in enumerate(part.groups):
            table = empty_table(("model", "scale"), part.metrics, title=f"{group}, {part.suite}")
            for scale, rows in part.blocks:
                for label, values in rows:
                    here = values[place * width : (place + 1) * width]
                    cells = [Text(value.shown, "bold" if value.is_best else "") for value in here]
                    table.add_row(Text(label), f"{scale}x", *cells)
                table.add_section()
            tables.append(table)
    return tables
