"""Results as the output of a notebook cell: the summary, the table, a strip and the folder."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from srbench.reporting import ReportError
from srbench.reporting.figures.image_files import strip_of
from srbench.reporting.figures.page_images import small
from srbench.reporting.results import Runs
from srbench.reporting.tables.summary import summary
from srbench.reporting.tables.table import table_of_runs
from srbench.reporting.tables.templating import rendered

_SIDE = 720
"""Longest side of the strip in pixels."""


def notebook_html(results: Runs, failures: int = 0, *, temporary: bool = False) -> str:
    """Return self-contained HTML of the results of a run for a notebook cell, without scripts.

    The strip shows the first image whose pair and outputs are saved.
    """
    table = table_of_runs(results)
    return rendered(
        "notebook.html.jinja",
        folder=results.runs[0].folder.path,
        temporary=temporary,
        failures=failures,
        protocol=results.protocol,
        summary=summary(table),
        table=table,
        strip=_strip(results),
    )


def _strip(results: Runs) -> tuple[str, str] | None:
    """Return the name of an image and the ``data:`` address of its strip; None if no image is saved."""
    kept = (row.image for row in results.measurements if results.outputs(row) and results.pair(row.image))
    name = next(kept, None)
    if name is None:
        return None
    try:
        png = strip_of(results, name)
    except ReportError:
        return None  # sizes of the images contradict each other; show only the table
    with Image.open(BytesIO(png), formats=["PNG"]) as strip:
        return name, small(strip, _SIDE)
