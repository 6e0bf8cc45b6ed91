"""``srbench verify``: is a run folder what it says? Files are hashed, images measured and items sampled again."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srbench.benchmark.sampling import kept_outputs, kept_pair, same_outputs, sample, source_of
from srbench.benchmark.scoring import measure
from srbench.images.io import quantize
from srbench.interfaces import ImagePair, MetricFacts, Progress, SRBenchError, Step, silent
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel, load_model
from srbench.plugins.registry import LoadedMetric, open_metric
from srbench.run_folder.checksums import FILE as SUMS
from srbench.run_folder.checksums import read_sums
from srbench.run_folder.folder import Place, RunFolder, is_kept
from srbench.run_folder.protocol import setting_folder
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value
from srbench.weights.files import sha256_file

TOLERANCE = 1e-5
"""Relative, between two values of one metric: what other processors and versions of libraries change."""
ROUNDED = 0.01
"""Of an image that is sampled on another processor, at most this share of the numbers may be one grey level off."""
SHOWN = 20
"""How many faults and remarks are printed; all are in the JSON."""


@dataclass
class Findings:
    """What was looked at, and what is wrong."""

    folder: Path
    images: int = 0
    """Kept images that are byte for byte those of their records."""
    images_kept: int = 0
    """All that should be there."""
    scores: int = 0
    """Values measured again and found equal."""
    scores_all: int = 0
    sampled: int = 0
    """Items sampled again and found equal."""
    sampled_all: int = 0
    """Items asked to be sampled again."""
    items: int = 0
    faults: list[str] = field(default_factory=list)
    """What contradicts the table."""
    remarks: list[str] = field(default_factory=list)
    """What a reader should know and does not contradict it."""

    @property
    def proven(self) -> bool:
        """Was everything found as the folder says it is?"""
        return not self.faults

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"folder": str(self.folder), "proven": self.proven}

    def text(self) -> str:
        """For a reader."""
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
    ``models`` by label, or those that the run names.
    Raises SRBenchError where the folder holds no run, or lines of it are damaged.
    """
    folder, found = RunFolder.read(path), Findings(path)
    _check_sums(folder, found)
    _check_structure(folder, found)
    metrics = _metrics(folder, found)
    places = _places(folder)
    found.items = len(places)
    again = set(random.Random(0).sample(places, min(resample, len(places))))
    found.sampled_all = len(again)
    device = choose_device(device)
    opened = _models(folder, {model for model, _, _ in again}, device, models or {}, found)
    pair: ImagePair | None = None
    for done, (model, temperature, image) in enumerate(places):
        progress(Step(done, len(places), f"{setting_folder(model, temperature)} {image}"))
        if pair is None or pair.name != image:
            pair = kept_pair(folder, image)
        if pair is None:
            found.faults.append(f"{image}: LR or HR is missing or another image; nothing of it can be measured")
            continue
        record = folder.of(image).samples[model, temperature]
        is_again = (model, temperature, image) in again
        exact = _sample_again(folder, record, pair, opened, device, found) if is_again else None
        _measure_again(folder, record, pair, metrics, exact, found)
    progress(Step(len(places), len(places), ""))
    return found


def _places(folder: RunFolder) -> list[Place]:
    """All that is sampled and current, image by image."""
    places = [
        (*place, image)
        for image, known in folder.by_image()
        for place, record in known.samples.items()
        if not record.failed and folder.sample(*place, image) is record
    ]
    return sorted(places, key=lambda place: place[2])


def _check_sums(folder: RunFolder, found: Findings) -> None:
    """Records and manifest are those of SHA256SUMS, unless a command did not come to the point of writing it."""
    if any(one.finished is None for one in folder.manifest.invocations[-1:]):
        found.remarks.append(f"{SUMS}: the last command did not finish; files were not compared with it")
        return
    sums = read_sums(folder.path)
    if sums is None:
        found.faults.append(f"{SUMS}: it is missing or damaged; files were not compared with it")
        return
    for name, digest in sums.items():
        file = folder.path / name
        if name.endswith(".png"):
            continue  # compared with their records
        try:
            same = sha256_file(file) == digest
        except OSError:
            same = False
        if not same:
            found.faults.append(f"{name}: is missing or not the file that {SUMS} states")


