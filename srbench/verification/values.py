"""Values measured again, from saved images or from outputs sampled again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from srbench.benchmark.plan import plan_of_many
from srbench.benchmark.scorer import Scorer
from srbench.benchmark.worker import Worker
from srbench.images.io import quantize
from srbench.interfaces import ImagePair, MetricInfo, ModelMetric, ModelPairMetric, SRBenchError
from srbench.metrics.loading import LoadedMetric, reopened
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value
from srbench.run_folder.values import SET_TOLERANCE, TOLERANCE, agree
from srbench.verification.findings import Findings, differences
from srbench.verification.samples import Resampling, rounded_by

ROUNDED = 0.5
"""Largest difference of a value that was measured in another environment, in tolerances of a tie. With half of it,
values of equal outputs stay tied, whichever way each is rounded."""
EQUAL = 1e-9
"""Relative difference up to which a value measured again is the same:
where arrays lie in memory may move sums of floats."""
ACROSS_DEVICES = 1e-3
"""Like ``values.TOLERANCE``, for a metric that can use a GPU and was measured on another device or card, or with
another torch or cuDNN: larger differences are contradictions, smaller differences are unverified."""
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

    @cached_property
    def _worker(self) -> Worker:
        """The worker of a run, which measures what a run without any value would measure."""
        sampler = self.resampling.sampler
        loaded = [loaded for _, loaded in self.metrics if loaded is not None]
        return Worker(self.folder, sampler, Scorer(loaded, sampler.device), None, 0)

    def check(self, record: SampleRecord, pair: ImagePair | None, exact: Tensor | None) -> None:
        """Measure all values of an item again, from ``exact``, its outputs sampled again, or from its saved images."""
        images = self.resampling.saved(record)
        if exact is not None and (images is None or len(images) < len(record.outputs)):
            images = quantize(exact, self.folder.manifest.protocol.quantize)
        count = 0 if images is None else len(images)
        compared = {}
        for recorded, loaded in self.metrics:
            score = self.folder.score(record, recorded) if recorded.is_of_images else None
            if score is None or score.failed:
                continue
            if loaded is None:
                self.findings.leave(recorded.title, _NOT_LOADED)
            elif pair is None or ("HR" in loaded.needs and not pair.has_hr):
                self.findings.leave(recorded.title, "LR or HR is missing or has changed")
            elif exact is None and isinstance(loaded.metric, ModelPairMetric):
                self.findings.leave_to_resampling(recorded.title, "it needs the model")
            elif exact is None and loaded.sees == "returned":
                self.findings.leave_to_resampling(recorded.title, "it needs outputs as the model returned them")
            elif images is None:
                self.findings.leave(recorded.title, "its images are missing or have changed")
            elif exact is None and count < len(record.outputs) and not isinstance(score.value, list):
                self.findings.leave_to_resampling(recorded.title, _only_some(record))
            else:
                compared[recorded.name] = recorded, loaded, score
        if pair is None or images is None:
            return
        model = self.resampling.sampler.models
        for metric, value, error, _ in self._worker.scorer.score(
            record.setting,
            pair,
            images,
            images if exact is None else exact,
            compared,
            lambda: model[record.model].model,
        ):
            recorded, loaded, score = compared[metric.name]
            stated = score.value[:count] if isinstance(score.value, list) else score.value
            if not error and count < len(record.outputs) and agree(value, stated, recorded):
                self.findings.leave_to_resampling(recorded.title, _only_some(record))
            else:
                self._compare(f"{record.setting.folder} {record.image}", loaded, recorded, score, value, stated, error)

    def check_many(self) -> None:
        """Measure the metrics of groups, of all images and of models again, from the saved images and the models."""
        by_name = {recorded.name: loaded for recorded, loaded in self.metrics}
        for task in plan_of_many(replace(self.folder, scores={}), [recorded for recorded, _ in self.metrics]):
            recorded, loaded, place = task.metric, by_name[task.metric.name], (task.setting, task.metric.name)
            score = self.folder.scores.get(task.subject.name, {}).get((task.subject.key, *place))
            if score is None or score.failed:
                continue
            if loaded is None:
                self.findings.leave(recorded.title, _NOT_LOADED)
            elif isinstance(loaded.metric, ModelMetric) and loaded.metric.depends_on_machine:
                text = "it depends on the machine, so it is not measured again"
                self.findings.leave_to_machine(recorded.title, text)
            elif isinstance(loaded.metric, ModelMetric) and not (
                task.setting.model in self.resampling.sampler.models
                and self.resampling.is_unchanged(task.subject.samples[0])
            ):
                text = "the model has changed or cannot be loaded, or this is not the machine of the run"
                self.findings.leave(recorded.title, text)
            else:
                [again] = [line for line in self._worker.do_part(task).lines if isinstance(line, ScoreRecord)]
                error = again.error.removeprefix(f"{recorded.title}: ")
                where = f"{task.setting.folder} {task.subject.name}".rstrip()
                self._compare(where, loaded, recorded, score, again.value, score.value, error)

    def _compare(
        self,
        where: str,
        loaded: LoadedMetric,
        recorded: MetricInfo,
        score: ScoreRecord,
        value: Value | None,
        stated: Value | None,
        error: str,
    ) -> None:
        """Count a value, measured again, as equal to the ``stated`` value, rounded on another machine, or different.

        ``error`` says why it could not be measured.
        """
        tolerance = ROUNDED * (SET_TOLERANCE if recorded.per == "set" else TOLERANCE)
        if error:
            self.findings.leave(f"{where}: {recorded.title}", f"could not be measured again: {error}")
        elif agree(value, stated, recorded, EQUAL):
            self.findings.verified += 1
        elif (differing := self.resampling.differing(score.environment, {})) and agree(
            value, stated, recorded, tolerance
        ):
            self.findings.leave_to_machine(recorded.title, rounded_by(differing))
        elif loaded.gpu and _DEVICE & differing.keys() and agree(value, stated, recorded, ACROSS_DEVICES):
            self.findings.leave(recorded.title, f"{rounded_by(differing)}, up to {ACROSS_DEVICES:g}")
        else:
            text = f"{recorded.title} is {_short(value)}, and the table has {_short(stated)}"
            self.findings.contradict(where, text)


def _only_some(record: SampleRecord) -> str:
    return f"{record.kept} of {len(record.outputs)} samples were saved"


def _short(value: Value | None) -> str:
    if value is None:
        return "not defined for this model"
    return ", ".join(f"{number:.9g}" for number in np.ravel(value)[:5])
