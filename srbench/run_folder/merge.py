"""``srbench merge``: run folders of one protocol, such as the shards of a run, as one new folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.run_folder import RunFolderError
from srbench.run_folder.checksums import write_sums
from srbench.run_folder.folder import RunFolder, is_kept, joined
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import AnyRecord, ImageDigest, SampleRecord, ScoreRecord


def merge(paths: Sequence[Path], out: Path) -> Path:
    """Copy all results of some run folders, and their images, into the new folder ``out``; returns it.

    What several of them hold is taken from the first that has it without a failure. The new folder appears when it is
    complete. Raises RunFolderError where there is something in ``out``, where a folder's last command did not finish,
    where protocols, images, metrics, models or pairs differ, and where a kept image is missing or another one.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunFolderError(f"{out}: is there already; choose another --out")
    folders = [RunFolder.read(path) for path in dict.fromkeys(path.resolve() for path in paths)]
    manifest = _manifest(folders)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        merged = RunFolder(Path(temporary) / "run", manifest)
        merged.path.mkdir()
        merged.append(*(line for image in manifest.images for line in _lines(folders, merged, image)))
        write_sums(merged, manifest)
        merged.extend(manifest)
        merged.path.replace(out)
    return out


def _manifest(folders: Sequence[RunFolder]) -> Manifest:
    first = folders[0]
    found = first.manifest
    for folder in folders:
        other = folder.manifest
        if not other.invocations or other.invocations[-1].finished is None:
            command = other.invocations[-1].command if other.invocations else "its command"
            raise RunFolderError(f"{folder.path}: its last command did not finish; run it again: {command}")
        if {(one.name, one.digest) for one in other.metrics} != {(one.name, one.digest) for one in found.metrics}:
            raise RunFolderError(
                f"{folder.path}: has other metrics than {first.path}, or of other code; measure the same everywhere, "
                "with srbench score"
            )
        known = {model.label: model.digest for model in found.models}
        for model in other.models:
            if known.get(model.label, model.digest) != model.digest:
                raise RunFolderError(
                    f"{folder.path}: {model.label} is of other code or weights than in {first.path}; run one of them "
                    "again"
                )
        try:
            found = joined(first.path, found, other)
        except RunFolderError as error:
            reason = str(error).removeprefix(f"{first.path}: ").removesuffix("; choose another --out")
            raise RunFolderError(f"{folder.path}: does not go with {first.path}, which {reason}") from None
    return replace(found, invocations=tuple(one for folder in folders for one in folder.manifest.invocations))


def _lines(folders: Sequence[RunFolder], merged: RunFolder, image: str) -> Iterator[AnyRecord]:
    """The lines of an image as the merged folder has them; their files are copied."""
    earlier = [sum(len(one.manifest.invocations) for one in folders[:place]) for place in range(len(folders))]
    pairs = [(pair, folder, before) for folder, before in zip(folders, earlier, strict=True)
             if (pair := folder.of(image).pair) is not None]  # fmt: skip
    read = [(pair, folder) for pair, folder, _ in pairs if not pair.failed]
    for pair, folder in read[1:]:
        if (pair.key, pair.lr, pair.hr) != (read[0][0].key, read[0][0].lr, read[0][0].hr):
            raise RunFolderError(f"{image}: HR or LR in {folder.path} are others than in {read[0][1].path}")
    if pairs:
        pair, folder, before = min(pairs, key=lambda one: one[0].failed)
        files = zip(folder.pair_files(image), merged.pair_files(image), (pair.lr, pair.hr), strict=True)
        for file, target, known in files:
            _copy(file, target, known)
        yield replace(pair, invocation=pair.invocation + before)
    for setting in merged.manifest.settings:
        yield from _item(folders, earlier, merged, setting, image)


def _item(
    folders: Sequence[RunFolder], earlier: Sequence[int], merged: RunFolder, setting: Setting, image: str
) -> Iterator[SampleRecord | ScoreRecord]:
    place = setting.model, setting.temperature
    found = [(sample, folder, before) for folder, before in zip(folders, earlier, strict=True)
             if (sample := folder.of(image).samples.get(place)) is not None]  # fmt: skip
    if not found:
        return
    sample, folder, before = min(found, key=lambda one: (one[1].sample(*place, image) is None, one[0].failed))
    for file, target, known in zip(folder.output_files(sample), merged.output_files(sample), sample.outputs,
                                   strict=False):  # fmt: skip
        _copy(file, target, known)
    yield replace(sample, invocation=sample.invocation + before)
    for metric in merged.manifest.metrics:
        scores = [(folder.score(sample, metric), before) for folder, before in zip(folders, earlier, strict=True)]
        there = [(score, before) for score, before in scores if score is not None]
        if there:
            score, before = min(there, key=lambda one: one[0].failed)
            yield replace(score, invocation=score.invocation + before)


def _copy(file: Path, target: Path, known: ImageDigest | None) -> None:
    if known is None or known.sha256 is None:
        return
    if not is_kept(file, known):
        raise RunFolderError(f"{file}: is missing, or not the image of its record; see srbench verify, then run again")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
