"""Check a run folder: files against hashes, values against images, images against models, report against records."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec.structs import replace
from torch import Tensor

from srbench.benchmark.dataset import open_dataset
from srbench.benchmark.sampler import Sampler, read_pair, source_of
from srbench.benchmark.scorer import measure, measure_model
from srbench.benchmark.sets import hr_pixels, measured, rows_by_setting
from srbench.data.benchmark_sets.table import benchmark_sets, is_here
from srbench.files.hashes import sha256_file
from srbench.images.io import pixels_sha256, quantize, quantize_floor
from srbench.interfaces import ImagePair, MetricFacts, SRBenchError
from srbench.machine.facts import environment
from srbench.metrics.fid import SetDistances
from srbench.metrics.loading import LoadedMetric, reopened
from srbench.models import ModelFacts
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel
from srbench.plugins.registry import registered
from srbench.reporting.check import report_findings
from srbench.run_folder.folder import SUMS, RunFolder, is_kept, read_sums
from srbench.run_folder.kept_images import kept_outputs, kept_pair, same_outputs
from srbench.run_folder.manifest import FILE
from srbench.run_folder.records import KINDS, EnvironmentRecord, SampleRecord, ScoreRecord, Value
from srbench.run_folder.request import RunSpec
from srbench.run_folder.results import set_key
from srbench.terminal.progress import Progress, Step, silent
from srbench.verification.findings import Findings

TOLERANCE = 1e-5
"""Relative difference up to which two values count as equal, across processors and library versions."""
ON_DEVICES = 1e-3
"""The same for a metric that was measured on a GPU and is measured on a CPU, or the reverse: larger differences are
contradictions, smaller ones are unverified."""
SET_TOLERANCE = 1e-3
"""The same for FID and KID; FID needs the root of a matrix that is singular for fewer images than features."""
ROUNDED = 0.01
"""Largest share of pixel values that may be one grey level off if an item is sampled on another processor."""
_MACHINE = ("device", "cpu", "gpu", "instructions", "TF32 in products", "TF32 in convolutions", "torch")
"""Facts of an environment that may change an output by more than rounding."""


def verify(
    path: Path,
    *,
    resample: int | Literal["all"] = 0,
    device: str = "auto",
    progress: Progress = silent,
    models: Mapping[str, LoadedModel] | None = None,
) -> Findings:
    """Check a run folder against itself, its dataset and its models.

    Args:
        path: The run folder.
        resample: Number of items to sample again, or ``all``. The choice is random, but the same in every check.
        device: Device of the models, and of the metrics that can use it.
        progress: Called before every item.
        models: Loaded models by label; all other models are loaded by their names in the run.

    Raises:
        SRBenchError: The folder is no run, or a line is damaged.
    """
    folder = RunFolder.read(path)
    findings = Findings(path)
    _check_sums(folder, findings)
    _check_records(folder, findings)
    _check_images(folder, findings)
    _check_dataset(folder, findings)
    records = [
        record
        for known in folder.known.values()
        for record in known.samples.values()
        if not record.failed and folder.sample(record.setting, record.image) is record
    ]
    records.sort(key=lambda record: record.image)
    findings.items = len(records)
    count = len(records) if resample == "all" else min(resample, len(records))
    chosen = set(random.Random(0).sample(records, count))
    findings.tried = count
    sampler = Sampler(folder.manifest, choose_device(device), dict(models or {}))
    check = _Check(folder, findings, _open_metrics(folder, findings), sampler)
    check.open_models({record.model for record in chosen})
    pair: ImagePair | None = None
    for done, record in enumerate(records):
        progress(Step(done, len(records), f"{record.setting.folder} {record.image}"))
        if pair is None or pair.name != record.image:
            pair = kept_pair(folder, record.image)
        check.check(record, pair, sampled_again=record in chosen)
    progress(Step(len(records), len(records), ""))
    _check_sets(folder, findings, choose_device(device))
    for kind, where, text in report_findings(path):
        rule = "not-compared" if kind in ("missing", "older") else "report-differs"
        findings.add(rule, where, text)
    if not findings.verified and not findings.contradicted:
        findings.add("not-measured", path.name, "none of its values could be measured again")
    return findings


def _check_sums(folder: RunFolder, findings: Findings) -> None:
    """Compare records and manifest with SHA256SUMS, unless the last command stopped before it wrote the file."""
    if folder.manifest.invocations and folder.manifest.invocations[-1].finished is None:
        findings.add("not-compared", SUMS, "the last command did not finish; files were not compared with it")
        return
    sums = read_sums(folder.path)
    if sums is None:
        findings.add("not-compared", SUMS, "it is missing or damaged; files were not compared with it")
        return
    images = {file.relative_to(folder.path).as_posix(): known.sha256 for file, known in folder.kept_images()}
    for name, stated in sums.items():
        file = folder.path / name
        digest_of_file = sha256_file(file) if name not in images and file.is_file() else ""
        actual = images.get(name, digest_of_file)  # _check_images compares image files with their records
        if actual != stated:
            findings.add("file-differs", name, f"is missing or does not match {SUMS}")
    files = [FILE, *(kind.FILE for kind in KINDS if (folder.path / kind.FILE).exists()), *images]
    for name in sorted(set(files) - sums.keys()):
        findings.add("not-compared", name, f"is not in {SUMS}")


def _check_records(folder: RunFolder, findings: Findings) -> None:
    """Find missing and foreign records."""
    manifest = folder.manifest
    finished: dict[tuple[object, str], bool] = {}
    for invocation in manifest.invocations:
        for item in product(invocation.settings, invocation.images):
            finished[item] = finished.get(item, False) or invocation.finished is not None
    for setting in manifest.settings:
        for image in manifest.planned(setting):
            where = f"{setting.folder} {image}"
            record = folder.sample(setting, image)
            pair = folder.of(image).pair
            if record is not None and record.failed:
                findings.add("incomplete", where, f"failed: {record.error}")
            elif record is not None:
                _check_scores(folder, record, findings)
            elif pair is not None and pair.failed:
                findings.add("incomplete", where, f"could not be read: {pair.error}")
            elif setting in folder.of(image).samples:
                findings.add("incomplete", where, "its code, weights or images are not those of the manifest")
            elif finished[setting, image]:
                findings.add("record-missing", where, f"its line in {SampleRecord.FILE} is missing")
            else:
                findings.add("incomplete", where, "not sampled, as the command did not finish")
    _check_lines(folder, findings)


def _check_scores(folder: RunFolder, record: SampleRecord, findings: Findings) -> None:
    """Find values that are missing although a finished command measured their metric after the item was sampled."""
    since = folder.manifest.invocations[record.invocation :]
    measured = {name for invocation in since if invocation.finished is not None for name in invocation.metrics}
    where = f"{record.setting.folder} {record.image}"
    for metric in folder.manifest.metrics:
        score = folder.score(record, metric)
        if score is None and metric.name in measured:
            text = f"its {metric.title} is missing from {ScoreRecord.FILE}, or comes from other code or images"
            findings.add("record-missing", where, text)
        elif score is not None and score.signature != metric.signature:
            text = f"{metric.title} has protocol {score.signature}, but its column {metric.signature}"
            findings.add("record-foreign", where, text)


def _check_lines(folder: RunFolder, findings: Findings) -> None:
    """Find records that refer to something outside the manifest."""
    manifest = folder.manifest
    metrics = {metric.name for metric in manifest.metrics}
    for image, known in folder.known.items():
        for record in (*known.samples.values(), *known.scores.values()):
            is_measured = not isinstance(record, ScoreRecord) or record.metric in metrics
            if record.setting not in manifest.settings or image not in manifest.images or not is_measured:
                findings.add("record-foreign", f"{record.setting.folder} {image}", "is not in the manifest")
        for line in known.lines():
            if not 0 <= line.invocation < len(manifest.invocations):
                findings.add("record-foreign", line.FILE, f"{image} refers to a command that the manifest lacks")
            if line.environment and line.environment not in folder.environments:
                findings.add("record-foreign", line.FILE, f"{image} refers to an environment that is not there")
    for key, environment_record in folder.environments.items():
        if key != EnvironmentRecord.of(environment_record.facts).key:
            findings.add("record-foreign", EnvironmentRecord.FILE, f"{key[:12]} is not the key of its facts")


def _check_images(folder: RunFolder, findings: Findings) -> None:
    """Compare every saved image with its record."""
    for file, known in folder.kept_images():
        findings.images_kept += 1
        where = file.relative_to(folder.path).as_posix()
        if is_kept(file, known):
            findings.images += 1
        elif file.exists():
            findings.add("image-differs", where, "does not match its record")
        else:
            findings.add("not-compared", where, "is missing")


def _check_dataset(folder: RunFolder, findings: Findings) -> None:
    """Compare all pairs with the dataset that the run names, pixel by pixel."""
    protocol = folder.manifest.protocol
    requests = [invocation.request for invocation in folder.manifest.invocations if invocation.request is not None]
    if requests:
        request = requests[0]
    elif protocol.dataset in registered("datasets"):
        request = RunSpec((), protocol.scale, data=protocol.dataset, crop=protocol.crop)
    else:
        findings.add("dataset-unknown", protocol.dataset, "the run does not say where its images are")
        return
    if request.data in benchmark_sets() and not is_here(str(request.data)):
        text = f"it is not on this machine; run srbench data fetch {request.data}"
        findings.add("dataset-unknown", protocol.dataset, text)
        return
    try:
        dataset = open_dataset(request)
    except SRBenchError as error:
        findings.add("dataset-unknown", protocol.dataset, f"its images were not compared: {error}")
        return
    if dataset.name != protocol.dataset:
        findings.add("dataset-unknown", protocol.dataset, f"the run was made on {dataset.name}")
    names = set(dataset)
    for image, known in folder.known.items():
        record = known.pair
        if record is None or record.failed:
            continue
        if image not in names:
            findings.add("dataset-unknown", protocol.dataset, f"{image} is not in it")
            continue
        try:
            pair = read_pair(dataset, image)
        except SRBenchError as error:
            findings.add("dataset-unknown", protocol.dataset, f"{image} cannot be read: {error}")
            continue
        images = {"LR": (pair.lr, record.lr), "HR": (pair.hr, record.hr)}
        for kind, (now, then) in images.items():
            if then is not None and (now is None or pixels_sha256(quantize_floor(now)) != then.pixels):
                findings.add("dataset-unknown", protocol.dataset, f"the {kind} of {image} is another image")


def _check_sets(folder: RunFolder, findings: Findings, device: str) -> None:
    """Measure FID and KID of the table again, from the saved images."""
    metrics = {record.metric.name: record.metric for record in folder.sets.values()}
    for rows in rows_by_setting(folder) if metrics else []:
        where = rows[0].setting.label
        keys = [set_key(metric, rows, lambda image: hr_pixels(folder, image)) for metric in metrics.values()]
        stored = [folder.sets[key] for key in keys if key in folder.sets]
        if not stored:
            continue
        titles = ", ".join(record.metric.title for record in stored)
        try:
            specs = [record.metric.spec for record in stored]
            distances = SetDistances(specs, folder.manifest.protocol.quantize, device)
            again = measured(folder, distances, rows, {})
        except SRBenchError as error:
            for _ in stored:
                findings.leave(f"{where}: {titles}", f"could not be measured again: {error}")
            continue
        for record, now in zip(stored, again, strict=True):
            if now.metric != record.metric:
                findings.leave(f"{where}: {record.metric.title}", "its code, weights or protocol have changed")
            elif not math.isclose(now.value, record.value, rel_tol=SET_TOLERANCE, abs_tol=TOLERANCE):
                text = f"{record.metric.title} is {now.value:.6g}, and the table has {record.value:.6g}"
                findings.contradict(where, text)
            else:
                findings.verified += 1


def _open_metrics(folder: RunFolder, findings: Findings) -> list[tuple[MetricFacts, LoadedMetric | None]]:
    """Return the metrics of the table as recorded and as loaded now; None for a metric that is gone or has changed."""
    protocol = folder.manifest.protocol
    metrics: list[tuple[MetricFacts, LoadedMetric | None]] = []
    for facts in folder.manifest.metrics:
        metric = None
        try:
            metric = reopened(facts, protocol.quantize, protocol.samples)
        except SRBenchError as error:
            findings.add("not-measured", facts.title, f"the metric is not here: {error}")
        if metric is not None and metric.facts.signature != facts.signature:
            rule = "record-foreign" if metric.facts.digest == facts.digest else "not-measured"
            findings.add(rule, facts.title, f"its protocol is {metric.facts.signature}, not {facts.signature}")
            metric = None
        elif metric is not None and metric.facts.digest != facts.digest:
            findings.add("code-changed", facts.title, "its code has changed since it was measured")
        metrics.append((facts, metric))
    return metrics


@dataclass(frozen=True)
class _Check:
    """Checks the records of a run one by one."""

    folder: RunFolder
    findings: Findings
    metrics: list[tuple[MetricFacts, LoadedMetric | None]]
    sampler: Sampler

    def open_models(self, needed: set[str]) -> None:
        """Load the models of the table and compare their weights; a missing model is a finding if it is ``needed``."""
        for facts in self.folder.manifest.models:
            try:
                model = self.sampler.load(facts.label)
            except SRBenchError as error:
                rule = "not-sampled" if facts.label in needed else "code-changed"
                self.findings.add(rule, facts.label, f"it is not here: {error}")
                continue
            stated = _weights_of(facts)
            actual = _weights_of(model)
            if model.digest == facts.digest and stated != actual:
                self.findings.add("weights-differ", facts.label, f"its weights are {actual}, not {stated}")
            elif model.digest != facts.digest:
                weights = "" if stated == actual else f"; its weights are {actual}, not {stated}"
                self.findings.add("code-changed", facts.label, f"its code or weights have changed{weights}")

    def check(self, record: SampleRecord, pair: ImagePair | None, *, sampled_again: bool) -> None:
        """Sample an item again if ``sampled_again``, then measure all its values again."""
        where = f"{record.setting.folder} {record.image}"
        exact = None
        if sampled_again and pair is None:
            self.findings.add("not-sampled", where, "its LR or HR image is missing or has changed")
        elif sampled_again and pair is not None:
            exact = self._sample_again(record, pair)
        images = self._saved(record)
        if exact is not None and (images is None or len(images) < len(record.outputs)):
            images = quantize(exact, self.folder.manifest.protocol.quantize)
        for facts, metric in self.metrics:
            score = self.folder.score(record, facts)
            if score is None or score.failed or score.value is None:
                continue
            if metric is None:
                self.findings.leave(facts.title, "the metric is not here, or its protocol has changed")
            elif metric.facts.sees == "model":
                self._measure_model_again(record, metric, score.value)
            elif pair is None or ("HR" in metric.facts.needs and not pair.has_hr):
                self.findings.leave(facts.title, "LR or HR is missing or has changed")
            elif metric.facts.sees == "returned" and exact is None:
                self.findings.leave(facts.title, "it needs outputs as the model returned them; use --resample all")
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
        only_some = f"{record.kept} of {count} samples were saved; use --resample all"
        if len(images) < count and not isinstance(known, list):
            self.findings.leave(title, only_some)
            return
        try:
            value = measure(metric.metric, images, pair, self.sampler.device)
        except SRBenchError as error:
            self.findings.leave(f"{where}: {title}", f"could not be measured again: {error}")
            return
        compared = known[: len(images)] if isinstance(known, list) else known
        if not _equal(value, compared):
            if metric.facts.gpu and device != self.sampler.device and _equal(value, compared, ON_DEVICES):
                self.findings.leave(title, f"it was measured on {device}, and differs here by up to {ON_DEVICES:g}")
            else:
                self._contradict(where, title, value, compared)
        elif len(images) < count:
            self.findings.leave(title, only_some)
        else:
            self.findings.verified += 1

    def _measure_model_again(self, record: SampleRecord, metric: LoadedMetric, known: Value) -> None:
        """Measure a metric of the model again, unless it is a time: a value that changes with the record's seconds."""
        title = metric.facts.title
        if getattr(metric.metric, "is_time", False):
            self.findings.leave(title, "it is a time, which cannot be measured again")
            return
        model = self.sampler.models.get(record.model)
        if model is None or not self._is_same(record):
            self.findings.leave(title, "the model, or the machine of its run, is not here")
            return
        slower = replace(record, seconds=2 * record.seconds + 1)
        try:
            value = measure_model(metric, model.model, self.sampler.device, record)
            value_if_slower = measure_model(metric, model.model, self.sampler.device, slower)
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

    def _sample_again(self, record: SampleRecord, pair: ImagePair) -> Tensor | None:
        """Sample an item again; return the unquantised outputs if they match the record, else None."""
        loaded = self.sampler.models.get(record.model)
        if loaded is None:
            return None
        where = f"{record.setting.folder} {record.image}"
        known = self.folder.of(record.image).pair
        assert known is not None
        assert known.lr is not None
        try:
            if source_of(loaded.model, record.image) != record.source:
                self.findings.add("not-sampled", where, "the result files have changed since they were measured")
                return None
            output = self.sampler.sample(loaded.model, pair, known.lr.pixels, record.temperature)
        except SRBenchError as error:
            self.findings.add("not-sampled", where, f"could not be sampled again: {error}")
            return None
        images = quantize(output.images, self.folder.manifest.protocol.quantize)
        if same_outputs(record, images):
            self.findings.sampled += 1
            return output.images
        text, is_rounding = _difference(images, self._saved(record))
        if is_rounding:
            self.findings.sampled += 1
            self.findings.add("rounded", where, text)
        else:
            rule = "sample-differs" if self._is_same(record) else "not-sampled"
            self.findings.add(rule, where, f"sampled again, {text}")
        return None

    def _saved(self, record: SampleRecord) -> Tensor | None:
        """Read the saved outputs of a record; None if none was saved, or any was changed."""
        if not record.kept:
            return None
        return kept_outputs(self.folder, replace(record, outputs=record.outputs[: record.kept]))

    def _is_same(self, record: SampleRecord) -> bool:
        """Return whether the model is unchanged since the run, and this machine is equivalent to the run's."""
        now = environment(self.sampler.device)
        known = self.folder.environments.get(record.environment)
        if known is None or any(now.get(fact) != known.facts[fact] for fact in _MACHINE if fact in known.facts):
            return False
        return self.sampler.models[record.model].digest == self.folder.manifest.model(record.model).digest


