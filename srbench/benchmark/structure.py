"""Checks of a run folder against itself: sums, records and images. Nothing is measured, and torch is not loaded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from srbench.benchmark.findings import Findings
from srbench.files.hashes import sha256_file
from srbench.run_folder.folder import SUMS, RunFolder, is_kept, read_sums
from srbench.run_folder.manifest import FILE
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import KINDS, EnvironmentRecord, SampleRecord, ScoreRecord


def check_sums(folder: RunFolder, found: Findings) -> None:
    """Compare records and manifest with SHA256SUMS, unless the last command stopped before it wrote that."""
    if folder.manifest.invocations and folder.manifest.invocations[-1].finished is None:
        found.add("SRB101", SUMS, "the last command did not finish; files were not compared with it")
        return
    sums = read_sums(folder.path)
    if sums is None:
        found.add("SRB101", SUMS, "it is missing or damaged; files were not compared with it")
        return
    images = {file.relative_to(folder.path).as_posix(): known.sha256 for file, known in folder.kept_images()}
    for name, digest in sums.items():
        file = folder.path / name
        known = images[name] if name in images else sha256_file(file) if file.is_file() else ""
        if known != digest:  # images are compared with their records
            found.add("SRB001", name, f"is missing or does not match {SUMS}")
    lacking = {FILE, *(kind.FILE for kind in KINDS if (folder.path / kind.FILE).exists()), *images} - sums.keys()
    for name in sorted(lacking):
        found.add("SRB101", name, f"is not in {SUMS}")


def check_records(folder: RunFolder, found: Findings) -> None:
    """Look for missing and foreign lines."""
    finished: dict[tuple[Setting, str], bool] = {}
    """True for an item that a finished command asked for, False for one that only unfinished ones did."""
    for invocation in folder.manifest.invocations:
        for item in product(invocation.settings, invocation.images):
            finished[item] = finished.get(item, False) or invocation.finished is not None
    for (setting, image), is_finished in sorted(finished.items(), key=lambda one: one[0][1]):
        _check_item(folder, setting, image, is_finished, found)
    _check_lines(folder, found)


def check_images(folder: RunFolder, found: Findings) -> None:
    """Compare every kept image with its record."""
    for file, known in folder.kept_images():
        found.images_kept += 1
        where = file.relative_to(folder.path).as_posix()
        if is_kept(file, known):
            found.images += 1
        elif file.exists():
            found.add("SRB002", where, "does not match its record")
        else:
            found.add("SRB102", where, "is missing")


def _check_item(folder: RunFolder, setting: Setting, image: str, finished: bool, found: Findings) -> None:
    record, known, where = folder.sample(setting, image), folder.of(image), f"{setting.folder} {image}"
    if record is None and known.pair is not None and known.pair.failed:
        found.add("SRB201", where, f"could not be read: {known.pair.error}")
    elif record is None and setting in known.samples:
        found.add("SRB203", where, "left out, as its code, weights or images are not those of the manifest")
    elif record is None and finished:
        found.add("SRB003", where, "its line in samples.jsonl is missing")
    elif record is None:
        found.add("SRB204", where, "not sampled, as the command did not finish")
    elif record.failed:
        found.add("SRB202", where, f"failed: {record.error}")
    else:
        for title in _missing_scores(folder, record):
            found.add("SRB003", where, f"its {title} is missing from rows.jsonl, or comes from other code or images")


def _missing_scores(folder: RunFolder, record: SampleRecord) -> Iterator[str]:
    """Name values that are missing although a later command has measured all that were lacking."""
    since = [one for one in folder.manifest.invocations[record.invocation :] if one.finished is not None]
    measured = {name for one in since for name in one.metrics}
    for metric in folder.manifest.metrics:
        if metric.name in measured and folder.score(record, metric) is None:
            yield metric.title


def _check_lines(folder: RunFolder, found: Findings) -> None:
    """Look for lines about something that the manifest does not know."""
    manifest = folder.manifest
    settings, images = set(manifest.settings), set(manifest.images)
    names, count = {metric.name for metric in manifest.metrics}, len(manifest.invocations)
    for image, known in folder.known.items():
        for setting in known.samples:
            if setting not in settings or image not in images:
                found.add("SRB004", SampleRecord.FILE, f"{setting.folder} {image} is not planned in the manifest")
        for score in known.scores.values():
            if score.setting not in settings or score.metric not in names:
                where = f"{score.setting.folder} {image}"
                found.add("SRB004", ScoreRecord.FILE, f"{score.metric} of {where} is not planned in the manifest")
    for one in folder.environments.values():
        if one.key != EnvironmentRecord.of(one.facts).key:
            found.add("SRB004", EnvironmentRecord.FILE, f"{one.key[:12]} is not the key of its facts")
    lines = [line for known in folder.known.values() for line in known.lines()]
    if any(line.environment and line.environment not in folder.environments for line in lines):
        found.add("SRB004", EnvironmentRecord.FILE, "it lacks an environment that other lines refer to")
    if foreign := next((line for line in lines if not 0 <= line.invocation < count), None):
        text = f"{foreign.image} refers to command {foreign.invocation}, but the manifest has {count}"
        found.add("SRB004", foreign.FILE, text)
