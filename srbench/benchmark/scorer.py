"""The scorer: measures outputs with the metrics of a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.images.io import read_uint8
from srbench.interfaces import ImageMetric, ImagePair, MetricInfo, Model, ModelCall, ModelMetric, SRBenchError
from srbench.machine.memory import computed_on
from srbench.metrics.loading import LoadedMetric, is_third_party
from srbench.metrics.samples import as_seen
from srbench.plugins.registry import call
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import SampleRecord, Value

Scored = tuple[MetricInfo, Value | None, str, float]
"""A metric, its value or None, the error of a failure or "", and the seconds it took."""


@dataclass(frozen=True)
class Scorer:
    """The metrics of single images of a run folder."""

    metrics: Sequence[LoadedMetric]
    device: str
    """Device of the models, and of the metrics that can use it."""

    def score(
        self,
        record: SampleRecord,
        pair: ImagePair,
        images: Tensor,
        exact: Tensor,
        names: Collection[str],
        model: Callable[[], Model],
    ) -> Iterator[Scored]:
        """Measure outputs (n, 3, H, W); a failure of a metric is part of the results.

        Args:
            record: Record of the outputs.
            pair: LR and HR.
            images: The outputs as uint8.
            exact: The outputs as the model returned them.
            names: Names of the metrics to measure.
            model: Returns the model, for metrics of the model itself; may raise SRBenchError.
        """
        for metric in self.metrics:
            if metric.info.name not in names:
                continue
            start = time.perf_counter()
            value: Value | None = None
            error = ""
            try:
                if isinstance(metric.metric, ModelMetric):
                    value = measure_model(metric.metric, model(), self.device, record)
                elif isinstance(metric.metric, ImageMetric):
                    seen = exact if metric.metric.sees == "returned" else images
                    value = measure(metric.metric, seen, pair, self.device)
            except SRBenchError as fault:
                error = str(fault)
            yield metric.info, value, error, time.perf_counter() - start


def measure(metric: ImageMetric, images: Tensor, pair: ImagePair, device: str = "cpu") -> Value:
    """Measure outputs (n, 3, H, W), uint8 or float in [0, 1]; returns a value per sample, or one for all samples.

    A metric that can use ``device`` runs there, or on the CPU if the device lacks the memory. A third-party metric gets
    copies, which it may change in place. Raises the metric's own SRBenchError, PluginError with the image's name for
    any other exception, and BenchmarkError for a NaN.
    """

    def value_on(place: str) -> Value:
        copies = place != "cpu" or is_third_party(metric)
        seen = as_seen(metric, images).to(place, copy=copies)
        value: Value = metric(seen, pair.copied(place) if copies else pair).double().tolist()
        return value

    what = f"{pair.name}: {metric.info.name}"
    value: Value = call(what, computed_on, device if metric.gpu else "cpu", value_on)
    if metric.info.per == "sample" and not isinstance(value, list):
        raise BenchmarkError(f'{what} returned one value for {len(images)} samples; return (n,), or state per="image"')
    if isinstance(value, list) and len(value) != len(images):
        raise BenchmarkError(f"{what} returned {len(value)} values for {len(images)} samples; return one per sample")
    if np.isnan(value).any():
        raise BenchmarkError(f"{what} is not defined for this image (NaN); leave out the metric or the image")
    return value


def measure_folder(
    folder: RunFolder,
    setting: Setting,
    metrics: Sequence[LoadedMetric],
    device: str,
    references: dict[tuple[object, ...], Any],
) -> dict[str, float]:
    """Measure the saved first outputs of a setting together; return values by metric.

    ``references`` caches features of HR images. Raises BenchmarkError if an image was not saved, is missing or was
    changed, and MetricError for fewer than two images.
    """
    from srbench.metrics.fid import distances, features  # imports pyiqa's code, which few runs need

    output_files, hr_files = [], []
    for sample in folder.sampled(setting):
        outputs, pair = folder.outputs(sample), folder.pair(sample.image)
        if not outputs or pair is None or len(pair) < 2:
            raise BenchmarkError(
                f"needs the output and the HR image of {sample.image}, which {folder.path} lacks or which were changed; "
                "run its command again"
            )
        output_files.append(outputs[0])
        hr_files.append(pair[1])
    key = (*(metric.info.name for metric in metrics), *hr_files)
    if key not in references:
        references[key] = features(metrics, map(read_uint8, hr_files), device)
    return distances(metrics, features(metrics, map(read_uint8, output_files), device), references[key])


def measure_model(metric: ModelMetric, model: Model, device: str, record: SampleRecord) -> float:
    """Measure the model behind a sample record, such as its cost; NaN if unknown. Raises like ``measure``."""
    model_call = ModelCall(model, record.temperature, device)
    return float(call(f"{record.image}: {metric.info.name}", metric.of, model_call))
