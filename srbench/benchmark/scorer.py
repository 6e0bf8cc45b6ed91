"""The scorer: measures outputs with the metrics of a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.images.io import read_uint8
from srbench.interfaces import (
    ImageMetric,
    ImagePair,
    ImageSet,
    MetricInfo,
    Model,
    ModelCall,
    ModelMetric,
    ModelPairMetric,
    RowMetric,
    SampledImage,
    SetMetric,
    SRBenchError,
)
from srbench.machine.memory import computed_on
from srbench.machine.precision import products
from srbench.metrics.loading import LoadedMetric, is_third_party
from srbench.metrics.samples import as_seen
from srbench.plugins.registry import call
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.kept_images import kept_pair
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import SampleRecord, Value

Scored = tuple[MetricInfo, Value | None, str, float]
"""A metric, its value, the error of a failure or "", and the seconds it took. None: it failed, or does not apply."""


@dataclass(frozen=True)
class Scorer:
    """The metrics of a run folder."""

    metrics: Sequence[LoadedMetric]
    device: str
    """Device of the models, and of the metrics that can use it."""

    def score(
        self,
        setting: Setting,
        pair: ImagePair,
        images: Tensor,
        exact: Tensor,
        names: Collection[str],
        model: Callable[[], Model] | None = None,
    ) -> Iterator[Scored]:
        """Measure outputs (n, 3, H, W); a failure of a metric is part of the results.

        Args:
            setting: Row of the outputs.
            pair: LR and HR.
            images: The outputs as uint8.
            exact: The outputs as the model returned them.
            names: Names of the metrics to measure, which are of images.
            model: Returns the model, for metrics of a model and a pair; may raise SRBenchError. None if it is unknown,
                and no metric is of a model.
        """
        for metric in self.metrics:
            if metric.info.name not in names:
                continue
            start = time.perf_counter()
            value: Value | None = None
            error = ""
            try:
                if isinstance(metric.metric, ModelPairMetric):
                    assert model is not None
                    value = measure_model(metric.metric, model(), setting.temperature, self.device, pair)
                elif isinstance(metric.metric, RowMetric):
                    what = f"{pair.name}: {metric.info.name}"
                    given = call(what, metric.metric.measure, setting.folder, pair.name, len(images))
                    value = _number(given, what)
                elif isinstance(metric.metric, ImageMetric):
                    seen = exact if metric.metric.sees == "returned" else images
                    value = measure(metric.metric, seen, pair, self.device)
            except SRBenchError as fault:
                error = str(fault)
            yield metric.info, value, error, time.perf_counter() - start
        pair.shared.forget(images)


def measure(metric: ImageMetric, images: Tensor, pair: ImagePair, device: str = "cpu") -> Value | None:
    """Measure outputs (n, 3, H, W), uint8 or float in [0, 1].

    A metric that can use ``device`` runs there, or on the CPU if the device lacks the memory. A third-party metric gets
    copies, which it may change in place; our metrics share what they compute from the same images.

    Returns:
        A value per sample, or one for all samples; None if the metric does not apply.

    Raises:
        SRBenchError: The metric's own error, PluginError with the image's name for any other exception, BenchmarkError
            for a NaN or a wrong number of values.
    """

    def value_on(place: str) -> Value | None:
        seen = as_seen(metric, images)
        if is_third_party(metric):
            values = metric(seen.to(place, copy=True), pair.copied(place))
        elif place == "cpu":
            values = metric(seen, pair)
        else:
            there = pair.shared.once(images, (place, seen.dtype), lambda: seen.to(place))
            values = metric(there, _pair_on(place, pair))
        value: Value | None = None if values is None else values.double().tolist()
        return value

    what = f"{pair.name}: {metric.info.name}"
    value: Value | None = call(what, computed_on, device if metric.gpu else "cpu", value_on)
    if value is None:
        return None
    if metric.info.per == "sample" and not isinstance(value, list):
        raise BenchmarkError(f'{what} returned one value for {len(images)} samples; return (n,), or state per="image"')
    if isinstance(value, list) and len(value) != len(images):
        raise BenchmarkError(f"{what} returned {len(value)} values for {len(images)} samples; return one per sample")
    if np.isnan(value).any():
        raise BenchmarkError(f"{what} is not defined for this image (NaN); leave out the metric or the image")
    return value


def _pair_on(place: str, pair: ImagePair) -> ImagePair:
    """Return the pair on a device, copied there once for all metrics."""
    image = pair.hr if pair.has_hr else pair.lr
    if image is None:
        return pair
    return pair.shared.once(image, place, lambda: replace(pair.copied(place), shared=pair.shared))


def measure_model(
    metric: ModelMetric | ModelPairMetric,
    model: Model,
    temperature: float | None,
    device: str,
    pair: ImagePair | None = None,
) -> float | None:
    """Measure a model, such as its cost, or a model given a pair; None if the metric does not apply to the model.

    Raises like ``measure``.
    """
    model_call = ModelCall(model, temperature, device)
    with products(torch.device(device), tf32=False):  # as in ``upscale``
        if isinstance(metric, ModelPairMetric):
            assert pair is not None
            value = call(f"{pair.name}: {metric.info.name}", metric.measure, model_call, pair.copied())
        else:
            value = call(metric.info.name, metric.measure, model_call)
    return _number(value, metric.info.name)


def measure_set(metric: SetMetric, images: ImageSet) -> float | None:
    """Measure a set of images; None if the metric does not apply. Raises like ``measure``."""
    device = images.device if metric.gpu else "cpu"
    value = call(
        metric.info.name, computed_on, device, lambda place: metric(images.on(place) if metric.gpu else images)
    )
    return _number(value, metric.info.name)


def _number(value: object, what: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever a plug-in returned
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several numbers
        kind = type(value).__name__
        raise BenchmarkError(f"{what} returned {kind}; return a number, or None where it does not apply") from None
    if np.isnan(number):
        raise BenchmarkError(f"{what} is not defined (NaN); return None where it does not apply")
    return number


class SavedSets:
    """The saved images of a run folder as sets, with what metrics share while they measure one set after another."""

    def __init__(self, folder: RunFolder, device: str) -> None:
        self.folder, self.device = folder, device
        self._last: tuple[list[object], list[object], ImageSet] | None = None

    def of(self, samples: Sequence[SampleRecord], metric: SetMetric) -> ImageSet:
        """Return the set of some outputs, of one setting, as a metric sees them.

        Reading an image raises BenchmarkError if it was not saved, is missing or was changed.
        """
        by_name = {sample.image: sample for sample in samples}

        def image(name: str) -> SampledImage:
            return SampledImage(
                name, lambda count: self._outputs(by_name[name], metric, count), lambda: self._pair(name)
            )

        images = ImageSet(tuple(by_name), image, self.device)
        outputs: list[object] = [
            (each.setting, each.image, *(output.pixels for output in each.outputs)) for each in samples
        ]
        hr: list[object] = [(name, self.folder.hr_pixels(name)) for name in by_name]
        if self._last is not None:
            last_outputs, last_hr, last = self._last
            if last_hr == hr:
                images.shared_references = last.shared_references
                images.shared = last.shared if last_outputs == outputs else {}
        self._last = outputs, hr, images
        return images

    def _outputs(self, sample: SampleRecord, metric: SetMetric, count: int | None) -> Tensor:
        files = self.folder.outputs(sample)
        if not files:
            raise self._lacks(f"the outputs for {sample.image}")
        if "samples" in metric.needs and len(files) < len(sample.outputs):
            raise BenchmarkError(
                f"needs all samples, and {self.folder.path} keeps {len(files)} of {len(sample.outputs)}; name "
                f"{metric.info.name} in --metrics of a run with another --out"
            )
        images = torch.stack([read_uint8(file) for file in files[:count]])
        return images if metric.sees == "uint8" else images.float().div_(255)

    def _pair(self, image: str) -> ImagePair:
        pair = kept_pair(self.folder, image)
        if pair is None:
            raise self._lacks(f"LR or HR of {image}")
        return pair

    def _lacks(self, what: str) -> BenchmarkError:
        return BenchmarkError(
            f"needs {what}, which {self.folder.path} lacks or which were changed; run its command again"
        )