def _check_structure(folder: RunFolder, found: Findings) -> None:
    """No missing or foreign lines, and every kept image that of its record."""
    manifest = folder.manifest
    done: dict[Place, bool] = {}
    """Asked for: has a command that asked for it come to its end?"""
    for invocation in manifest.invocations:
        for setting in invocation.settings:
            for image in manifest.planned(setting, invocation.shard):
                place = setting.model, setting.temperature, image
                done[place] = done.get(place, False) or invocation.finished is not None
    for place, finished in sorted(done.items(), key=lambda one: one[0][2]):
        _check_place(folder, *place, finished, found)
    found.faults += _foreign_lines(folder)
    for file, known in folder.kept_images():
        found.images_kept += 1
        if is_kept(file, known):
            found.images += 1
        else:
            name = file.relative_to(folder.path).as_posix()
            reason = "is not the image of its record" if file.exists() else "is missing"
            found.faults.append(f"{name}: {reason}")


def _check_place(
    folder: RunFolder, model: str, temperature: float | None, image: str, finished: bool, found: Findings
) -> None:
    """A setting and an image that were asked for have a line, and a value of every metric."""
    record, known = folder.sample(model, temperature, image), folder.of(image)
    where = f"{setting_folder(model, temperature)} {image}"
    if record is None and known.pair is not None and known.pair.failed:
        found.remarks.append(f"{where}: could not be read: {known.pair.error}")
    elif record is None and (model, temperature) in known.samples:
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
    """Values that are not there although a later command has measured all that were lacking."""
    since = [one for one in folder.manifest.invocations[record.invocation :] if one.finished is not None]
    measured = {name for one in since for name in one.metrics}
    for metric in folder.manifest.metrics:
        if metric.name in measured and folder.score(record, metric) is None:
            yield f"{where}: its {metric.title} is missing in rows.jsonl, or of another source or other images"


def _foreign_lines(folder: RunFolder) -> Iterator[str]:
    """Lines on what the manifest does not know."""
    manifest = folder.manifest
    settings = {(setting.model, setting.temperature) for setting in manifest.settings}
    names, images = {metric.name for metric in manifest.metrics}, set(manifest.images)
    count, foreign = len(manifest.invocations), ""
    for image, known in folder.by_image():
        for model, temperature in known.samples:
            if (model, temperature) not in settings or image not in images:
                yield f"samples.jsonl: {setting_folder(model, temperature)} {image} is in no plan of the manifest"
        for score in known.scores.values():
            if (score.model, score.temperature) not in settings or score.metric not in names:
                where = f"{setting_folder(score.model, score.temperature)} {image}"
                yield f"rows.jsonl: {score.metric} of {where} is in no plan of the manifest"
        pair = [] if known.pair is None else [known.pair]
        for line in (*pair, *known.samples.values(), *known.scores.values()):
            if not foreign and not 0 <= line.invocation < count:
                foreign = f"{line.FILE}: {image} names command {line.invocation}, and the manifest has {count}"
    if foreign:
        yield foreign


def _metrics(folder: RunFolder, found: Findings) -> list[tuple[MetricFacts, LoadedMetric]]:
    """The metrics of the table that are here, as they were and as they are.

    One whose source has changed is named, and measured all the same.
    """
    metrics = []
    for facts in folder.manifest.metrics:
        try:
            metric = open_metric(facts.spec, folder.manifest.protocol.quantize)
        except SRBenchError as error:
            found.faults.append(f"{facts.title} cannot be measured again: {error}")
            continue
        if metric.facts.signature != facts.signature:
            found.faults.append(f"{facts.title}: its protocol is now {metric.facts.signature}, not {facts.signature}")
        elif metric.facts.digest != facts.digest:
            found.remarks.append(f"{facts.title}: its source is another than when it was measured")
        metrics.append((facts, metric))
    return metrics


