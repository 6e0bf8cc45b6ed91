"""The table of ``srbench measure`` for several folders: means, intervals and paired tests, as for a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from srbench.reporting.answer import answer
from srbench.reporting.latex import captioned_table, escape
from srbench.reporting.rendering import rendered
from srbench.reporting.scores import interval_table, joined, markdown_table, score, terminal_table
from srbench.run_folder.measured import Measured
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import Value
from srbench.run_folder.results import ResultTable, summary_csv
from srbench.words import number_of


def folders_text(folders: Sequence[Measured], form: str, hr: str | None) -> list[str | Table]:
    """Format the table of folders with outputs for the same images; ``form`` is ``table``, ``md``, ``tex`` or ``csv``.

    ``hr`` is the name of the folder of HR images; None: there are none.
    """
    metrics = tuple({metric.name: metric for folder in folders for metric in folder.metrics}.values())
    names = tuple(metric.name for metric in metrics if metric.per != "folder")
    missing: dict[str, Value] = dict.fromkeys(names, math.nan)
    rows = [
        (folder.label, None, image, missing | values) for folder in folders for image, values in folder.values.items()
    ]
    folder_values = {
        Setting(folder.label, None): {metric.name: folder.mean(metric.name) for metric in folder.folder_metrics}
        for folder in folders
    }
    table = ResultTable.from_values(rows, names, folder_values)
    scores = score(table, metrics)
    if form == "csv":
        return [summary_csv(table, scores.summary, metrics, folders[0].suite, {}).rstrip("\n")]
    images = len(folders[0].values)
    if form == "tex":
        against = "without references" if hr is None else f"compared with {escape(hr)}"
        subject = f"{number_of(images, 'image')} {against}, protocol {escape(folders[0].suite)}"
        return [captioned_table(scores, subject, hr or "measured", intervals=False).rstrip("\n")]
    if form == "table":
        return [terminal_table(scores), *filter(None, [scores.left_out]), *answer(scores)]
    return [
        rendered(
            "folders.md.jinja",
            answer=answer(scores),
            score_table=markdown_table(scores, scores.competing),
            interval_table=interval_table(scores),
            left_out=scores.left_out,
            metrics=scores.columns,
            of_all=joined([metric.title for metric in scores.folder_metrics]),
            suite=folders[0].suite,
            hr=hr,
        ).rstrip("\n")
    ]
