"""``srbench verify``: hash the files of a run folder, measure its values again, and sample items again."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from srbench.benchmark.sampling import kept_outputs, kept_pair, same_outputs, sample, source_of
from srbench.benchmark.scoring import measure
from srbench.images.io import quantize
from srbench.interfaces import ImagePair, MetricFacts, Progress, SRBenchError, Step, silent
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel, load_model
from srbench.plugins.registry import LoadedMetric, open_metric
from srbench.run_folder.folder import SUMS, RunFolder, is_kept, read_sums
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value
from srbench.weights.files import sha256_file

TOLERANCE = 1e-5
"""Largest relative difference of two values of one metric: what other processors and library versions change."""
ROUNDED = 0.01
"""Largest share of numbers that may be one grey level off if an item is sampled on another processor."""
SHOWN = 20
"""Number of faults and of remarks that are printed; the JSON has all."""


@dataclass
class Findings:
    """Results of a check: counts, faults and remarks."""

    folder: Path
    images: int = 0
    """Number of kept images that are byte for byte those of their records."""
    images_kept: int = 0
    scores: int = 0
    """Number of values that were measured again and found equal."""
    scores_all: int = 0
    sampled: int = 0
    """Number of items that were sampled again and found equal."""
    sampled_all: int = 0
    items: int = 0
    faults: list[str] = field(default_factory=list)
    """Contradictions of the table."""
    remarks: list[str] = field(default_factory=list)
    """Facts a reader should know that do not contradict the table."""

    @property
    def proven(self) -> bool:
        """True if everything is as the folder states it."""
        return not self.faults

    def facts(self) -> dict[str, Any]:
        """The findings for JSON."""
        return asdict(self) | {"folder": str(self.folder), "proven": self.proven}

    def text(self) -> str:
        """The findings for a reader."""
        lines: list[str] = []
        for sentences in (self.faults, self.remarks):
            lines += sentences[:SHOWN]
            if len(sentences) > SHOWN:
                lines.append(f"and {len(sentences) - SHOWN} more")
        verdict = "equal" if self.proven else f"{len(self.faults)} differences"
        lines.append(
            f"{self.folder}: {self.images} of {self.images_kept} images are those of their records; re-measured "
            f"{self.scores} of {self.scores_all} scores and {self.sampled} of {self.sampled_all or self.items} samples"
            f": {verdict}"
        )
        return "\n".join(lines)


def verify(
    path: Path, *, resample: int = 0, device: str = "auto", progress: Progress = silent,
    models: Mapping[str, LoadedModel] | None = None,
) -> Findings:  # fmt: skip
    """Check a run folder against itself, and its values against its images.

    ``resample`` items, chosen at random but always the same ones, are sampled again by their models: those in
    ``models`` by label, or those that the run names. Raises SRBenchError if the folder holds no run or a line is
    damaged.
    """
    folder, found = RunFolder.read(path), Findings(path)
    _check_sums(folder, found)
    _check_structure(folder, found)
    metrics = _metrics(folder, found)
    samples = (record for known in folder.known.values() for record in known.samples.values() if not record.failed)
    current = (record for record in samples if folder.sample(record.setting, record.image) is record)
    records = sorted(current, key=lambda record: record.image)
    found.items = len(records)
    again = set(random.Random(0).sample(records, min(resample, len(records))))
    found.sampled_all = len(again)
    device = choose_device(device)
    opened = _models(folder, {record.model for record in again}, device, models or {}, found)
    proof = _Proof(folder, metrics, opened, device, found)
    pair: ImagePair | None = None
    for done, record in enumerate(records):
        progress(Step(done, len(records), f"{record.setting.folder} {record.image}"))
        if pair is None or pair.name != record.image:
            pair = kept_pair(folder, record.image)
        if pair is None:
            found.faults.append(f"{record.image}: LR or HR is missing or another image; nothing of it can be measured")
        else:
            proof.measure_again(record, pair, proof.sample_again(record, pair) if record in again else None)
    progress(Step(len(records), len(records), ""))
    return found


def _check_sums(folder: RunFolder, found: Findings) -> None:
    """Compare records and manifest with SHA256SUMS, unless the last command stopped before it wrote that."""
    if folder.manifest.invocations and folder.manifest.invocations[-1].finished is None:
        found.remarks.append(f"{SUMS}: the last command did not finish; files were not compared with it")
        return
    sums = read_sums(folder.path)
    if sums is None:
        found.faults.append(f"{SUMS}: it is missing or damaged; files were not compared with it")
        return
    for name, digest in sums.items():
        file = folder.path / name
        if file.suffix != ".png" and not (file.is_file() and sha256_file(file) == digest):  # images have records
            found.faults.append(f"{name}: is missing or not the file that {SUMS} states")


def _check_structure(folder: RunFolder, found: Findings) -> None:
    """Look for missing and foreign lines, and compare every kept image with its record."""
    finished: dict[tuple[Setting, str], bool] = {}
    """True for an item that a finished command asked for, False for one that only unfinished ones did."""
    for invocation in folder.manifest.invocations:
        for item in product(invocation.settings, invocation.images):
            finished[item] = finished.get(item, False) or invocation.finished is not None
    for (setting, image), is_finished in sorted(finished.items(), key=lambda one: one[0][1]):
        _check_item(folder, setting, image, is_finished, found)
    found.faults += _foreign_lines(folder)
    for file, known in folder.kept_images():
        found.images_kept += 1
        if is_kept(file, known):
            found.images += 1
        else:
            reason = "is not the image of its record" if file.exists() else "is missing"
            found.faults.append(f"{file.relative_to(folder.path).as_posix()}: {reason}")


def _check_item(folder: RunFolder, setting: Setting, image: str, finished: bool, found: Findings) -> None:
    record, known, where = folder.sample(setting, image), folder.of(image), f"{setting.folder} {image}"
    if record is None and known.pair is not None and known.pair.failed:
        found.remarks.append(f"{where}: could not be read: {known.pair.error}")
    elif record is None and setting in known.samples:
        found.remarks.append(f"{where}: left out, as it is of other code, weights or images than the manifest names")
    elif record is None and finished:
        found.faults.append(f"{where}: its line in samples.jsonl is missing")
    elif record is None:
        found.remarks.append(f"{where}: not sampled, as the command did not finish")
    elif record.failed:
        found.remarks.append(f"{where}: failed: {record.error}")
    else:
        found.faults += _missing_scores(folder, record, where)


def _missing_scores(folder: RunFolder, record: SampleRecord, where: str) -> Iterator[str]:
    """Name values that are missing although a later command has measured all that were lacking."""
    since = [one for one in folder.manifest.invocations[record.invocation :] if one.finished is not None]
    measured = {name for one in since for name in one.metrics}
    for metric in folder.manifest.metrics:
        if metric.name in measured and folder.score(record, metric) is None:
            yield f"{where}: its {metric.title} is missing in rows.jsonl, or of another source or other images"


def _foreign_lines(folder: RunFolder) -> Iterator[str]:
    """Name lines about something that the manifest does not know."""
    manifest = folder.manifest
    settings, images = set(manifest.settings), set(manifest.images)
    names, count = {metric.name for metric in manifest.metrics}, len(manifest.invocations)
    for image, known in folder.known.items():
        for setting in known.samples:
            if setting not in settings or image not in images:
                yield f"samples.jsonl: {setting.folder} {image} is in no plan of the manifest"
        for score in known.scores.values():
            if score.setting not in settings or score.metric not in names:
                where = f"{score.setting.folder} {image}"
                yield f"rows.jsonl: {score.metric} of {where} is in no plan of the manifest"
    lines = (line for known in folder.known.values() for line in known.lines())
    if foreign := next((line for line in lines if not 0 <= line.invocation < count), None):
        yield f"{foreign.FILE}: {foreign.image} names command {foreign.invocation}, and the manifest has {count}"


def _metrics(folder: RunFolder, found: Findings) -> list[tuple[MetricFacts, LoadedMetric]]:
    """The metrics of the table that can be loaded, as they were and as they are.

    A metric whose source has changed is named, and measured all the same.
    """
    metrics, protocol = [], folder.manifest.protocol
    for facts in folder.manifest.metrics:
        try:
            metric = open_metric(facts.spec, protocol.quantize, protocol.samples)
        except SRBenchError as error:
            found.faults.append(f"{facts.title} cannot be measured again: {error}")
            continue
        earlier = f"{facts.signature}|n{protocol.samples}"  # formats 2 and 3 do not state the number of samples
        if metric.facts.signature not in (facts.signature, earlier):
            found.faults.append(f"{facts.title}: its protocol is now {metric.facts.signature}, not {facts.signature}")
        elif metric.facts.digest != facts.digest:
            found.remarks.append(f"{facts.title}: its source is another than when it was measured")
        metrics.append((facts, metric))
    return metrics


def _models(
    folder: RunFolder, needed: set[str], device: str, known: Mapping[str, LoadedModel], found: Findings
) -> dict[str, LoadedModel]:
    """The models of the table that are known or can be loaded, their weights compared; those ``needed`` must be."""
    models = {}
    for facts in folder.manifest.models:
        try:
            loaded = known.get(facts.label) or load_model(facts.spec, folder.manifest.protocol.scale, device)
        except SRBenchError as error:
            if facts.label in needed:
                found.faults.append(f"{facts.label} cannot be sampled again: {error}")
            else:
                found.remarks.append(f"{facts.label} is not here, so its weights were not compared: {error}")
            continue
        before, now = (one.weights.sha256 if one.weights else None for one in (facts, loaded))
        if before != now:
            found.faults.append(f"{facts.label}: its weights have sha256 {now}, not {before}")
        elif loaded.digest != facts.digest:
            found.remarks.append(f"{facts.label}: its code or parameters are others than when it was sampled")
        models[facts.label] = loaded
    return models


@dataclass(frozen=True)
class _Proof:
    folder: RunFolder
    metrics: list[tuple[MetricFacts, LoadedMetric]]
    models: dict[str, LoadedModel]
    device: str
    found: Findings

    def sample_again(self, record: SampleRecord, pair: ImagePair) -> Tensor | None:
        """Sample an item; returns the outputs before quantisation if they are those of the record."""
        if record.model not in self.models:
            return None
        where, model, found = f"{record.setting.folder} {record.image}", self.models[record.model].model, self.found
        try:
            if source_of(model, record.image) != record.source:
                found.faults.append(f"{where}: the files of the results are others than those that were measured")
                return None
            output = sample(self.folder, model, pair, record.temperature, self.device)
        except SRBenchError as error:
            found.faults.append(f"{where}: could not be sampled again: {error}")
            return None
        images = quantize(output.images, self.folder.manifest.protocol.quantize)
        if same_outputs(record, images):
            found.sampled += 1
            return output.images
        kept = kept_outputs(self.folder, record)
        if kept is None or kept.shape != images.shape:
            found.faults.append(f"{where}: sampled again, it is another image")
            return None
        difference = (images.int() - kept.int()).abs()
        share, most = float((difference > 0).double().mean()), int(difference.max())
        if most == 1 and share <= ROUNDED:
            found.sampled += 1
            found.remarks.append(
                f"{where}: sampled again, equal up to rounding (one grey level in {share:.2%} of numbers)"
            )
        else:
            found.faults.append(
                f"{where}: sampled again, {share:.2%} of its numbers differ, by up to {most} grey levels"
            )
        return None

    def measure_again(self, record: SampleRecord, pair: ImagePair, exact: Tensor | None) -> None:
        """Measure the kept images of a record, or ``exact``, its outputs before quantisation."""
        images, found = kept_outputs(self.folder, record), self.found
        where, count = f"{record.setting.folder} {record.image}", len(record.outputs)
        if images is None and exact is not None:
            images = quantize(exact, self.folder.manifest.protocol.quantize)
        elif images is None and record.kept == count:
            found.faults.append(f"{where}: its images are not those of the record; nothing was measured again")
        elif images is None:
            found.remarks.append(f"{where}: {record.kept} of {count} samples were kept; see --resample")
        for facts, metric in self.metrics:
            score = self.folder.score(record, facts)
            if score is None or score.failed or score.value is None or metric.facts.sees == "model":
                continue  # images do not tell what a model costs
            found.scores_all += 1
            seen = exact if metric.facts.sees == "returned" else images
            if seen is not None and (fault := _compare(metric, seen, pair, score, score.value)):
                found.faults.append(fault)
            elif seen is not None:
                found.scores += 1


def _compare(metric: LoadedMetric, images: Tensor, pair: ImagePair, score: ScoreRecord, known: Value) -> str:
    where = f"{score.setting.folder} {score.image}: {metric.facts.title}"
    try:
        value = measure(metric.metric, images, pair)
    except SRBenchError as error:
        return f"{where} could not be measured again: {error}"
    return "" if _equal(value, known) else f"{where} is {_short(value)}, and the table has {_short(known)}"


def _equal(one: Value, other: Value) -> bool:
    pairs = zip(np.ravel(one), np.ravel(other), strict=False)
    same = np.shape(one) == np.shape(other)
    return same and all(math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for a, b in pairs)


def _short(value: Value) -> str:
    return ", ".join(f"{number:.6g}" for number in np.ravel(value)[:5])