def _models(
    folder: RunFolder, needed: set[str], device: str, known: Mapping[str, LoadedModel], found: Findings
) -> dict[str, LoadedModel]:
    """The models of the table that are known or here, their weights compared; those ``needed`` have to be."""
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


def _sample_again(
    folder: RunFolder, record: SampleRecord, pair: ImagePair, models: dict[str, LoadedModel], device: str,
    found: Findings,
) -> Tensor | None:  # fmt: skip
    """Sample an item; returns the outputs as they were before quantisation where they are those of the record."""
    if record.model not in models:
        return None
    where, model = f"{setting_folder(record.model, record.temperature)} {record.image}", models[record.model].model
    try:
        if source_of(model, record.image) != record.source:
            found.faults.append(f"{where}: the files of the results are others than those that were measured")
            return None
        output = sample(folder, model, pair, record.temperature, device)
    except SRBenchError as error:
        found.faults.append(f"{where}: could not be sampled again: {error}")
        return None
    images, kept = quantize(output.images, folder.manifest.protocol.quantize), kept_outputs(folder, record)
    if same_outputs(record, images):
        found.sampled += 1
        return output.images
    if kept is None or kept.shape != images.shape:
        found.faults.append(f"{where}: sampled again, it is another image")
        return None
    difference = (images.int() - kept.int()).abs()
    share, most = float((difference > 0).double().mean()), int(difference.max())
    if most == 1 and share <= ROUNDED:
        found.sampled += 1
        found.remarks.append(f"{where}: sampled again, equal up to rounding (one grey level in {share:.2%} of numbers)")
    else:
        found.faults.append(f"{where}: sampled again, {share:.2%} of its numbers differ, by up to {most} grey levels")
    return None


def _measure_again(
    folder: RunFolder, record: SampleRecord, pair: ImagePair, metrics: Sequence[tuple[MetricFacts, LoadedMetric]],
    exact: Tensor | None, found: Findings,
) -> None:  # fmt: skip
    images: Tensor | None = kept_outputs(folder, record)
    if images is None and exact is not None:
        images = quantize(exact, folder.manifest.protocol.quantize)
    if images is None:
        where = f"{setting_folder(record.model, record.temperature)} {record.image}"
        if record.kept == len(record.outputs):
            found.faults.append(f"{where}: its images are not those of the record; nothing was measured again")
        else:
            found.remarks.append(f"{where}: {record.kept} of {len(record.outputs)} samples were kept; see --resample")
    for facts, metric in metrics:
        score = folder.score(record, facts)
        if score is None or score.failed or score.value is None or metric.of_model:
            continue  # what a model costs, its images do not tell
        found.scores_all += 1
        seen = exact if metric.unquantised else images
        if seen is None:
            continue
        fault = _compare(metric, seen, pair, score)
        if fault:
            found.faults.append(fault)
        else:
            found.scores += 1


def _compare(metric: LoadedMetric, images: Tensor, pair: ImagePair, score: ScoreRecord) -> str:
    where = f"{setting_folder(score.model, score.temperature)} {score.image}: {metric.facts.title}"
    try:
        value = measure(metric.metric, images, pair)
    except SRBenchError as error:
        return f"{where} could not be measured again: {error}"
    assert score.value is not None
    if _equal(value, score.value):
        return ""
    return f"{where} is {_short(value)}, and the table has {_short(score.value)}"


def _equal(one: Value, other: Value) -> bool:
    if isinstance(one, list) != isinstance(other, list):
        return False
    ours, theirs = (value if isinstance(value, list) else [value] for value in (one, other))
    return len(ours) == len(theirs) and all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for a, b in zip(ours, theirs, strict=True)
    )


def _short(value: Value) -> str:
    numbers = torch.tensor(value, dtype=torch.float64).flatten().tolist()
    return ", ".join(f"{number:.6g}" for number in numbers[:5])