def _weights_of(model: ModelFacts) -> str:
    """Describe the weights that a model states."""
    weights = model.weights
    if weights is None:
        return "not stated"
    return (
        f"sha256 {weights.sha256}, {weights.licence}, trained on {weights.trained_on}, {weights.parameters} parameters"
    )


def _difference(images: Tensor, saved: Tensor | None) -> tuple[str, bool]:
    """Describe the difference of outputs, and return whether rounding on another processor can explain it."""
    if saved is None or saved.shape != images.shape:
        return "it is a different image", False
    difference = (images.int() - saved.int()).abs()
    share = float((difference > 0).double().mean())
    largest = int(difference.max())
    if largest == 1 and share <= ROUNDED:
        return f"equal up to rounding (one grey level in {share:.2%} of pixel values)", True
    return f"{share:.2%} of its pixel values differ, by up to {largest} grey levels", False


def _equal(value: Value, known: Value, tolerance: float = TOLERANCE) -> bool:
    same_shape = np.shape(value) == np.shape(known)
    return same_shape and all(
        math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(a) and math.isnan(b))
        for a, b in zip(np.ravel(value), np.ravel(known), strict=True)
    )


def _short(value: Value) -> str:
    return ", ".join(f"{number:.6g}" for number in np.ravel(value)[:5])
