"""``srbench verify``: hash the files of a run folder, measure its values again, and sample items again.

What the report prints is checked by ``srbench.reporting.check``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from srbench.benchmark.findings import Findings
from srbench.benchmark.pairs_again import check_pairs
from srbench.benchmark.proof import Proof, open_metrics_again, open_models_again
from srbench.benchmark.sampling import kept_pair
from srbench.benchmark.structure import check_images, check_records, check_sums
from srbench.interfaces import ImagePair, Progress, Step, silent
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel
from srbench.run_folder.folder import RunFolder
from srbench.voting.records import check_votes


def verify(
    path: Path, *, resample: int | Literal["all"] = 0, device: str = "auto", progress: Progress = silent,
    models: Mapping[str, LoadedModel] | None = None,
) -> Findings:  # fmt: skip
    """Check a run folder against itself, and its values against its images.

    ``resample`` items, chosen at random but always the same ones, are sampled again by their models: those in
    ``models`` by label, or those that the run names. Raises SRBenchError if the folder holds no run or a line is
    damaged.
    """
    folder, found = RunFolder.read(path), Findings(path)
    check_sums(folder, found)
    check_records(folder, found)
    check_images(folder, found)
    named = [(model.label, model.evidence) for model in folder.manifest.models]
    for name, evidence in [*named, *((metric.title, metric.evidence) for metric in folder.manifest.metrics)]:
        if evidence is not None and evidence.unknown:
            found.add("SRB209", name, f"cannot tell whether it has changed: {evidence.unknown}")
    metrics = open_metrics_again(folder, found)
    samples = (record for known in folder.known.values() for record in known.samples.values() if not record.failed)
    current = (record for record in samples if folder.sample(record.setting, record.image) is record)
    records = sorted(current, key=lambda record: record.image)
    found.items = len(records)
    count = len(records) if resample == "all" else min(resample, len(records))
    again = set(random.Random(0).sample(records, count))
    found.sampled_all = len(again)
    device = choose_device(device)
    opened = open_models_again(folder, {record.model for record in again}, device, models or {}, found)
    check_pairs(folder, dict.fromkeys(record.image for record in records if record in again), found)
    proof = Proof(folder, metrics, opened, device, found)
    pair: ImagePair | None = None
    for done, record in enumerate(records):
        progress(Step(done, len(records), f"{record.setting.folder} {record.image}"))
        if pair is None or pair.name != record.image:
            pair = kept_pair(folder, record.image)
        proof.check(record, pair, sampled=record in again)
    progress(Step(len(records), len(records), ""))
    for rule, where, text in check_votes(folder):
        found.add(rule, where, text)
    if not found.verified:
        found.add("SRB114", path.name, "no value of it could be measured again")
    return found
