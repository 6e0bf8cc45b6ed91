"""What a report prints, against the records of its run."""

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
"""Numbers that do not follow from the records; a file that is not the one that report.json lists; a file that is not
here or cannot be checked; a report made before the last records."""
_TOLERANCE = 1e-9
"""Largest relative difference of two values: other processors and versions of libraries differ less."""


class ReportFinding(NamedTuple):
    """Something that is wrong with a report, in a file of the folder of the run."""

    kind: Kind
    where: str
    text: str


def report_findings(run: Path) -> list[ReportFinding]:
    """Compare the report in the folder of a run with its list, and the numbers of its tables with the records.

    The tables are table.csv and rows.csv, and the first one in report.md. Returns nothing if there is no report.
    """
    folder = run / FOLDER
    if not folder.is_dir():
        return []
    listing = read_listing(folder)
    if listing is None:
        return [ReportFinding("missing", f"{FOLDER}/{FILE}", "missing or damaged; run srbench report")]
    changed = [path.relative_to(run).as_posix() for path in changed_files(folder, listing)]
    findings = [ReportFinding("changed", name, f"is not the file that {FILE} lists") for name in changed]
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
    """Differences between the tables of a report and those of its records."""
    measurements = read_runs([run])
    scores = scores_of(measurements)
    texts = csv_texts(scores.table, scores.summary, measurements.metrics, measurements.protocol, scores.family_columns)
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
"""Text by row and column."""


def _csv_cells(text: str) -> _Cells:
    """Cells of a CSV file by number of the line; no ends of intervals, which depend on the version of scipy."""
    rows = csv.DictReader(io.StringIO(text))
    return {
        (f"line {number}", column): str(cell)
        for number, row in enumerate(rows, 2)
        for column, cell in row.items()
        if column is not None and not column.endswith(("_low", "_high"))
    }


def _table_cells(text: str) -> _Cells:
    """Cells of the first table of a Markdown text, without their marks, by the first cell of the row."""
    lines = [line.strip() for line in text.splitlines()]
    table = list(takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines)))
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table]
    return {(row[0], column): cell for row in rows[2:] for column, cell in zip(rows[0], row, strict=False)}


def _difference(printed: _Cells, made: _Cells) -> str:
    """The first cell that a table prints otherwise than its records give; empty if there is none."""
    for (row, column), cell in made.items():
        shown = printed.get((row, column), "nothing")
        if shown != cell and not _are_close(shown, cell):
            return f"shows {shown} for {row}, {column}, and its records give {cell}"
    return ""


def _are_close(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=_TOLERANCE)
    except ValueError:
        return False
