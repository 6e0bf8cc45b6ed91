"""Values of a run folder measured again from its images, and items sampled again by their models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from torch import Tensor

from srbench.benchmark.findings import TOLERANCE, Findings
from srbench.benchmark.sampling import kept_outputs, runaway, same_outputs, sample, source_of
from srbench.benchmark.scoring import measure, measure_model
from srbench.images.io import quantize
from srbench.interfaces import ImagePair, MetricFacts, SRBenchError
from srbench.machine.facts import environment
from srbench.models.loading import LoadedModel, load_model
from srbench.plugins.registry import LoadedMetric, open_metric
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import SampleRecord, Value

ROUNDED = 0.01
"""Largest share of numbers that may be one grey level off if an item is sampled on another processor."""
_MACHINE = ("device", "cpu", "gpu", "instructions", "TF32 in products", "TF32 in convolutions", "torch")
"""Facts of an environment that may change more than the last bit of an output."""


def open_metrics_again(folder: RunFolder, found: Findings) -> list[tuple[MetricFacts, LoadedMetric | None]]:
    """The metrics of the table, as they were and as they are; None for one that cannot measure the same again.

    A metric whose source has changed is named, and measured all the same.
    """
    metrics: list[tuple[MetricFacts, LoadedMetric | None]] = []
    protocol = folder.manifest.protocol
    for facts in folder.manifest.metrics:
        metric = None
        try:
            metric = open_metric(facts.spec, protocol.quantize, protocol.samples, facts)
        except SRBenchError as error:
            found.add("SRB105", facts.title, f"cannot be measured again: {error}")
        if metric is not None and metric.facts.signature != facts.signature:
            rule = "SRB008" if metric.facts.digest == facts.digest else "SRB106"
            found.add(rule, facts.title, f"its protocol is now {metric.facts.signature}, not {facts.signature}")
            metric = None
        elif metric is not None and metric.facts.digest != facts.digest:
            found.add("SRB205", facts.title, "its source has changed since it was measured")
        metrics.append((facts, metric))
    return metrics


def open_models_again(
    folder: RunFolder, needed: set[str], device: str, known: Mapping[str, LoadedModel], found: Findings
) -> dict[str, LoadedModel]:
    """The models of the table that are known or can be loaded, their weights compared; those ``needed`` must be."""
    models = {}
    for facts in folder.manifest.models:
        try:
            loaded = known.get(facts.label) or load_model(facts.spec, folder.manifest.protocol.scale, device, facts)
        except SRBenchError as error:
            rule = "SRB108" if facts.label in needed else "SRB206"
            found.add(rule, facts.label, f"is not here, so its weights were not compared: {error}")
            continue
        models[facts.label] = loaded
        stated, now = (_provenance(one) for one in (facts, loaded))
        if loaded.digest == facts.digest and stated != now:
            found.add("SRB007", facts.label, f"its weights are {now}, not {stated}")
        elif loaded.digest != facts.digest:
            weights = "" if stated == now else f"; its weights are {now}, not {stated}"
            found.add("SRB206", facts.label, f"its code or parameters have changed since it was sampled{weights}")
    return models


def _provenance(model: LoadedModel | object) -> str:
    """Words for what a model states about its weights."""
    weights = getattr(model, "weights", None)
    if weights is None:
        return "not stated"
    return f"sha256 {weights.sha256}, {weights.licence}, trained on {weights.trained_on}, {weights.parameters} numbers"


@dataclass(frozen=True)
class Proof:
    """A check of the records of a run folder, one by one."""

    folder: RunFolder
    metrics: list[tuple[MetricFacts, LoadedMetric | None]]
    models: dict[str, LoadedModel]
    device: str
    found: Findings

    def check(self, record: SampleRecord, pair: ImagePair | None, *, sampled: bool) -> None:
        """Measure all values of a record again, after it was ``sampled`` again if that is asked for."""
        exact = self._sample_again(record, pair) if sampled and pair is not None else None
        images, where = self._images(record, exact), f"{record.setting.folder} {record.image}"
        if sampled and pair is None:
            self.found.add("SRB108", where, "was not sampled again, as LR or HR is missing or has changed")
        for facts, metric in self.metrics:
            score = self.folder.score(record, facts)
            if score is None or score.failed or score.value is None:
                continue
            if facts.signature != score.signature:
                text = f"{facts.title} has protocol {score.signature}, but its column {facts.signature}"
                self.found.add("SRB008", where, text)
            if metric is None:
                self.found.leave("SRB105", facts.title, "the metric is not here, or its protocol has changed")
            elif metric.facts.sees == "model":
                self._measure_model_again(record, metric, score.value)
            elif pair is None or ("HR" in metric.facts.needs and not pair.has_hr):
                self.found.leave("SRB103", record.image, "LR or HR is missing or has changed")
            elif metric.facts.sees == "returned" and exact is None:
                self.found.leave(
                    "SRB104", facts.title, "it sees outputs as the model returned them; use --resample all"
                )
            else:
                seen = exact if metric.facts.sees == "returned" else images
                self._measure_again(record, metric, seen, pair, score.value)

    def _images(self, record: SampleRecord, exact: Tensor | None) -> Tensor | None:
        """All outputs of a record, (n, 3, H, W) uint8, or only the first ones if only these were kept; None if none."""
        images = self._kept(record)
        if exact is not None and (images is None or len(images) < len(record.outputs)):
            return quantize(exact, self.folder.manifest.protocol.quantize)
        return images

    def _measure_again(
        self, record: SampleRecord, metric: LoadedMetric, images: Tensor | None, pair: ImagePair, known: Value
    ) -> None:
        where, title, count = f"{record.setting.folder} {record.image}", metric.facts.title, len(record.outputs)
        part = f"{record.kept} of {count} samples were kept; use --resample all"
        if images is None:
            self.found.leave("SRB103", where, "its images are missing or have changed")
            return
        if len(images) < count and not isinstance(known, list):
            self.found.leave("SRB103", where, part)
            return
        try:
            value = measure(metric.metric, images, pair)
        except SRBenchError as error:
            self.found.leave("SRB105", f"{where}: {title}", f"could not be measured again: {error}")
            return
        compared = known[: len(images)] if isinstance(known, list) else known
        if not _equal(value, compared):
            self._contradict(where, title, value, compared)
        elif len(images) < count:
            self.found.leave("SRB103", where, part)
        else:
            self.found.verified += 1

    def _measure_model_again(self, record: SampleRecord, metric: LoadedMetric, known: Value) -> None:
        title, model = metric.facts.title, self.models.get(record.model)
        if getattr(metric.metric, "is_time", False):
            self.found.leave("SRB107", title, "it is a time, which cannot be measured again")
            return
        if model is None or not self._is_same(record):
            self.found.leave("SRB107", title, "the model, or the machine of its run, is not here")
            return
        slower = replace(record, seconds=2 * record.seconds + 1)
        try:
            value, other = (measure_model(metric, model.model, self.device, one) for one in (record, slower))
        except SRBenchError as error:
            self.found.leave("SRB105", title, f"could not be measured again: {error}")
            return
        if not _equal(value, known):
            self._contradict(f"{record.setting.folder} {record.image}", title, value, known)
        elif not _equal(value, other):
            self.found.leave("SRB107", title, "it is a time, which cannot be measured again")
        else:
            self.found.verified += 1

    def _contradict(self, where: str, title: str, value: Value, known: Value) -> None:
        self.found.contradicted += 1
        self.found.add("SRB005", where, f"{title} is {_short(value)}, and the table has {_short(known)}")

    def _sample_again(self, record: SampleRecord, pair: ImagePair) -> Tensor | None:
        """Sample an item; returns the outputs before quantisation if they are those of the record."""
        if record.model not in self.models:
            return None
        where, model, found = f"{record.setting.folder} {record.image}", self.models[record.model].model, self.found
        try:
            if source_of(model, record.image) != record.source:
                found.add("SRB108", where, "the result files have changed since they were measured")
                return None
            output = sample(self.folder, model, pair, record.temperature, self.device)
        except SRBenchError as error:
            found.add("SRB108", where, f"could not be sampled again: {error}")
            return None
        images = quantize(output.images, self.folder.manifest.protocol.quantize)
        if same_outputs(record, images):
            found.sampled += 1
            if record.runaway not in (None, count := runaway(output.images)):
                found.add("SRB005", where, f"{count} samples run away, but its record has {record.runaway}")
            return output.images
        text, is_rounding = _difference(images, self._kept(record))
        found.sampled += is_rounding
        rule = "SRB207" if is_rounding else "SRB006" if self._is_same(record) else "SRB109"
        found.add(rule, where, f"sampled again, {text}")
        return None

    def _kept(self, record: SampleRecord) -> Tensor | None:
        """The first outputs of a record from their files; None if none was kept, or one is another image."""
        if not record.kept:
            return None
        return kept_outputs(self.folder, replace(record, outputs=record.outputs[: record.kept]))

    def _is_same(self, record: SampleRecord) -> bool:
        """True if the model is the one that was measured, and this is the machine."""
        manifest, now = self.folder.manifest, environment(self.device)
        known = self.folder.environments.get(record.environment)
        if known is None or any(now.get(fact) != known.facts[fact] for fact in _MACHINE if fact in known.facts):
            return False
        return self.models[record.model].digest == manifest.model(record.model).digest


def _difference(images: Tensor, kept: Tensor | None) -> tuple[str, bool]:
    """Words for the difference of outputs, and True for one that another processor may make."""
    if kept is None or kept.shape != images.shape:
        return "it is a different image", False
    difference = (images.int() - kept.int()).abs()
    share, most = float((difference > 0).double().mean()), int(difference.max())
    if most == 1 and share <= ROUNDED:
        return f"equal up to rounding (one grey level in {share:.2%} of pixel values)", True
    return f"{share:.2%} of its pixel values differ, by up to {most} grey levels", False


def _equal(one: Value, other: Value) -> bool:
    pairs = zip(np.ravel(one), np.ravel(other), strict=False)
    same = np.shape(one) == np.shape(other)
    return same and all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (math.isnan(a) and math.isnan(b)) for a, b in pairs
    )


def _short(value: Value) -> str:
    return ", ".join(f"{number:.6g}" for number in np.ravel(value)[:5])
