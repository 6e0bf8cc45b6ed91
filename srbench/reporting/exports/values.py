"""Values of a run that can stand beside others: means over all images that were asked for, with what they depend on."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srbench.data import MATLAB_BICUBIC
from srbench.interfaces import MetricFacts, ModelFacts
from srbench.reporting import ReportError
from srbench.reporting.measurements import read_runs
from srbench.run_folder.protocol import Invocation, Protocol, Setting
from srbench.run_folder.records import digest
from srbench.words import number_of


@dataclass(frozen=True)
class ExportedValue:
    """The mean of a metric over all images."""

    metric: MetricFacts
    mean: float
    low: float
    """Lower end of the 95 % interval of the mean; NaN if there is none."""
    high: float


@dataclass(frozen=True)
class ExportedModel:
    """A model at one temperature, and its values."""

    setting: Setting
    facts: ModelFacts
    values: tuple[ExportedValue, ...]
    invocation: Invocation
    """The last command that asked for it."""

    @property
    def finished(self) -> str:
        """Time at which that command ended, or began if it was killed: ``2026-01-31T12:00:00+00:00``."""
        return self.invocation.finished or self.invocation.started


@dataclass(frozen=True)
class ExportedRun:
    """A run as every format needs it."""

    name: str
    """Name of the run folder."""
    protocol: Protocol
    data: str
    """SHA-256 of the pixels of all LR and HR images."""
    images: int
    """Number of images that every value is a mean of."""
    all_images: int
    """Number of images of the dataset."""
    models: tuple[ExportedModel, ...]
    left_out: tuple[str, ...]
    """Sentences about values that are no mean over all images."""
    dataset: str | None
    """Name of the dataset on the Hugging Face Hub, if it was given."""
    url: str | None
    """Address at which the run can be read, if it was given."""

    def settings(self, model: ExportedModel) -> dict[str, str]:
        """Everything but the metric that a value depends on, in words, by name."""
        protocol, temperature = self.protocol, model.setting.temperature
        facts = {
            "model": model.setting.label,
            "model sha256": model.facts.digest,
            "scale": f"{protocol.scale}x",
            "data": protocol.dataset,
            "data sha256": self.data,
            "images": f"{self.images}" if self.images == self.all_images else f"{self.images} of {self.all_images}",
            "crop": "" if protocol.crop is None else f"the central {protocol.crop} x {protocol.crop} of HR",
            "LR": protocol.lr,
            "suite": protocol.suite,
            "temperature": "" if temperature is None else repr(temperature),
            "samples per image": "" if temperature is None else str(protocol.samples),
            "seed": "" if temperature is None else str(protocol.seed),
            "tile": "" if protocol.tile is None else f"{protocol.tile} LR pixels",
        }
        return {name: text for name, text in facts.items() if text}

    def task(self, metric: MetricFacts) -> str:
        """Name of a leaderboard on which values of this metric can stand: equal only for equal protocols and images."""
        protocol = self.protocol
        parts = [f"x{protocol.scale}", metric.signature]
        parts += [protocol.lr] if protocol.lr != MATLAB_BICUBIC else []
        parts += [f"crop {protocol.crop}"] if protocol.crop is not None else []
        parts += [f"{self.images} of {self.all_images}"] if self.images != self.all_images else []
        return slug(" ".join(parts).lower())


def slug(text: str) -> str:
    """Text in which anything but letters, digits, dots and plus signs is a dash."""
    return re.sub(r"[^A-Za-z0-9.+]+", "-", text).strip("-.") or "unnamed"


def exported_run(run: Path, dataset: str | None = None, url: str | None = None) -> ExportedRun:
    """Read a run for export.

    Raises SRBenchError if the folder is no run or has no measured rows, and if no value is a mean over all images.
    """
    measurements = read_runs([run])
    manifest = measurements.manifest
    commands, table = manifest.invocations, measurements.table()
    summary = table.summary()
    finite = {one.name: [int(np.isfinite(of).sum()) for of in table.columns(one.name)] for one in measurements.metrics}
    images = len(measurements.images)
    models, left_out = [], []
    for row, ((model, heat), numbers) in enumerate(zip(summary.index, summary.to_dict("records"), strict=True)):
        setting = Setting(model, None if math.isnan(heat) else heat)
        values = []
        for metric in measurements.metrics:
            if finite[metric.name][row] < images:
                of = f"{finite[metric.name][row]} of {number_of(images, 'image')}"
                left_out.append(f"{metric.title} of {setting.label}: finite on {of}")
                continue
            mean, low, high = (float(numbers[f"{metric.name}{end}"]) for end in ("", "_low", "_high"))
            values.append(ExportedValue(metric, mean, low, high))
        if values:
            facts, made_by = manifest.model(setting.model), [one for one in commands if setting in one.settings]
            models.append(ExportedModel(setting, facts, tuple(values), made_by[-1]))
    if not models:
        raise ReportError(f"{run}: no value is a mean over all images yet; run its command again, then export")
    return ExportedRun(
        name=run.resolve().name,
        protocol=manifest.protocol,
        data=digest([measurements.pair_pixels(name) for name in measurements.images]),
        images=images,
        all_images=len(manifest.images),
        models=tuple(models),
        left_out=tuple(left_out),
        dataset=dataset,
        url=url,
    )
