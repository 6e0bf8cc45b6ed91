"""Merge run folders, such as the shards of a run."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, product
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import structs

from srbench.files.atomic import disk_faults_named, write_synced
from srbench.files.paths import occupied
from srbench.interfaces import MetricInfo
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import SUMS, VOTES, RunFolder, read_sums, sums_of
from srbench.run_folder.journal import Journal
from srbench.run_folder.manifest import is_written
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import AnyRecord, ImageDigest, ScoreRecord, Value, whole_lines
from srbench.run_folder.requested import check_protocol, with_request
from srbench.run_folder.values import agree
from srbench.words import listed

Part = tuple[RunFolder, int]
"""A folder to merge, and the number of invocations in the folders before it."""


def merge(paths: Sequence[Path], out: Path) -> Path:
    """Copy results, images and votes of several run folders into the new folder ``out`` and return it.

    A result in several folders is taken from the first folder in which it did not fail. Metrics that some folders lack
    are left out, with a warning; another warning names missing shards. The new folder appears only when it is complete;
    if it exists already as the merge of these folders, nothing is done.

    Raises RunFolderError if ``out`` is anything else, a command of a folder did not finish, a folder differs from its
    SHA256SUMS, protocols, images, models, pairs or the code of a metric differ, copies of a value are not close, or a
    saved image is missing.
    """
    folders = [RunFolder.read(path) for path in dict.fromkeys(path.resolve() for path in paths)]
    manifest = _manifest(folders)
    votes = dict.fromkeys(vote for folder in folders for vote in _votes(folder.path))
    if not occupied(out):
        _write(folders, manifest, votes, out)
    elif not (is_written(out, manifest) and votes.keys() <= set(_votes(out))):
        raise RunFolderError(f"{out}: already exists, and is not the merge of these folders; choose another --out")
    if manifest.missing_shards:
        warnings.warn(
            f"{manifest.missing_shards} of {manifest.protocol.dataset}; merge these shards, too, or run the command "
            "without --shard into the merged folder",
            stacklevel=2,
        )
    return out


def _write(folders: Sequence[RunFolder], manifest: Manifest, votes: Collection[bytes], out: Path) -> None:
    """Write the merged folder as a whole."""
    before = accumulate((len(folder.manifest.invocations) for folder in folders), initial=0)
    parts = list(zip(folders, before, strict=False))
    out.parent.mkdir(parents=True, exist_ok=True)
    with disk_faults_named(out), TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        merged = RunFolder(Path(temporary) / "run", manifest)
        merged.path.mkdir()
        journal = Journal(merged)
        journal.add(line for folder, _ in parts for line in folder.environments.values())
        for image in manifest.images:
            journal.add(list(_lines(parts, merged, image)))
        journal.add(list(_lines_of_many(parts, merged)))
        if votes:
            write_synced(merged.path / VOTES, b"".join(votes))
        journal.finish(manifest)
        merged.path.replace(out)


def _votes(run: Path) -> list[bytes]:
    """Return the lines of the votes of a run, without a last line torn by a kill."""
    path = run / VOTES
    return whole_lines(path.read_bytes())[0].splitlines(keepends=True) if path.is_file() else []


def _manifest(folders: Sequence[RunFolder]) -> Manifest:
    """Merge the manifests. Raises RunFolderError as ``merge`` does."""
    first = folders[0]
    merged = first.manifest
    for folder in folders:
        manifest = folder.manifest
        if unfinished := manifest.unfinished():
            raise RunFolderError(f"{folder.path}: a command did not finish; run it again: {unfinished[0].command}")
        _check_unchanged(folder)
        try:
            check_protocol(first.path, merged.protocol, manifest.protocol)
            _check_code(first.path, merged, manifest)
            merged = with_request(first.path, merged, manifest)
        except RunFolderError as error:
            reason = str(error).removeprefix(f"{first.path}: ").removesuffix("; choose another --out")
            raise RunFolderError(f"{folder.path}: cannot be merged with {first.path}, which {reason}") from None
    measured = [{metric.name for metric in folder.manifest.metrics} for folder in folders]
    metrics = tuple(metric for metric in merged.metrics if all(metric.name in names for names in measured))
    if not metrics:
        raise RunFolderError(f"{first.path} and the others have no metric in common; add one with srbench score")
    if left_out := [metric.title for metric in merged.metrics if metric not in metrics]:
        warnings.warn(
            f"{', '.join(left_out)}: left out, because some folders lack it; srbench score adds it to them",
            stacklevel=3,
        )
    invocations = tuple(invocation for folder in folders for invocation in folder.manifest.invocations)
    return replace(merged, metrics=metrics, invocations=invocations)


def _check_code(path: Path, existing: Manifest, added: Manifest) -> None:
    """Refuse a metric or model that has other code or weights than in the folder ``path``."""
    metrics = {metric.name: metric.digest for metric in existing.metrics}
    for metric in added.metrics:
        if metrics.get(metric.name, metric.digest) != metric.digest:
            raise RunFolderError(f"{path}: measured {metric.title} with other code; run one of them again")
    models = {model.label: model.digest for model in existing.models}
    for model in added.models:
        if models.get(model.label, model.digest) != model.digest:
            raise RunFolderError(f"{path}: has {model.label} with other code or weights; run one of them again")


def _check_unchanged(folder: RunFolder) -> None:
    """Refuse a folder whose manifest, records or images are not those of its SHA256SUMS."""
    stated, actual = read_sums(folder.path), sums_of(folder)
    if stated is None:
        raise RunFolderError(
            f"{folder.path / SUMS}: is missing or damaged; restore it, or run again with another --out"
        )
    if edited := sorted(name for name in {*stated, *actual} if stated.get(name) != actual.get(name)):
        raise RunFolderError(
            f"{folder.path}: {listed(edited)} changed since srbench wrote {SUMS}; restore what was changed, or run "
            "again with another --out"
        )
    for file in folder.foreign_images():
        raise RunFolderError(f"{file}: does not match its record; see srbench verify, then run again")


def _lines(parts: Sequence[Part], merged: RunFolder, image: str) -> Iterator[AnyRecord]:
    """Yield the records of an image for the merged folder, and copy their files."""
    pairs = [(pair, part) for part in parts if (pair := part[0].of(image).pair) is not None]
    read = [(pair, folder) for pair, (folder, _) in pairs if not pair.failed]
    for pair, folder in read[1:]:
        if (pair.key, pair.lr, pair.hr) != (read[0][0].key, read[0][0].lr, read[0][0].hr):
            raise RunFolderError(f"{image}: HR or LR in {folder.path} differs from that in {read[0][1].path}")
    if pairs:
        pair, (folder, before) = min(pairs, key=lambda item: item[0].failed)
        _copy(folder.pair_files(image), merged.pair_files(image), (pair.lr, pair.hr))
        yield structs.replace(pair, invocation=pair.invocation + before)
    for setting in merged.manifest.settings:
        yield from _item(parts, merged, setting, image)


def _item(parts: Sequence[Part], merged: RunFolder, setting: Setting, image: str) -> Iterator[AnyRecord]:
    samples = [(sample, part) for part in parts if (sample := part[0].of(image).samples.get(setting)) is not None]
    if not samples:
        return
    sample, (folder, before) = min(
        samples, key=lambda item: (item[1][0].sample(setting, image) is None, item[0].failed)
    )
    _copy(folder.output_files(sample), merged.output_files(sample), sample.outputs)
    yield structs.replace(sample, invocation=sample.invocation + before)
    current = [(sample, folder) for sample, (folder, _) in samples if folder.sample(setting, image) is sample]
    for metric in merged.manifest.of_images:
        _check_copies(setting, metric, [(folder.score(sample, metric), folder) for sample, folder in current])
        yield from _first_value((folder.score(sample, metric), before) for folder, before in parts)


def _lines_of_many(parts: Sequence[Part], merged: RunFolder) -> Iterator[ScoreRecord]:
    """Yield the records of metrics of many images and of models; shards have none of them."""
    for setting, metric in product(merged.manifest.settings, merged.manifest.of_many):
        by_place: dict[tuple[str, str], list[tuple[ScoreRecord | None, Part]]] = {}
        for part in parts:
            for subject, score in part[0].scores_of_many(setting, metric):
                by_place.setdefault((subject.name, subject.key), []).append((score, part))
        for copies in by_place.values():
            if metric.per != "model":  # a runtime differs from copy to copy
                _check_copies(setting, metric, [(score, folder) for score, (folder, _) in copies])
            yield from _first_value((score, before) for score, (_, before) in copies)


def _check_copies(setting: Setting, metric: MetricInfo, copies: Iterable[tuple[ScoreRecord | None, RunFolder]]) -> None:
    """Refuse copies of a value that are not close; failed and missing values are no copies."""
    measured = [(score.subject, score.value, folder) for score, folder in copies if score and score.value is not None]
    for subject, value, folder in measured[1:]:
        _, first_value, first = measured[0]
        if not agree(value, first_value, metric):
            raise RunFolderError(
                f"{folder.path}: {metric.title} of {setting.label} on {subject or 'all images'} is {_text(value)}, and "
                f"{_text(first_value)} in {first.path}; check both with srbench verify, and merge only one of them"
            )


def _text(value: Value) -> str:
    return listed((f"{number:.6g}" for number in (value if isinstance(value, list) else [value])), most=10)


def _first_value(scores: Iterable[tuple[ScoreRecord | None, int]]) -> Iterator[ScoreRecord]:
    """Yield the first record that did not fail, or else the first, if there is any, for the merged folder."""
    existing = [(score, before) for score, before in scores if score is not None]
    for score, before in [min(existing, key=lambda item: item[0].failed)] if existing else []:
        yield structs.replace(score, invocation=score.invocation + before)


def _copy(files: Iterable[Path], targets: Iterable[Path], digests: Iterable[ImageDigest | None]) -> None:
    for file, target, recorded in zip(files, targets, digests, strict=False):
        if recorded is None:
            continue
        if not file.is_file():
            raise RunFolderError(
                f"{file}: is missing; restore it, or repeat the command of its run, which makes it again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
