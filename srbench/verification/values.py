"""Values measured again, from saved images or from outputs sampled again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from torch import Tensor

from srbench.benchmark.scorer import SavedSets, Scorer, measure_model, measure_set
from srbench.images.io import quantize
from srbench.interfaces import (
    ImageMetric,
    ImagePair,
    MetricInfo,
    ModelMetric,
    ModelPairMetric,
    SetMetric,
    SRBenchError,
)
from srbench.metrics.loading import LoadedMetric, reopened
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value
from srbench.run_folder.values import SET_TOLERANCE, TOLERANCE, agree
from srbench.verification.findings import Findings, differences
from srbench.verification.samples import Resampling, rounded_by

ROUNDED = 0.5
"""Largest difference of a value that was measured in another environment, in tolerances of a tie. With half of it, values
of equal outputs stay tied, whichever way each is rounded."""
EQUAL = 1e-9
"""Relative difference up to which a value measured again is the same: where arrays lie in memory may move sums of floats."""
ACROSS_DEVICES = 1e-3
"""Like ``values.TOLERANCE``, for a metric that can use a GPU and was measured on another device or card, or with another
torch or cuDNN: larger differences are contradictions, smaller differences are unverified."""
_DEVICE = {"device", "gpu", "torch", "cuDNN"}
_NOT_LOADED = "the metric cannot be loaded, or its protocol has changed"


def _stated(metric: MetricInfo) -> dict[str, Any]:
    """Return the attributes of a metric that a report shows; ``code-changed`` is about the digest."""
    return {name: value for name, value in metric.stored().items() if name not in ("spec", "digest")}


def open_metrics(folder: RunFolder, findings: Findings) -> list[tuple[MetricInfo, LoadedMetric | None]]:
    """Return the metrics of the manifest as recorded and as loaded; None if not installed, or with other attributes."""
    protocol = folder.manifest.protocol
    metrics: list[tuple[MetricInfo, LoadedMetric | None]] = []
    for recorded in folder.manifest.metrics:
        loaded = None
        try:
            loaded = reopened(recorded, protocol.quantize, protocol.samples)
        except SRBenchError as error:
            findings.add("not-measured", recorded.title, f"the metric cannot be loaded: {error}")
        if loaded is not None and (differing := differences(_stated(recorded), _stated(loaded.info))):
            rule = "manifest-differs" if loaded.info.digest == recorded.digest else "not-measured"
            findings.add(rule, recorded.title, differing)
            loaded = None
        elif loaded is not None and loaded.info.digest != recorded.digest:
            findings.add("code-changed", recorded.title, "its code has changed since it was measured")
        metrics.append((recorded, loaded))
    return metrics


@dataclass(frozen=True)
class Remeasuring:
    """Measures the values of a run again."""

    folder: RunFolder
    findings: Findings
    metrics: list[tuple[MetricInfo, LoadedMetric | None]]
    resampling: Resampling

    @property
    def _device(self) -> str:
        return self.resampling.sampler.device

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer([loaded for _, loaded in self.metrics if loaded is not None], self._device)

    def check(self, record: SampleRecord, pair: ImagePair | None, exact: Tensor | None) -> None:
        """Measure all values of an item again, from ``exact``, its outputs sampled again, or from its saved images."""
        images = self.resampling.saved(record)
        if exact is not None and (images is None or len(images) < len(record.outputs)):
            images = quantize(exact, self.folder.manifest.protocol.quantize)
        stated = [
            (recorded, loaded, score)
            for recorded, loaded in self.metrics
            if recorded.is_of_images and (score := self.folder.score(record, recorded)) and not score.failed
        ]
        obstacles = {
            recorded.name: self._obstacle(record, loaded, score.value, pair, images, was_sampled=exact is not None)
            for recorded, loaded, score in stated
        }
        measured: dict[str, tuple[Value | None, str]] = {}
        if pair is not None and images is not None:
            results = self._scorer.score(
                record.temperature,
                pair,
                images,
                images if exact is None else exact,
                [name for name, obstacle in obstacles.items() if obstacle is None],
                lambda: self.resampling.sampler.models[record.model].model,
            )
            measured = {metric.name: (value, error) for metric, value, error, _ in results}
        for recorded, loaded, score in stated:
            if obstacle := obstacles[recorded.name]:
                leave, reason = obstacle
                leave(recorded.title, reason)
            else:
                assert loaded is not None
                assert images is not None
                self._compare(record, recorded, loaded, score, *measured[recorded.name], len(images))

    def _obstacle(
        self,
        record: SampleRecord,
        loaded: LoadedMetric | None,
        stated: Value | None,
        pair: ImagePair | None,
        images: Tensor | None,
        *,
        was_sampled: bool,
    ) -> tuple[Callable[[str, str], None], str] | None:
        """Return why a value cannot be measured again, with the function that counts it; None if it can."""
        if loaded is None:
            return self.findings.leave, _NOT_LOADED
        if pair is None or ("HR" in loaded.needs and not pair.has_hr):
            return self.findings.leave, "LR or HR is missing or has changed"
        if was_sampled:
            return None
        if isinstance(loaded.metric, ModelPairMetric):
            return self.findings.leave_to_resampling, "it needs the model"
        if isinstance(loaded.metric, ImageMetric) and loaded.metric.sees == "returned":
            return self.findings.leave_to_resampling, "it needs outputs as the model returned them"
        if images is None:
            return self.findings.leave, "its images are missing or have changed"
        if len(images) < len(record.outputs) and not isinstance(stated, list):
            return self.findings.leave_to_resampling, _only_some(record)
        return None

    def _compare(
        self,
        record: SampleRecord,
        recorded: MetricInfo,
        loaded: LoadedMetric,
        score: ScoreRecord,
        value: Value | None,
        error: str,
        count: int,
    ) -> None:
        """Compare a value of the first ``count`` samples, measured again, with its record; ``error`` is that of a failure."""
        where = f"{record.setting.folder} {record.image}"
        stated = score.value[:count] if isinstance(score.value, list) else score.value
        if error:
            self.findings.leave(f"{where}: {recorded.title}", f"could not be measured again: {error}")
        elif count < len(record.outputs) and agree(value, stated, recorded):
            self.findings.leave_to_resampling(recorded.title, _only_some(record))
        else:
            on_gpu = isinstance(loaded.metric, ImageMetric | SetMetric) and loaded.metric.gpu
            self._judge(where, recorded, score.environment, value, stated, on_gpu=on_gpu)

    def _judge(
        self,
        where: str,
        recorded: MetricInfo,
        measured_in: str,
        value: Value | None,
        stated: Value | None,
        *,
        on_gpu: bool = False,
    ) -> None:
        """Count a value, measured again, as equal, rounded in another environment than ``measured_in``, or different."""
        if agree(value, stated, recorded, EQUAL):
            self.findings.verified += 1
            return
        tolerance = ROUNDED * (SET_TOLERANCE if recorded.per == "set" else TOLERANCE)
        differing = self.resampling.differing(measured_in, {})
        if differing and agree(value, stated, recorded, tolerance):
            self.findings.leave_to_machine(recorded.title, rounded_by(differing))
        elif on_gpu and _DEVICE & differing.keys() and agree(value, stated, recorded, ACROSS_DEVICES):
            self.findings.leave(recorded.title, f"{rounded_by(differing)}, up to {ACROSS_DEVICES:g}")
        else:
            text = f"{recorded.title} is {_short(value)}, and the table has {_short(stated)}"
            self.findings.contradict(where, text)

    def check_many(self) -> None:
        """Measure the metrics of groups, of all images and of models again, from the saved images and the models."""
        sets = SavedSets(self.folder, self._device)
        of_many = [(recorded, loaded) for recorded, loaded in self.metrics if not recorded.is_of_images]
        for setting, (recorded, loaded) in product(self.folder.manifest.settings, of_many):
            metric = None if loaded is None else loaded.metric
            for subject, score in self.folder.scores_of_many(setting, recorded):
                if score is None or score.failed:
                    continue
                where = f"{setting.folder} {subject.name}".rstrip()
                try:
                    if isinstance(metric, SetMetric):
                        value = measure_set(metric, sets.of(subject.samples, metric))
                    elif not isinstance(metric, ModelMetric):
                        self.findings.leave(recorded.title, _NOT_LOADED)
                        continue
                    elif metric.depends_on_machine:
                        text = "it depends on the machine, so it is not measured again"
                        self.findings.leave_to_machine(recorded.title, text)
                        continue
                    elif not self._can_run(subject.samples[0]):
                        text = "the model has changed or cannot be loaded, or this is not the machine of the run"
                        self.findings.leave(recorded.title, text)
                        continue
                    else:
                        model = self.resampling.sampler.models[setting.model].model
                        value = measure_model(metric, model, setting.temperature, self._device)
                except SRBenchError as error:
                    self.findings.leave(f"{where}: {recorded.title}", f"could not be measured again: {error}")
                    continue
                on_gpu = isinstance(metric, SetMetric) and metric.gpu
                self._judge(where, recorded, score.environment, value, score.value, on_gpu=on_gpu)

    def _can_run(self, sample: SampleRecord) -> bool:
        return sample.model in self.resampling.sampler.models and self.resampling.is_unchanged(sample)


def _only_some(record: SampleRecord) -> str:
    return f"{record.kept} of {len(record.outputs)} samples were saved"


def _short(value: Value | None) -> str:
    if value is None:
        return "not defined for this model"
    return ", ".join(f"{number:.9g}" for number in np.ravel(value)[:5])
