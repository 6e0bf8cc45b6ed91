"""Results of a run as the Hugging Face Hub reads them: ``.eval_results/*.yaml``, or the front matter of a model card.

Only means over all images of the run are exported, with everything they depend on, so that numbers of different
protocols are never on one leaderboard.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from srbench.data import MATLAB_BICUBIC
from srbench.files.atomic import write_new
from srbench.interfaces import MetricFacts
from srbench.reporting import ReportError
from srbench.reporting.measurements import Measurements, read_runs
from srbench.reporting.scores import Cell, Line, scores_of
from srbench.run_folder.protocol import Invocation, Protocol
from srbench.run_folder.records import digest
from srbench.words import number_of


@dataclass(frozen=True)
class Export:
    """Files that were written, and what is not in them."""

    files: list[Path]
    left_out: list[str]
    """Values that are no mean over all images, one sentence each."""


@dataclass(frozen=True)
class _Model:
    """A model at one temperature, and its means over all images."""

    measurements: Measurements
    line: Line
    values: list[tuple[MetricFacts, Cell]]
    dataset: str
    """Name of the dataset on the Hugging Face Hub, or else in the run."""
    source: dict[str, Any]
    """Address at which the run can be read, as an entry ``source``; empty if none was given."""

    @property
    def run(self) -> str:
        """Name of the run folder."""
        return self.measurements.runs[0].name

    @property
    def invocation(self) -> Invocation:
        """The last command that asked for it."""
        return [one for one in self.measurements.manifest.invocations if self.line.setting in one.settings][-1]


def export_runs(
    runs: Sequence[Path], form: str, out: Path | None = None, *, dataset: str | None = None, url: str | None = None
) -> Export:
    """Write the results of runs into a folder, by default named after the format, one of ``FORMATS``.

    ``dataset`` is the name of the data on the Hugging Face Hub, ``url`` the address at which the runs can be read.
    Raises SRBenchError for a folder that is no run or has no mean over all images, and for a file in the way that is
    not what would be written.
    """
    folder = out or Path(form)
    contents: dict[Path, bytes] = {}
    left_out: list[str] = []
    for run in runs:
        models, missing = _models(run, dataset, url)
        left_out += missing
        for model in models:
            name, content = FORMATS[form](model)
            contents[folder / model.line.setting.folder / name] = content.encode()
    for file, data in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_new(file, data)
    return Export(list(contents), left_out)


def _models(run: Path, dataset: str | None, url: str | None) -> tuple[list[_Model], list[str]]:
    """Models of a run with their means over all images, and sentences about means that are not."""
    measurements = read_runs([run])
    scores = scores_of(measurements)
    finite = {
        metric.name: [int(values.map(math.isfinite).sum()) for values in scores.table.columns(metric.name)]
        for metric in scores.metrics
    }
    source = {} if url is None else {"source": {"url": url, "name": f"srbench run {measurements.runs[0].name}"}}
    images = len(measurements.images)
    models, left_out = [], []
    for place, line in enumerate(scores.lines):
        whole = [metric for metric in scores.metrics if finite[metric.name][place] == images]
        left_out += [
            f"{metric.title} of {line.label}: finite on {finite[metric.name][place]} of {number_of(images, 'image')}"
            for metric in scores.metrics
            if metric not in whole
        ]
        if whole:
            values = [(metric, line.cells[metric.name]) for metric in whole]
            models.append(_Model(measurements, line, values, dataset or measurements.protocol.dataset, source))
    if not models:
        raise ReportError(f"{run}: no value is a mean over all images yet; run its command again, then export")
    return models, left_out


def _settings(model: _Model) -> dict[str, str]:
    """Everything but the metric that a value depends on, by name."""
    measurements = model.measurements
    protocol = measurements.protocol
    temperature = model.line.setting.temperature
    settings = {
        "model": model.line.label,
        "model sha256": measurements.manifest.model(model.line.setting.model).digest,
        "scale": f"{protocol.scale}x",
        "data": protocol.dataset,
        "data sha256": digest([measurements.pair_pixels(name) for name in measurements.images]),
        "images": _images(measurements),
        "crop": "" if protocol.crop is None else f"the central {protocol.crop} x {protocol.crop} of HR",
        "LR": protocol.lr,
        "suite": protocol.suite,
        "temperature": "" if temperature is None else repr(temperature),
        "samples per image": "" if temperature is None else str(protocol.samples),
        "seed": "" if temperature is None else str(protocol.seed),
        "tile": "" if protocol.tile is None else f"{protocol.tile} LR pixels",
        "run": model.run,
        "command": model.invocation.command,
    }
    return {name: text for name, text in settings.items() if text}


def _images(measurements: Measurements) -> str:
    """``100``, or ``10 of 100`` for a part of a dataset."""
    measured, everything = len(measurements.images), len(measurements.manifest.images)
    return str(measured) if measured == everything else f"{measured} of {everything}"


def task_name(metric: MetricFacts, protocol: Protocol, images: str) -> str:
    """Name of a leaderboard on which values of a metric can stand: equal only for equal protocols and images."""
    parts = [f"x{protocol.scale}", metric.signature]
    parts += [protocol.lr] if protocol.lr != MATLAB_BICUBIC else []
    parts += [f"crop {protocol.crop}"] if protocol.crop is not None else []
    parts += [images] if " of " in images else []
    return re.sub(r"[^a-z0-9.+]+", "-", " ".join(parts).lower()).strip("-.") or "unnamed"


def _eval_results(model: _Model) -> tuple[str, str]:
    """Name and text of a file that belongs into the repository of the model.

    The format is that of https://huggingface.co/docs/hub/eval-results: a list of values, each of a task of a dataset.
    """
    images = _images(model.measurements)
    settings = _settings(model)
    entries = [
        {
            "dataset": {
                "id": model.dataset,
                "task_id": task_name(metric, model.measurements.protocol, images),
            },
            "value": cell.mean,
            "date": model.invocation.finished or model.invocation.started,
            **model.source,
            "notes": "; ".join(f"{name}: {text}" for name, text in {"signature": metric.signature, **settings}.items()),
        }
        for metric, cell in model.values
    ]
    return f".eval_results/{model.run}.yaml", _yaml(entries)


def _model_index(model: _Model) -> tuple[str, str]:
    """Name and text of the front matter of a model card, the older form.

    The format is that of https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
    """
    protocol = model.measurements.protocol
    metrics = []
    for metric, cell in model.values:
        interval = {} if math.isnan(cell.low) else {"interval95": [cell.low, cell.high]}
        arguments = {"signature": metric.signature, **interval}
        metrics.append({"type": metric.name, "value": cell.mean, "name": metric.title, "args": arguments})
    result = {
        "task": {"type": "image-to-image", "name": f"Super-resolution {protocol.scale}x"},
        "dataset": {"type": model.dataset, "name": protocol.dataset, "args": _settings(model)},
        "metrics": metrics,
        **model.source,
    }
    index = {"model-index": [{"name": model.line.label, "results": [result]}]}
    return f"{model.run}.md", f"---\n{_yaml(index)}---\n"


def _yaml(content: object) -> str:
    """YAML in which every number has all its digits, with the keys in their order."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return text


FORMATS: dict[str, Callable[[_Model], tuple[str, str]]] = {"hf-eval": _eval_results, "model-index": _model_index}
"""Functions that return name and text of the file of a model, by format."""
