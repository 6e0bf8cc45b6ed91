"""``srbench verify``: hash the files of a run folder, measure its values again, and sample items again.

What the report prints is checked by ``srbench.reporting.check``.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from srbench.benchmark import BenchmarkError
from srbench.benchmark.findings import Findings
from srbench.benchmark.proof import Proof, open_metrics_again, open_models_again
from srbench.benchmark.request import RunSpec, open_dataset
from srbench.benchmark.sampling import kept_pair, read_pair
from srbench.benchmark.structure import check_images, check_records, check_sums
from srbench.data.benchmark_sets.table import benchmark_sets, is_here
from srbench.images.io import pixels_sha256, quantize_floor
from srbench.interfaces import Dataset, ImagePair, Progress, SRBenchError, Step, silent
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Protocol


def verify(
    path: Path,
    *,
    resample: int | Literal["all"] = 0,
    device: str = "auto",
    progress: Progress = silent,
    models: Mapping[str, LoadedModel] | None = None,
) -> Findings:
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
    _check_pairs(folder, dict.fromkeys(record.image for record in records if record in again), found)
    proof = Proof(folder, metrics, opened, device, found)
    pair: ImagePair | None = None
    for done, record in enumerate(records):
        progress(Step(done, len(records), f"{record.setting.folder} {record.image}"))
        if pair is None or pair.name != record.image:
            pair = kept_pair(folder, record.image)
        proof.check(record, pair, sampled=record in again)
    progress(Step(len(records), len(records), ""))
    if not found.verified:
        found.add("SRB114", path.name, "none of its values could be measured again")
    return found


def _check_pairs(folder: RunFolder, images: Iterable[str], found: Findings) -> None:
    """Read kept pairs again from the datasets of their commands, as far as these are here, and compare both."""
    opened: dict[str, tuple[Dataset, frozenset[str]] | None] = {}
    for image in images:
        asked = (one for one in reversed(folder.manifest.invocations) if image in one.images)
        command = next((one.command for one in asked), "")
        if command not in opened:
            opened[command] = _opened(command, folder.manifest.protocol, found)
        known, record = opened[command], folder.of(image).pair
        if known is None or record is None:
            continue
        dataset, names = known
        if image not in names:
            found.add("SRB115", image, f"is no longer in {dataset.name}")
            continue
        try:
            pair = read_pair(dataset, image)
        except SRBenchError as error:
            found.add("SRB115", image, f"cannot be read again: {error}")
            continue
        for name, now, then in (("LR", pair.lr, record.lr), ("HR", pair.hr, record.hr)):
            if then is not None and (now is None or pixels_sha256(quantize_floor(now)) != then.pixels):
                found.add("SRB115", image, f"its {name} in {dataset.name} has changed since it was measured")


def _opened(command: str, protocol: Protocol, found: Findings) -> tuple[Dataset, frozenset[str]] | None:
    """The dataset of a command and its names; None if it is not here."""
    try:
        dataset = open_dataset(_request(command, protocol))
    except SRBenchError as error:
        found.add("SRB210", protocol.dataset, f"the images were not compared with it: {error}")
        return None
    return dataset, frozenset(dataset)


def _request(command: str, protocol: Protocol) -> RunSpec:
    """The request of a command, as far as its dataset goes.

    Raises BenchmarkError for a call in Python that was given objects, and for a benchmark set that would be fetched.
    """
    try:
        program, name, *options = shlex.split(command)
    except ValueError:
        program, name, options = "", "", []
    if (program, name) != ("srbench", "run"):
        raise BenchmarkError("it was given in Python")
    given = dict(zip(options[::2], options[1::2], strict=False))
    hr, lr = given.get("--hr"), given.get("--lr")
    data = given.get("--data", RunSpec.data if lr is None else None)
    if data in benchmark_sets() and not is_here(data):
        raise BenchmarkError(f"{data} is not on this machine; run srbench data fetch {data}")
    degrade = given.get("--degrade")
    return RunSpec((), protocol.scale, data=data, hr=hr, lr=lr, crop=protocol.crop, degrade=degrade)
