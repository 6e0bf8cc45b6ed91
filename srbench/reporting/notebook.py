"""Results as the output of a notebook cell: the answer, the table, a strip and the folder."""

from __future__ import annotations

from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

from srbench.interfaces import SRBenchError
from srbench.reporting import ReportError
from srbench.reporting.answer import answer
from srbench.reporting.figures.image_files import strip_of
from srbench.reporting.measurements import Measurements, read_runs
from srbench.reporting.page.images import small
from srbench.reporting.rendering import rendered
from srbench.reporting.scores import scores_of

_SIDE = 720
"""Longest side of the strip in pixels."""


def notebook_html(folder: Path, failures: int = 0, *, temporary: bool = False) -> str:
    """Return self-contained HTML of a run folder for a notebook cell, without scripts.

    The strip shows the first image whose pair and outputs are saved. For an unreadable folder, the HTML is the error.
    """
    try:
        measurements = read_runs([folder])
    except SRBenchError as error:
        return f"<p>{escape(str(error))}</p>"
    scores = scores_of(measurements)
    return rendered(
        "results.html.jinja",
        folder=folder,
        temporary=temporary,
        failures=failures,
        protocol=measurements.protocol,
        answer=answer(scores),
        scores=scores,
        strip=_strip(measurements),
    )


def _strip(measurements: Measurements) -> tuple[str, str] | None:
    """Return the name of an image and the ``data:`` address of its strip; None if no image is saved."""
    kept = (row.image for row in measurements.rows if measurements.outputs(row) and measurements.pair(row.image))
    name = next(kept, None)
    if name is None:
        return None
    try:
        png = strip_of(measurements, name)
    except ReportError:
        return None  # sizes of the images contradict each other; show only the table
    with Image.open(BytesIO(png), formats=["PNG"]) as strip:
        return name, small(strip, _SIDE)
