"""Results of claims as a table for the terminal; the rows of a run that claims are about."""

from __future__ import annotations

import math
from pathlib import Path

from rich.table import Table
from rich.text import Text

from srbench.explaining.claims import Claims, Judgement, judged, measured_row
from srbench.reporting.results import read_results
from srbench.reporting.tables.terminal import empty_table
from srbench.run_folder.folder import IMAGES
from srbench.terminal.progress import Progress, silent
from srbench.words import printable

_WIDEST = 72
"""Width at which results are broken into lines, so that a table in a file or an e-mail can be read."""


def claim_lines(judgement: Judgement) -> list[str | Table]:
    """Return the table of claims for the terminal, a row per published value, and what is said below it."""
    results = judgement.results
    if not results:
        return []
    sources = list(dict.fromkeys(each.claim.source for each in results))
    has_sources = len(sources) > 1
    has_rows = len({each.claim.row for each in results}) > 1
    columns = ["claim", "measured", *(["source"] if has_sources else [])]
    table = empty_table(columns, (), "" if has_sources else printable(sources[0]))
    table.add_column("result", max_width=_WIDEST)
    for result in results:
        claim, printed = result.claim, result.claim.printed
        cells = [f"{claim.row} " if has_rows else "", "–", *([claim.source] if has_sources else []), result.text]
        cells[0] += f"{claim.metric} {printed.text}"
        if not math.isnan(result.measured):
            cells[1] = f"{result.measured:.{max(printed.digits, 4)}f}"
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return [table, judgement.summary, *judgement.remarks]


def judged_run(
    claims: Claims, run: Path, progress: Progress = silent, workers: int | None = 1, device: str = "auto"
) -> Judgement:
    """Compare claims with the means of a run, and with values of its saved images under other protocols.

    A claim names a setting, such as ``srflow-t0.85``, or a model that has one setting. Arguments are those of
    ``judged``.
    """
    results = read_results([run])
    protocol = results.protocol
    data: dict[str, str | int | None] = {
        "data": protocol.dataset,
        "images": len(results.images),
        "scale": protocol.scale,
        "lr": protocol.lr,
        "crop": protocol.crop,
    }
    hr = run / IMAGES / "hr"
    values, images = results.values, len(results.images)
    rows = {
        setting.folder: measured_row(
            values,
            setting,
            results.metrics,
            run / IMAGES / setting.folder,
            images,
            images - len(values.images[setting]),
        )
        for setting in results.settings
    }
    models = [setting.model for setting in results.settings]
    for setting in results.settings:
        if models.count(setting.model) == 1:
            rows.setdefault(setting.model, rows[setting.folder])
    saved = hr if hr.is_dir() else None
    groups = results.manifest.groups
    return judged(claims, rows, data, saved, None, protocol.scale, progress, workers, device, groups)
