"""The table of ``srbench measure`` for several folders: means, intervals and paired tests, as for a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table as TerminalTable

from srbench.reporting.answer import answer
from srbench.reporting.latex import captioned_table, escape
from srbench.reporting.rendering import rendered
from srbench.reporting.table import table_of
from srbench.reporting.text import interval_table, markdown_table, table_csv, terminal_table
from srbench.run_folder.measured import Measured
from srbench.run_folder.protocol import Setting
from srbench.run_folder.values import Values
from srbench.words import joined, number_of


def folders_text(folders: Sequence[Measured], form: str, hr: str | None) -> list[str | TerminalTable]:
    """Format the table of folders with outputs for the same images; ``form`` is ``table``, ``md``, ``tex`` or ``csv``.

    ``hr`` is the name of the folder of HR images; None: there are none.
    """
    metrics = tuple({metric.name: metric for folder in folders for metric in folder.metrics}.values())
    values = Values(
        {Setting(folder.label, None): folder.values for folder in folders},
        {
            Setting(folder.label, None): {metric.name: folder.mean(metric.name) for metric in folder.folder_metrics}
            for folder in folders
        },
    )
    table = table_of(values, metrics)
    if form == "csv":
        return [table_csv(table, folders[0].suite).rstrip("\n")]
    images = len(folders[0].values)
    if form == "tex":
        against = "without references" if hr is None else f"compared with {escape(hr)}"
        subject = f"{number_of(images, 'image')} {against}, protocol {escape(folders[0].suite)}"
        return [captioned_table(table, subject, hr or "measured", intervals=False).rstrip("\n")]
    if form == "table":
        return [terminal_table(table), *filter(None, [table.left_out]), *answer(table)]
    return [
        rendered(
            "folders.md.jinja",
            answer=answer(table),
            score_table=markdown_table(table),
            interval_table=interval_table(table),
            left_out=table.left_out,
            metrics=table.columns,
            of_all=joined([metric.title for metric in table.folder_columns]),
            suite=folders[0].suite,
            hr=hr,
        ).rstrip("\n")
    ]
