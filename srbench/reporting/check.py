"""Check a written report against the records of its run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Literal, NamedTuple

from srbench.interfaces import SRBenchError
from srbench.reporting.files import FILE, FOLDER, changed_files, read_listing, records_of
from srbench.reporting.measurements import read_runs
from srbench.reporting.report import FORMATS
from srbench.reporting.scores import markdown_table, scores_of
from srbench.run_folder.results import csv_texts

Kind = Literal["numbers", "changed", "missing", "older"]
"""``numbers``: do not follow from the records; ``changed``: a file differs from report.json; ``missing``: a file is
gone or cannot be checked; ``older``: the report was written before the last records."""
_TOLERANCE = 1e-9
"""Relative tolerance for values, which covers the rounding of other processors and library versions."""


class ReportFinding(NamedTuple):
    """A fault of a report: its kind, the file in the run folder, and what is wrong."""

    kind: Kind
    where: str
    text: str


def report_findings(run: Path) -> list[ReportFinding]:
    """Compare the report of a run with its listing report.json, and its numbers with the records.

    Checks table.csv, rows.csv and the first table of report.md. Returns an empty list if there is no report.
    """
    folder = run / FOLDER
    if not folder.is_dir():
        return []
    listing = read_listing(folder)
    if listing is None:
        return [ReportFinding("missing", f"{FOLDER}/{FILE}", "missing or damaged; run srbench report")]
    changed = [path.relative_to(run).as_posix() for path in changed_files(folder, listing)]
    findings = [ReportFinding("changed", name, f"does not match its SHA-256 in {FILE}") for name in changed]
    missing = [f"{FOLDER}/{name}" for name in listing.files if not (folder / name).is_file()]
    findings += [ReportFinding("missing", name, "is not here; run srbench report") for name in missing]
    if listing.records != records_of(run):
        text = "was written before the last records; run srbench report"
        return [*findings, ReportFinding("older", FOLDER, text)]
    try:
        return [*findings, *_numbers(run)]
    except SRBenchError as error:
        return [*findings, ReportFinding("missing", FOLDER, f"its tables cannot be made again: {error}")]


def _numbers(run: Path) -> Iterator[ReportFinding]:
    """Yield differences between the tables of a report and the tables made from the records."""
    measurements = read_runs([run])
    scores = scores_of(measurements)
    metrics = (*measurements.metrics, *scores.sets)
    texts = csv_texts(scores.table, scores.summary, metrics, measurements.protocol, scores.family_columns)
    made = {name: _csv_cells(text) for name, text in texts.items()}
    made[FORMATS["md"]] = _table_cells(markdown_table(scores, scores.competing))
    for name, cells in made.items():
        file = run / FOLDER / name
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            difference = _difference(_csv_cells(text) if name in texts else _table_cells(text), cells)
            if difference:
                yield ReportFinding("numbers", f"{FOLDER}/{name}", difference)


_Cells = dict[tuple[str, str], str]
"""Text of a cell by row and column."""


def _csv_cells(text: str) -> _Cells:
    """Return the cells of a CSV by line number, without intervals, which numpy may change with its random numbers."""
    rows = csv.DictReader(io.StringIO(text))
    return {
        (f"line {number}", column): str(cell)
        for number, row in enumerate(rows, 2)
        for column, cell in row.items()
        if column is not None and not column.endswith(("_low", "_high"))
    }


def _table_cells(text: str) -> _Cells:
    """Return the cells of the first table in a Markdown text, without bold marks, by the first cell of their row."""
    lines = [line.strip() for line in text.splitlines()]
    table = list(takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines)))
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table]
    return {(row[0], column): cell for row in rows[2:] for column, cell in zip(rows[0], row, strict=False)}


def _difference(printed: _Cells, made: _Cells) -> str:
    """Describe the first cell of a table that differs from the records; empty if none does."""
    for (row, column), cell in made.items():
        shown = printed.get((row, column), "nothing")
        if shown != cell and not _are_close(shown, cell):
            return f"shows {shown} for {row}, {column}, and its records give {cell}"
    return ""


def _are_close(shown: str, cell: str) -> bool:
    try:
        return math.isclose(float(shown), float(cell), rel_tol=_TOLERANCE)
    except ValueError:
        return False
