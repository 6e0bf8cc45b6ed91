"""Values measured again, from saved images or from outputs sampled again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from torch import Tensor

from srbench.benchmark.scorer import measure, measure_folder, measure_model
from srbench.images.io import quantize
from srbench.interfaces import ImagePair, MetricFacts, SRBenchError
from srbench.metrics.loading import LoadedMetric, reopened
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import SampleRecord, Value
from srbench.verification.findings import Findings, differences
from srbench.verification.samples import Resampling

TOLERANCE = 1e-5
"""Relative difference up to which two values count as equal, across processors and library versions."""
ON_DEVICES = 1e-3
"""The same for a metric that was measured on a GPU and is measured on a CPU, or the reverse: larger differences are
contradictions, smaller ones are unverified."""
FOLDER_TOLERANCE = 1e-3
"""The same for FID and KID; FID needs the root of a matrix that is singular for fewer images than features."""


def _stated(facts: MetricFacts) -> dict[str, Any]:
    """Return the facts of a metric that a report shows; ``code-changed`` is about the digest."""
    return {name: value for name, value in facts.stored().items() if name not in ("spec", "digest")}


def open_metrics(folder: RunFolder, findings: Findings) -> list[tuple[MetricFacts, LoadedMetric | None]]:
    """Return the metrics of the table as recorded and as loaded now; None for a metric that is gone or has changed."""
    protocol = folder.manifest.protocol
    metrics: list[tuple[MetricFacts, LoadedMetric | None]] = []
    for facts in folder.manifest.metrics:
        metric = None
        try:
            metric = reopened(facts, protocol.quantize, protocol.samples)
        except SRBenchError as error:
            findings.add("not-measured", facts.title, f"the metric is not here: {error}")
        if metric is not None and (differing := differences(_stated(facts), _stated(metric.facts))):
            rule = "manifest-differs" if metric.facts.digest == facts.digest else "not-measured"
            findings.add(rule, facts.title, differing)
            metric = None
        elif metric is not None and metric.facts.digest != facts.digest:
            findings.add("code-changed", facts.title, "its code has changed since it was measured")
        metrics.append((facts, metric))
    return metrics


def check_folder_values(
    folder: RunFolder, findings: Findings, metrics: Sequence[tuple[MetricFacts, LoadedMetric | None]], device: str
) -> None:
    """Measure the metrics of all images together again, from the saved images."""
    references: dict[tuple[object, ...], Any] = {}
    of_folders = [(facts, metric) for facts, metric in metrics if facts.per == "folder"]
    for setting in folder.manifest.settings:
        scores = {facts.name: folder.folder_score(setting, facts) for facts, _ in of_folders}
        known = {name: score.value for name, score in scores.items() if score is not None and score.value is not None}
        for facts, metric in of_folders:
            if metric is None and facts.name in known:
                findings.leave(facts.title, "the metric is not here, or its protocol has changed")
        loaded = [metric for _, metric in of_folders if metric is not None and metric.facts.name in known]
        try:
            values = measure_folder(folder, setting, loaded, device, references) if loaded else {}
        except SRBenchError as error:
            for metric in loaded:
                findings.leave(f"{setting.label}: {metric.facts.title}", f"could not be measured again: {error}")
            continue
        for metric in loaded:
            title, value, stated = metric.facts.title, values[metric.facts.name], known[metric.facts.name]
            if _equal(value, stated, FOLDER_TOLERANCE):
                findings.verified += 1
            else:
                text = f"{title} is {_short(value)}, and the table has {_short(stated)}"
                findings.contradict(setting.folder, text)


@dataclass(frozen=True)
class Remeasuring:
    """Measures the values of a run again."""

    folder: RunFolder
    findings: Findings
    metrics: list[tuple[MetricFacts, LoadedMetric | None]]
    resampling: Resampling

    def check(self, record: SampleRecord, pair: ImagePair | None, exact: Tensor | None) -> None:
        """Measure all values of an item again, from ``exact``, its outputs sampled again, or from its saved images."""
        images = self.resampling.saved(record)
        if exact is not None and (images is None or len(images) < len(record.outputs)):
            images = quantize(exact, self.folder.manifest.protocol.quantize)
        for facts, metric in self.metrics:
            score = self.folder.score(record, facts) if facts.per != "folder" else None
            if score is None or score.failed or score.value is None:
                continue
            if metric is None:
                self.findings.leave(facts.title, "the metric is not here, or its protocol has changed")
            elif metric.facts.sees == "model":
                self._measure_model_again(record, metric, score.value)
            elif pair is None or ("HR" in metric.facts.needs and not pair.has_hr):
                self.findings.leave(facts.title, "LR or HR is missing or has changed")
            elif metric.facts.sees == "returned" and exact is None:
                self.findings.leave_to_resampling(facts.title, "it needs outputs as the model returned them")
            else:
                seen = exact if metric.facts.sees == "returned" else images
                there = self.folder.environments.get(score.environment)
                device = None if there is None else there.facts.get("device")
                self._measure_again(record, metric, seen, pair, score.value, device)

    def _measure_again(
        self,
        record: SampleRecord,
        metric: LoadedMetric,
        images: Tensor | None,
        pair: ImagePair,
        known: Value,
        device: str | None,
    ) -> None:
        title = metric.facts.title
        where = f"{record.setting.folder} {record.image}"
        count = len(record.outputs)
        if images is None:
            self.findings.leave(title, "its images are missing or have changed")
            return
        only_some = f"{record.kept} of {count} samples were saved"
        if len(images) < count and not isinstance(known, list):
            self.findings.leave_to_resampling(title, only_some)
            return
        try:
            value = measure(metric.metric, images, pair, self.resampling.sampler.device)
        except SRBenchError as error:
            self.findings.leave(f"{where}: {title}", f"could not be measured again: {error}")
            return
        compared = known[: len(images)] if isinstance(known, list) else known
        if not _equal(value, compared):
            if metric.facts.gpu and device != self.resampling.sampler.device and _equal(value, compared, ON_DEVICES):
                self.findings.leave(title, f"it was measured on {device}, and differs here by up to {ON_DEVICES:g}")
            else:
                self._contradict(where, title, value, compared)
        elif len(images) < count:
            self.findings.leave_to_resampling(title, only_some)
        else:
            self.findings.verified += 1

    def _measure_model_again(self, record: SampleRecord, metric: LoadedMetric, known: Value) -> None:
        """Measure a metric of the model again, unless it is a time: a value that changes with the record's seconds."""
        title = metric.facts.title
        if getattr(metric.metric, "is_time", False):
            self.findings.leave(title, "it is a time, which cannot be measured again")
            return
        model = self.resampling.sampler.models.get(record.model)
        if model is None or not self.resampling.is_same(record):
            self.findings.leave(title, "the model, or the machine of its run, is not here")
            return
        slower = replace(record, seconds=2 * record.seconds + 1)
        try:
            value = measure_model(metric, model.model, self.resampling.sampler.device, record)
            value_if_slower = measure_model(metric, model.model, self.resampling.sampler.device, slower)
        except SRBenchError as error:
            self.findings.leave(title, f"could not be measured again: {error}")
            return
        if not _equal(value, known):
            self._contradict(f"{record.setting.folder} {record.image}", title, value, known)
        elif not _equal(value, value_if_slower):
            self.findings.leave(title, "it is a time, which cannot be measured again")
        else:
            self.findings.verified += 1

    def _contradict(self, where: str, title: str, value: Value, known: Value) -> None:
        self.findings.contradict(where, f"{title} is {_short(value)}, and the table has {_short(known)}")


def _equal(value: Value, known: Value, tolerance: float = TOLERANCE) -> bool:
    same_shape = np.shape(value) == np.shape(known)
    return same_shape and all(
        math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(a) and math.isnan(b))
        for a, b in zip(np.ravel(value), np.ravel(known), strict=True)
    )


def _short(value: Value) -> str:
    return ", ".join(f"{number:.6g}" for number in np.ravel(value)[:5])
