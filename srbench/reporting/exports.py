"""Export of a run as ``.eval_results/*.yaml``, which the Hugging Face Hub reads from the repository of a model.

The format is https://huggingface.co/docs/hub/eval-results: a list of values, each for a task of a dataset. Only means
over all images of the run are exported, with everything they depend on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srbench.data import MATLAB_BICUBIC
from srbench.files.atomic import write_new
from srbench.interfaces import MetricFacts
from srbench.reporting import ReportError
from srbench.reporting.measurements import Measurements, read_runs
from srbench.reporting.scores import Line, scores_of
from srbench.run_folder.protocol import Protocol
from srbench.run_folder.records import digest
from srbench.words import number_of

FORMAT = "hf-eval"


@dataclass(frozen=True)
class Export:
    """The files of an export, and the values left out."""

    files: list[Path]
    left_out: list[str]
    """A sentence for each value that is not a mean over all images."""


def export_runs(
    runs: Sequence[Path], out: Path | None = None, *, dataset: str | None = None, url: str | None = None
) -> Export:
    """Write ``OUT/SETTING/.eval_results/RUN.yaml`` for every model and temperature of some runs.

    ``dataset`` is the name of the data on the Hugging Face Hub, by default its name in the run; ``url`` is the address
    where the runs are published. Raises SRBenchError for a folder that is no run or has no mean over all images, and
    for an existing file with other content.
    """
    contents: dict[Path, bytes] = {}
    left_out: list[str] = []
    for run in runs:
        measurements = read_runs([run])
        name = measurements.runs[0].name
        source: dict[str, object] = {} if url is None else {"source": {"url": url, "name": f"srbench run {name}"}}
        settings, missing = _entries(measurements, dataset or measurements.protocol.dataset, source)
        if not settings:
            raise ReportError(f"{run}: no value is a mean over all images yet; run its command again, then export")
        left_out += missing
        for folder, entries in settings.items():
            contents[(out or Path(FORMAT)) / folder / ".eval_results" / f"{name}.yaml"] = _yaml(entries).encode()
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_new(file, content)
    return Export(list(contents), left_out)


def _entries(
    measurements: Measurements, dataset: str, source: dict[str, object]
) -> tuple[dict[str, list[dict[str, object]]], list[str]]:
    """Return means over all images by folder of the setting, and sentences on the means left out."""
    scores = scores_of(measurements)
    images = len(measurements.images)
    finite = {
        metric.name: [int(values.map(math.isfinite).sum()) for values in scores.table.columns(metric.name)]
        for metric in scores.metrics
    }
    for metric in scores.sets:
        finite[metric.name] = [
            line.images if math.isfinite(line.cells[metric.name].mean) else 0 for line in scores.lines
        ]
    settings: dict[str, list[dict[str, object]]] = {}
    left_out = []
    for row, line in enumerate(scores.lines):
        made_by = [call for call in measurements.manifest.invocations if line.setting in call.settings][-1]
        facts = _facts(measurements, line) | {"run": measurements.runs[0].name, "command": made_by.command}
        for metric in scores.columns:
            if finite[metric.name][row] < images:
                of = f"{finite[metric.name][row]} of {number_of(images, 'image')}"
                left_out.append(f"{metric.title} of {line.label}: finite on {of}")
                continue
            entry = {
                "dataset": {"id": dataset, "task_id": task_name(metric, measurements.protocol, facts["images"])},
                "value": line.cells[metric.name].mean,
                "date": made_by.finished or made_by.started,
                **source,
                "notes": "; ".join(
                    f"{name}: {text}" for name, text in {"signature": metric.signature, **facts}.items()
                ),
            }
            settings.setdefault(line.setting.folder, []).append(entry)
    return settings, left_out


def _yaml(entries: Sequence[Mapping[str, object]]) -> str:
    """Format a list of tables as YAML; strings and inner tables are JSON, which is valid YAML."""
    lines = []
    for entry in entries:
        mark = "-"
        for key, value in entry.items():
            # without an exponent: YAML 1.1 reads 1e-05 as a string
            text = (
                np.format_float_positional(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
            )
            lines.append(f"{mark} {key}: {text}")
            mark = " "
    return "\n".join(lines) + "\n"


def _facts(measurements: Measurements, line: Line) -> dict[str, str]:
    """Return everything except the metric that determines a value of a row, by name."""
    protocol = measurements.protocol
    temperature = line.setting.temperature
    images, everything = len(measurements.images), len(measurements.manifest.images)
    facts = {
        "model": line.label,
        "model sha256": measurements.manifest.model(line.setting.model).digest,
        "scale": f"{protocol.scale}x",
        "data": protocol.dataset,
        "data sha256": digest([measurements.pair_pixels(name) for name in measurements.images]),
        "images": str(images) if images == everything else f"{images} of {everything}",
        "crop": "" if protocol.crop is None else f"the central {protocol.crop} x {protocol.crop} of HR",
        "LR": protocol.lr,
        "suite": protocol.suite,
        "temperature": "" if temperature is None else repr(temperature),
        "samples per image": "" if temperature is None else str(protocol.samples),
        "seed": "" if temperature is None else str(protocol.seed),
        "tile": "" if protocol.tile is None else f"{protocol.tile} LR pixels",
    }
    return {name: text for name, text in facts.items() if text}


def task_name(metric: MetricFacts, protocol: Protocol, images: str) -> str:
    """Return the name of the task of a metric, equal only for equal protocols and images."""
    parts = [f"x{protocol.scale}", metric.signature]
    parts += [protocol.lr] if protocol.lr != MATLAB_BICUBIC else []
    parts += [f"crop {protocol.crop}"] if protocol.crop is not None else []
    parts += [images] if " of " in images else []
    return re.sub(r"[^a-z0-9.+]+", "-", " ".join(parts).lower()).strip("-.")
