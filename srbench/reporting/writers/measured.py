"""What ``srbench measure`` prints: rows per image for one folder;
for several, the table of a run, with paired tests.
"""

from __future__ import annotations

from dataclasses import replace

from rich.table import Table as TerminalTable

from srbench.benchmark.measure import FolderValues
from srbench.reporting.tables.csv import rows_csv, table_csv
from srbench.reporting.tables.latex import captioned_table, escape
from srbench.reporting.tables.markdown import interval_table, markdown_table
from srbench.reporting.tables.summary import summary
from srbench.reporting.tables.table import other_means, table_of
from srbench.reporting.tables.templating import rendered
from srbench.reporting.tables.terminal import image_table, terminal_table
from srbench.words import number_of


def measured_text(measured: FolderValues, form: str, hr: str | None) -> list[str | TerminalTable]:
    """Format measured folders as ``table``, ``md``, ``tex`` or ``csv``.

    ``hr`` is the name of the folder of HR images; None: there are none.
    """
    metrics = tuple({metric.name: metric for each in measured.metrics.values() for metric in each}.values())
    values, suite = measured.values, measured.suite
    if len(values.settings) == 1 and form == "table":
        return [image_table(values, metrics), *filter(None, [measured.left_out])]
    if len(values.settings) == 1 and form == "csv":
        return [rows_csv(values, metrics, suite, missing=False).rstrip("\n")]
    table = table_of(values, metrics)
    table = replace(table, left_out=" ".join(filter(None, [table.left_out, measured.left_out])))
    if form == "csv":
        return [table_csv(table, suite).rstrip("\n")]
    if form == "tex":
        images = number_of(len(values.images[values.settings[0]]), "image")
        if values.unit_of:
            images += f" in {number_of(values.count(values.settings[0]), 'group')}"
        against = "without references" if hr is None else f"compared with {escape(hr)}"
        subject = f"{images} {against}, protocol {escape(suite)}"
        return [captioned_table(table, subject, hr or "measured", intervals=False).rstrip("\n")]
    if form == "table":
        return [terminal_table(table), *filter(None, [table.left_out]), *summary(table)]
    return [
        rendered(
            "folders.md.jinja",
            table=table,
            summary=summary(table),
            score_table=markdown_table(table),
            interval_table=interval_table(table),
            left_out=table.left_out,
            metrics=table.columns,
            other_means=other_means(table.columns),
            suite=suite,
            hr=hr,
        ).rstrip("\n")
    ]
