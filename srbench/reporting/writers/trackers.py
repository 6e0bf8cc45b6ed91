"""The report of runs in an experiment tracker, through Accelerate: means, intervals, the table and one strip."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image

from srbench.machine.trackers import PROJECT, TrackerError, require_tracker, settings_of
from srbench.models.names import as_label
from srbench.reporting.figures.first_view import leaders
from srbench.reporting.figures.image_files import strip_of
from srbench.reporting.generated_folder import records_of
from srbench.reporting.results import Runs, read_results
from srbench.reporting.tables.csv import table_csv
from srbench.reporting.tables.markdown import interval_table, markdown_table
from srbench.reporting.tables.table import Table, header, table_of_runs
from srbench.run_folder.records import digest
from srbench.words import one_line

FOLDER = Path("runs/tensorboard")
"""Folder of TensorBoard's logs; a report has a folder in it."""
_MLFLOW = {"+": " plus ", "@": "at"}
"""Words for signs of labels that names of MLflow may not contain; further signs become ``_``."""


def log_report(folders: Sequence[Path], tracker: str) -> str:
    """Log the table of one or several runs as one run of a tracker; returns its name.

    Every call logs a run. Its name ends in a digest of the records, so equal names are equal results. Means are called
    ``psnr/srflow-t0.8``, the ends of their 95 % intervals ``psnr_low/...`` and ``psnr_high/...``; values that are
    missing or not finite are left out. The strip shows the image on which the leading models differ most.

    Raises:
        TrackerError: The tracker is not installed, or failed.
        SRBenchError: A folder is no run, has no results, or the runs cannot share a table.
    """
    require_tracker(tracker)
    results = read_results(folders)
    table = table_of_runs(results)
    names = "-".join(as_label(run.name, "-") for run in results.runs)
    name = f"{names[:100]}-{digest(*(records_of(run.folder.path) for run in results.runs))[:8]}"
    image = next(iter(leaders(results, table)[1]), None)
    strip = None if image is None else Image.open(BytesIO(strip_of(results, image)), formats=["PNG"])
    try:
        accelerator = Accelerator(cpu=True, log_with=tracker, project_dir=FOLDER)
        accelerator.init_trackers(name if tracker == "tensorboard" else PROJECT, init_kwargs=settings_of(name, 0))
        [open_tracker] = accelerator.trackers
        numbers = {
            f"{name}/{line.setting.folder}": number
            for line in table.lines
            for name, number in line.numbers.items()
            if math.isfinite(number)
        }
        _LOG[tracker](open_tracker, numbers, results, table, strip)
        open_tracker.finish()
    except Exception as error:  # each tracker has errors of its own
        raise TrackerError(f"--log-with {tracker}: {one_line(error)}; the report itself is written") from error
    return name


def _printed(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the printed table; of variants as well."""
    columns = ["model", *(header(metric) for metric in table.columns), "n"]
    return columns, [[line.label, *(cell.text for cell in table.cells(line)), str(line.n)] for line in table.shown]


def _tensorboard(tracker: Any, numbers: dict[str, float], _: Runs, table: Table, strip: Any) -> None:  # noqa: ANN401
    parts = [markdown_table(table), markdown_table(table, "variants") if table.variants else "", interval_table(table)]
    tracker.log({**numbers, "table": "\n\n".join(filter(None, parts))}, 0)
    if strip is not None:
        tracker.log_images({"strip": np.asarray(strip.convert("RGB"))[None]}, 0, dataformats="NHWC")


def _wandb(tracker: Any, numbers: dict[str, float], _: Runs, table: Table, strip: Any) -> None:  # noqa: ANN401
    columns, rows = _printed(table)
    tracker.log(numbers, 0)
    tracker.log_table("table", columns, rows, step=0)
    if strip is not None:
        tracker.log_images({"strip": [strip]}, 0)


def _trackio(tracker: Any, numbers: dict[str, float], _: Runs, table: Table, strip: Any) -> None:  # noqa: ANN401
    import pandas as pd
    import trackio

    columns, rows = _printed(table)
    images = {} if strip is None else {"strip": trackio.Image(strip)}
    tracker.log({**numbers, "table": trackio.Table(dataframe=pd.DataFrame(rows, columns=columns)), **images}, 0)


def _mlflow(tracker: Any, numbers: dict[str, float], results: Runs, table: Table, strip: Any) -> None:  # noqa: ANN401
    renamed = {re.sub(r"[^\w/. -]", lambda sign: _MLFLOW.get(sign[0], "_"), name): name for name in numbers}
    if len(renamed) < len(numbers):
        raise TrackerError("two models have equal names without the signs that MLflow refuses; choose other labels")
    tracker.log({new: numbers[name] for new, name in renamed.items()}, 0)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "table.csv").write_text(table_csv(table, results.protocol.suite, results.protocol), encoding="utf-8")
        if strip is not None:
            strip.save(folder / "strip.png")
        tracker.log_artifacts(temporary)


_LOG: dict[str, Callable[[Any, dict[str, float], Runs, Table, Any], None]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
    "mlflow": _mlflow,
}
