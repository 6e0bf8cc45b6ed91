"""Check of a run folder: files against hashes, values against images, images against models, report against records."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from srbench.benchmark.sampler import Sampler
from srbench.interfaces import ImagePair
from srbench.models import LoadedModel
from srbench.models.inference import choose_device
from srbench.reporting.generated_folder import FOLDER
from srbench.reporting.writers.check import report_findings
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Invocation
from srbench.run_folder.records import SampleRecord
from srbench.terminal.progress import Progress, Step, silent
from srbench.verification.findings import Findings
from srbench.verification.images import RunImages, images_of
from srbench.verification.records import check_records, check_request, check_sums
from srbench.verification.samples import Resampling
from srbench.verification.values import Remeasuring, open_metrics


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
    check_sums(folder, findings)
    check_records(folder, findings)
    datasets = check_request(folder, findings)
    records = [
        record
        for records in folder.by_image.values()
        for record in records.samples.values()
        if not record.failed and folder.sample(record.setting, record.image) is record
    ]
    records.sort(key=lambda record: record.image)
    findings.items = len(records)
    findings.recorded = list(dict.fromkeys(map(_machine, folder.manifest.invocations)))
    count = len(records) if resample == "all" else min(resample, len(records))
    chosen = set(random.Random(0).sample(records, count))
    findings.tried = count
    with images_of(folder, datasets if count == len(records) else {}) as images:
        _check_items(images, findings, records, chosen, device, progress, models)
        images.check(findings)
        _check_report(images.folder.path, findings)
    if not findings.verified and not findings.contradicted:
        findings.add("not-measured", path.name, "none of its values could be measured again")
    return findings


def _check_items(
    images: RunImages,
    findings: Findings,
    records: Sequence[SampleRecord],
    chosen: Collection[SampleRecord],
    device: str,
    progress: Progress,
    models: Mapping[str, LoadedModel] | None,
) -> None:
    """Sample the chosen items again, and measure the values of all."""
    folder = images.folder
    resampling = Resampling(images, findings, Sampler(folder.manifest, choose_device(device), dict(models or {})))
    values = Remeasuring(folder, findings, open_metrics(folder, findings), resampling)
    done = 0
    # In reverse order, each loaded when its turn comes, so that an effect of a model on those loaded after it is not
    # repeated.
    for model in reversed(folder.manifest.models):
        resampling.open(model)
        for record in (record for record in records if record.model == model.label):
            resampling.check_training(record)
            if record not in chosen:
                continue
            progress(Step(done, len(records), f"{record.setting.folder} {record.image}"))
            exact = resampling.check(record, images.pair(record.image))
            values.check(record, images.pair(record.image), exact)
            done += 1
    # Image by image, so that a pair is read once and metrics keep what they compute from HR.
    pair: ImagePair | None = None
    for record in (record for record in records if record not in chosen):
        progress(Step(done, len(records), f"{record.setting.folder} {record.image}"))
        if pair is None or pair.name != record.image:
            pair = images.pair(record.image)
        values.check(record, pair, None)
        done += 1
    progress(Step(len(records), len(records), ""))
    values.check_many()


def _machine(command: Invocation) -> str:
    """Name hardware, software and date of a command, as recorded."""
    hardware = [command.hardware[name] for name in ("cpu", "gpu", "device", "engine") if name in command.hardware]
    software = [f"{name} {command.software[name]}" for name in ("torch", "sr-bench") if name in command.software]
    return ", ".join([*hardware, *software, command.started[:10]])


def verify_leaderboard(folder: Path) -> Findings:
    """Check the report of a folder of runs against their records and verdicts, as far as there is a report."""
    findings = Findings(folder / FOLDER, runs={})
    _check_report(folder, findings)
    return findings


def _check_report(path: Path, findings: Findings) -> None:
    findings.has_report = (path / FOLDER).is_dir()
    for kind, where, text in report_findings(path):
        findings.add("report-differs" if kind == "differs" else "not-compared", where, text)
