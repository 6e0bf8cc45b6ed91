"""The files of an index: index.html and index.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srbench.index.runs import IndexedRun, read_runs_below
from srbench.index.tables import Table, tables_of
from srbench.reporting import ReportError
from srbench.reporting.files import put_in_place
from srbench.reporting.rendering import rendered, style_and_script
from srbench.reporting.table import distinct
from srbench.run_folder.manifest import is_run
from srbench.terminal.progress import Progress, silent

_CSV = (
    "datasets,images,scale,suite,crop,tile,model,temperature,samples,seed,digest,competes,metric,signature,mean,best,"
    "state,runs"
)


@dataclass(frozen=True)
class Index:
    """An index that was written."""

    page: Path
    runs: list[IndexedRun]
    tables: list[Table]
    left_out: list[str]


def write_index(folders: Sequence[Path], out: Path, progress: Progress = silent) -> Index:
    """Write the index of all runs below some folders into the folder ``out``.

    Raises ReportError if there is no run, or if ``out`` lies in a run folder or has files other than an earlier index.
    """
    out = out.resolve()
    for folder in (out, out.parent):
        if is_run(folder):
            raise ReportError(f"{folder}: is a run; give its parent folder, or another --out")
    runs, left_out = read_runs_below(folders, out, progress)
    tables = tables_of(runs)
    contents = {"index.html": page_text(runs, tables, left_out).encode(), "index.csv": csv_text(tables).encode()}
    put_in_place(out, contents)
    return Index(out / "index.html", runs, tables, left_out)


def page_text(runs: Sequence[IndexedRun], tables: Sequence[Table], left_out: Sequence[str]) -> str:
    """Return the text of index.html. Jinja escapes all names; the security policy permits only our style and script."""
    style = style_and_script(["report.css", "index.css"], ["tables.js", "index.js"])
    return rendered("index.html.jinja", runs=runs, tables=tables, left_out=left_out, distinct=distinct, **style) + "\n"


def csv_text(tables: Sequence[Table]) -> str:
    """Return the text of index.csv: one line per mean."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV.split(","))
    for table in tables:
        protocol = table.protocol
        data = [" = ".join(table.datasets), table.images, protocol.scale, protocol.suite, protocol.crop, protocol.tile]
        for row in table.rows:
            samples, seed = row.entry.draw or (None, None)
            model = [row.setting.model, row.setting.temperature, samples, seed, row.model.digest, row.competes]
            state = [row.runs[0].state, " ".join(run.name for run in row.runs)]
            for metric, mean in zip(table.metrics, row.means, strict=True):
                if not math.isnan(mean.value):
                    writer.writerow([*data, *model, metric.name, metric.signature, mean.value, mean.is_best, *state])
    return text.getvalue()
