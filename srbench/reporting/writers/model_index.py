"""Results of a run for the model card of exported weights, as hubs read them."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

from huggingface_hub import EvalResult

from srbench.models.names import ModelSpec
from srbench.reporting import ReportError
from srbench.reporting.results import read_results
from srbench.reporting.tables.families import one_each
from srbench.reporting.tables.table import table_of_runs
from srbench.weights.card_header import TASK


def results_of_weights(run: Path, hashes: Collection[str], temperature: float | None) -> list[EvalResult]:
    """Return means and 95 % intervals in a run of the plain model with certain weights, one result per metric.

    Models in half precision, interpolated or projected onto LR are not the plain model.

    Args:
        run: Run folder.
        hashes: SHA-256 of the weights files that hold the weights.
        temperature: Temperature of the row, of a model that samples; None: that of the row that represents the model.

    Raises:
        ReportError: The run has no such row.
        SRBenchError: The folder is no run, or has no results.
    """
    results = read_results([run])
    own = {
        model.label
        for model in results.models
        if model.weights is not None and model.weights.sha256 in hashes and _is_plain(model.spec)
    }
    table, protocol = table_of_runs(results), results.protocol
    first = one_each(results.settings, results.models)
    lines = [line for place, line in enumerate(table.lines) if temperature is not None or place in first]
    fitting = [line for line in lines if temperature is None or line.setting.temperature in (None, temperature)]
    line = next((line for line in fitting if line.setting.model in own), None)
    if line is None:
        rows = ", ".join(line.label for line in table.lines)
        at = "" if temperature is None else f" at temperature {temperature:g}"
        raise ReportError(f"{run}: none of its rows ({rows}) is of these weights{at}; name a run that measured them")
    arguments: dict[str, object] = {"images": line.images, "lr": protocol.lr, "suite": protocol.suite}
    if protocol.crop is not None:
        arguments["crop"] = protocol.crop
    if line.setting.temperature is not None:
        arguments |= {"temperature": line.setting.temperature, "samples": protocol.samples}
    found = []
    for metric in table.metrics:
        cell = line.cells[metric.name]
        if math.isfinite(cell.mean):
            interval = {"low": cell.low, "high": cell.high} if math.isfinite(cell.low + cell.high) else {}
            rounded = {end: round(value, metric.digits) for end, value in interval.items()}
            found.append(
                EvalResult(
                    task_type=TASK,
                    task_name=f"{protocol.scale}x super-resolution",
                    dataset_type=protocol.dataset,
                    dataset_name=protocol.dataset,
                    dataset_args=arguments,
                    metric_type=metric.name,
                    metric_name=metric.title,
                    metric_value=round(cell.mean, metric.digits),
                    metric_args={"signature": metric.signature, "unit": metric.unit, **rounded},
                )
            )
    return found


def _is_plain(spec: str) -> bool:
    parsed = ModelSpec.parse(spec)
    return parsed.strength is None and not parsed.suffix
