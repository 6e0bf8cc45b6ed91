"""Values measured again, from saved images or from outputs sampled again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from torch import Tensor

from srbench.benchmark.scorer import SavedSets, measure, measure_model, measure_set
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
from srbench.machine.environment import environment
from srbench.metrics.loading import LoadedMetric, reopened
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import SampleRecord, Value
from srbench.run_folder.values import agree
from srbench.verification.findings import Findings, differences
from srbench.verification.samples import Resampling

ACROSS_DEVICES = 1e-3
"""Like ``values.TOLERANCE``, for a metric that was measured on a GPU and is now measured on a CPU, or the reverse: larger differences
are contradictions, smaller ones are unverified."""
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


def check_values_of_many(
    folder: RunFolder,
    findings: Findings,
    metrics: Sequence[tuple[MetricInfo, LoadedMetric | None]],
    resampling: Resampling,
) -> None:
    """Measure the metrics of groups, of all images and of models again, from the saved images and the models."""
    device = resampling.sampler.device
    sets = SavedSets(folder, device)
    of_many = [(recorded, loaded) for recorded, loaded in metrics if not recorded.is_of_images]
    for setting, (recorded, loaded) in product(folder.manifest.settings, of_many):
        for subject, score in folder.scores_of_many(setting, recorded):
            if score is None or score.failed:
                continue
            where = f"{setting.folder} {subject.name}".rstrip()
            metric = None if loaded is None else loaded.metric
            reason = ""
            if metric is None:
                reason = _NOT_LOADED
            elif isinstance(metric, ModelMetric):
                if metric.depends_on_machine:
                    findings.leave_to_machine(recorded.title)
                    continue
                if not _is_usable(subject.samples[0], resampling):
                    reason = "the model has changed or cannot be loaded, or this is not the machine of the run"
            if reason:
                findings.leave(recorded.title, reason)
                continue
            try:
                if isinstance(metric, SetMetric):
                    value = measure_set(metric, sets.of(subject.samples, metric))
                else:
                    assert isinstance(metric, ModelMetric)
                    model = resampling.sampler.models[setting.model].model
                    value = measure_model(metric, model, setting.temperature, device)
            except SRBenchError as error:
                findings.leave(f"{where}: {recorded.title}", f"could not be measured again: {error}")
                continue
            if agree(value, score.value, recorded):
                findings.verified += 1
            else:
                _contradict(findings, where, recorded, value, score.value)


def _is_usable(sample: SampleRecord, resampling: Resampling) -> bool:
    return sample.model in resampling.sampler.models and resampling.is_unchanged(sample)


@dataclass(frozen=True)
class Remeasuring:
    """Measures the values of a run again."""

    folder: RunFolder
    findings: Findings
    metrics: list[tuple[MetricInfo, LoadedMetric | None]]
    resampling: Resampling

    def check(self, record: SampleRecord, pair: ImagePair | None, exact: Tensor | None) -> None:
        """Measure all values of an item again, from ``exact``, its outputs sampled again, or from its saved images."""
        images = self.resampling.saved(record)
        if exact is not None and (images is None or len(images) < len(record.outputs)):
            images = quantize(exact, self.folder.manifest.protocol.quantize)
        for recorded, metric in self.metrics:
            score = self.folder.score(record, recorded) if recorded.is_of_images else None
            if score is None or score.failed:
                continue
            title = recorded.title
            if metric is None:
                self.findings.leave(title, _NOT_LOADED)
            elif pair is None or ("HR" in metric.needs and not pair.has_hr):
                self.findings.leave(title, "LR or HR is missing or has changed")
            elif isinstance(metric.metric, ModelPairMetric):
                self._measure_model_again(
                    record, metric.metric, recorded, pair, score.value, was_sampled=exact is not None
                )
            elif isinstance(metric.metric, ImageMetric):
                inputs = exact if metric.metric.sees == "returned" else images
                if metric.metric.sees == "returned" and exact is None:
                    self.findings.leave_to_resampling(title, "it needs outputs as the model returned them")
                    continue
                environment = self.folder.environments.get(score.environment)
                facts = {} if environment is None else environment.facts
                self._measure_again(record, metric.metric, recorded, inputs, pair, score.value, facts)
        if pair is not None:
            for each in (images, exact):
                if each is not None:
                    pair.shared.forget(each)

    def _measure_again(
        self,
        record: SampleRecord,
        metric: ImageMetric,
        recorded: MetricInfo,
        images: Tensor | None,
        pair: ImagePair,
        stated: Value | None,
        facts: Mapping[str, str],
    ) -> None:
        """Measure a value again; ``facts`` are those of the environment in which it was measured."""
        title = recorded.title
        where = f"{record.setting.folder} {record.image}"
        count = len(record.outputs)
        if images is None:
            self.findings.leave(title, "its images are missing or have changed")
            return
        only_some = f"{record.kept} of {count} samples were saved"
        if len(images) < count and not isinstance(stated, list):
            self.findings.leave_to_resampling(title, only_some)
            return
        try:
            value = measure(metric, images, pair, self.resampling.sampler.device)
        except SRBenchError as error:
            self.findings.leave(f"{where}: {title}", f"could not be measured again: {error}")
            return
        compared = stated[: len(images)] if isinstance(stated, list) else stated
        if not agree(value, compared, recorded):
            if metric.gpu and self._is_elsewhere(facts) and agree(value, compared, recorded, ACROSS_DEVICES):
                self.findings.leave(
                    title,
                    f"it was measured on {facts.get('gpu', facts.get('device'))}, and differs on this machine by up to "
                    f"{ACROSS_DEVICES:g}",
                )
            else:
                _contradict(self.findings, where, recorded, value, compared)
        elif len(images) < count:
            self.findings.leave_to_resampling(title, only_some)
        else:
            self.findings.verified += 1

    def _is_elsewhere(self, facts: Mapping[str, str]) -> bool:
        """Return whether a value was measured on another device or card than this, or with another torch or cuDNN."""
        present = environment(self.resampling.sampler.device)
        return any(facts.get(name) != present.get(name) for name in ("device", "gpu", "torch", "cuDNN"))

    def _measure_model_again(
        self,
        record: SampleRecord,
        metric: ModelPairMetric,
        recorded: MetricInfo,
        pair: ImagePair,
        stated: Value | None,
        *,
        was_sampled: bool,
    ) -> None:
        """Measure a metric of the model and the pair again, if the item was sampled again."""
        title, sampler = recorded.title, self.resampling.sampler
        if not was_sampled:
            self.findings.leave_to_resampling(title, "it needs the model")
            return
        try:
            value = measure_model(metric, sampler.models[record.model].model, record.temperature, sampler.device, pair)
        except SRBenchError as error:
            self.findings.leave(title, f"could not be measured again: {error}")
            return
        if not agree(value, stated, recorded):
            _contradict(self.findings, f"{record.setting.folder} {record.image}", recorded, value, stated)
        else:
            self.findings.verified += 1


def _contradict(findings: Findings, where: str, metric: MetricInfo, value: Value | None, stated: Value | None) -> None:
    findings.contradict(where, f"{metric.title} is {_short(value)}, and the table has {_short(stated)}")


def _short(value: Value | None) -> str:
    if value is None:
        return "not defined for this model"
    return ", ".join(f"{number:.6g}" for number in np.ravel(value)[:5])
