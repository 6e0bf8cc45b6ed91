"""The folder of a run: its manifest, its records, its images; who may write into it, and what may be added to it.

Names of files follow from names of models and images, which are checked when they are read, so nothing outside the
folder is ever touched. An image is believed only where its bytes have the sha256 that its record states. Of the lines
only their places are kept in memory, and the records of a few images.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from srbench.images.io import write_whole
from srbench.interfaces import MetricFacts
from srbench.run_folder import RunFolderError, records
from srbench.run_folder.manifest import FILE, now, read_manifest, write_manifest
from srbench.run_folder.protocol import Manifest, Protocol, Setting, setting_folder
from srbench.run_folder.records import AnyRecord, ImageDigest, ImageRecords, Index, SampleRecord, ScoreRecord, digest
from srbench.system.file_names import no_file, pipes_in
from srbench.weights.files import sha256_file

IMAGES = "images"
KNOWN = 64
"""Of how many images the records are kept in memory."""
_LOCK, _OWNER = ".lock", ".owner.json"

Place = tuple[str, float | None, str]
"""Model, temperature, image."""


def sample_key(protocol: Protocol, model: str, source: str, pair: str, temperature: float | None) -> str:
    """The key of what a model (by its digest) makes of a pair (by its key): all that determines the images."""
    determined_by = [protocol.scale, protocol.samples, protocol.seed, protocol.tile]
    # Keys from before there were suites, when all was floored, stay what they are.
    rounded = [] if protocol.quantize == "floor" else [protocol.quantize]
    return digest("sample", model, source, pair, temperature, *determined_by, *rounded)


def score_key(sample: SampleRecord, metric: MetricFacts) -> str:
    """The key of a value: all that determines it."""
    return digest("score", sample.key, [output.pixels for output in sample.outputs], metric.digest)


@dataclass
class RunFolder:
    """A run folder that was read. ``extend``, ``append`` and ``write`` write; ``writing`` says who may.

    Whatever asks for records raises RunFolderError where somebody else has changed the files, and OSError.
    """

    path: Path
    manifest: Manifest
    ends: dict[str, int] = field(default_factory=dict)
    """Sizes of the files of lines, as this process has left them."""

    def __post_init__(self) -> None:
        self._index = Index(self.path)
        self._known: dict[str, ImageRecords] = {}

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Raises RunFolderError where the folder holds no run, RunFolderError where a line of it is damaged.

        Raises RunFolderError where something else is in the place of a file.
        """
        check_files(path)
        folder = cls(path, read_manifest(path))
        for kind in records.KINDS:
            for line in records.read(path, kind):
                folder._index.add(line)
        return folder

    def append(self, *lines: AnyRecord) -> None:
        """Add lines to the files. Raises OSError, and RunFolderError where somebody else has changed the files."""
        for line in records.append(self.path, lines, self.ends):
            self._index.add(line)
            if line.record.image in self._known:
                self._known[line.record.image].take(line.record)

    def write(self, path: Path, content: bytes) -> None:
        """Write a file of the folder, whole. Raises OSError, and RunFolderError where the folder was deleted."""
        records.check(self.path, self.ends)
        write_whole(path, content)

    def extend(self, manifest: Manifest) -> None:
        """Write another manifest; one that says the same as the file leaves that as it is. Raises as ``write``."""
        records.check(self.path, self.ends)
        write_manifest(self.path, manifest)
        self.manifest = manifest

    def of(self, image: str) -> ImageRecords:
        """The records of an image that count, of this or other code, weights and data."""
        known = self._known.get(image)
        if known is None:
            known = self._known[image] = self._index.read(image)
            for old in list(self._known)[:-KNOWN]:  # other threads may do the same
                self._known.pop(old, None)
        return known

    def by_image(self) -> Iterator[tuple[str, ImageRecords]]:
        """All images that have records."""
        for image in self._index:
            yield image, self.of(image)

    def sample(
        self, model: str, temperature: float | None, image: str, pair_key: str | None = None
    ) -> SampleRecord | None:
        """The record of a place, failed ones too, if it is of the model and the pair that the folder now has.

        ``pair_key`` is that of the pair that it will have.
        """
        known = self.of(image)
        record, pair = known.samples.get((model, temperature)), known.pair
        facts = next((one for one in self.manifest.models if one.label == model), None)
        if pair_key is None and pair is not None:
            pair_key = pair.key
        if record is None or pair_key is None or facts is None:
            return None
        wanted = sample_key(self.manifest.protocol, facts.digest, record.source, pair_key, temperature)
        return record if record.key == wanted else None

    def score(self, sample: SampleRecord, metric: MetricFacts) -> ScoreRecord | None:
        """The record of a value, failed ones too."""
        return self.of(sample.image).scores.get((score_key(sample, metric), sample.model, metric.name))

    def lines_of(self, image: str) -> list[AnyRecord]:
        """The records of one image that count and that the manifest asks for."""
        known = self.of(image)
        lines: list[AnyRecord] = [] if known.pair is None else [known.pair]
        for setting in self.manifest.settings:
            sample = known.samples.get((setting.model, setting.temperature))
            if sample is not None:
                scores = (self.score(sample, metric) for metric in self.manifest.metrics)
                lines += [sample, *(score for score in scores if score is not None)]
        return lines

    def pair_files(self, image: str) -> tuple[Path, Path]:
        """Where LR and HR of a name are kept, or would be."""
        lr, hr = (self.path / IMAGES / kind / f"{image}.png" for kind in ("lr", "hr"))
        return lr, hr

    def output_files(self, sample: SampleRecord) -> list[Path]:
        """Where the outputs behind a record are kept that were, in order."""
        folder = self.path / IMAGES / setting_folder(sample.model, sample.temperature)
        endings = [f"_sample{number}" for number in range(sample.kept)] if sample.drawn else [""] * sample.kept
        return [folder / f"{sample.image}{ending}.png" for ending in endings]

    def pair(self, image: str) -> tuple[Path, Path] | None:
        """LR and HR of a name, where both are there and are the ones that were read."""
        record = self.of(image).pair
        if record is None or record.lr is None or record.hr is None:
            return None
        lr, hr = self.pair_files(image)
        return (lr, hr) if is_kept(lr, record.lr) and is_kept(hr, record.hr) else None

    def outputs(self, sample: SampleRecord) -> list[Path]:
        """The outputs behind a record that were kept: all of them, or none where one is missing or another image."""
        files = self.output_files(sample)
        fine = all(is_kept(file, output) for file, output in zip(files, sample.outputs, strict=False))
        return files if fine else []

    def lacks(self, sample: SampleRecord, metric: MetricFacts) -> bool:
        """Is there no value of a sample record, or a failure in its place?"""
        score = self.score(sample, metric)
        return score is None or score.failed

    def kept_images(self) -> Iterator[tuple[Path, ImageDigest]]:
        """Every image that was kept: where it should be, and what it should be."""
        for image, known in self.by_image():
            pair = (None, None) if known.pair is None else (known.pair.lr, known.pair.hr)
            for file, one in zip(self.pair_files(image), pair, strict=True):
                if one is not None and one.sha256 is not None:
                    yield file, one
            for sample in known.samples.values():
                yield from zip(self.output_files(sample), sample.outputs, strict=False)

    def foreign_images(self) -> list[Path]:
        """Image files that are there and are not those of their records."""
        return [file for file, known in self.kept_images() if file.exists() and not is_kept(file, known)]


def is_kept(file: Path, known: ImageDigest) -> bool:
    """Is a file there, no link, and byte for byte the image of its record?"""
    try:
        return known.sha256 is not None and not file.is_symlink() and sha256_file(file) == known.sha256
    except OSError:
        return False


@contextmanager
def writing(path: Path, wait: float = 0) -> Iterator[None]:
    """Be the only one who writes into a run folder; it is made, and lines that a kill tore are cut off.

    Somebody else who writes there is waited for, so many seconds.

    The lock ends with its process, however that ends. Raises RunFolderError where somebody else writes, where the
    folder cannot be written, and where it holds other things than a run: they are left alone.
    """
    check_folder(path)
    lock = FileLock(path / _LOCK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout:
        raise RunFolderError(f"{path}: in use by {_owner(path)}; wait for it, or choose another --out") from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
    try:
        check_folder(path)
        owner = {"process": os.getpid(), "host": socket.gethostname(), "since": now()}
        write_whole(path / _OWNER, json.dumps(owner).encode())
        records.drop_torn_lines(path)
        yield
    except OSError as error:
        raise RunFolderError(f"{error.filename or path}: {error.strerror or error}; finished work is kept") from None
    finally:
        with suppress(OSError):  # of a disk that is gone
            (path / _OWNER).unlink(missing_ok=True)
            lock.release()


def check_folder(path: Path) -> None:
    """Raise RunFolderError for a folder with other things than a run in it, and for a file."""
    if path.is_dir():
        check_files(path)
        _refuse_links(path / IMAGES)
        known = re.compile(rf"{re.escape(_LOCK)}|\.?{re.escape(_OWNER)}(\.\d+)?|\.{re.escape(FILE)}\.\d+")
        names = sorted(entry.name for entry in path.iterdir())
        others = [name for name in names if not known.fullmatch(name)]
        if others and FILE not in names:
            raise RunFolderError(
                f"{path}: not empty, and no run of srbench ({others[0]} is in it); choose another --out"
            )
    elif path.exists():
        raise RunFolderError(f"{path}: a file, not a folder; choose another --out")


def check_files(path: Path) -> None:
    """Raise RunFolderError for a pipe, and for a link or a folder in the place of a manifest, of lines or of a lock.

    srbench makes none: whoever reads would wait for a pipe, and what is written go where a link leads.
    """
    own = (_LOCK, FILE, *(kind.FILE for kind in records.KINDS))
    for file in [*(path / name for name in own), *pipes_in(path)]:
        found = "a link" if file.is_symlink() else no_file(file)
        if found:
            raise RunFolderError(f"{file}: {found}, not a file of srbench; remove it")


def _refuse_links(images: Path) -> None:
    for folder in [images, *(images.iterdir() if images.is_dir() else ())]:
        if folder.is_symlink():
            raise RunFolderError(f"{folder}: a link, and a run is only written into real folders; remove it")


def _owner(path: Path) -> str:
    try:
        owner = json.loads((path / _OWNER).read_text())
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def joined(path: Path, known: Manifest, asked: Manifest) -> Manifest:
    """The manifest of a folder with another request added: models, temperatures, metrics, images.

    Raises RunFolderError that names the difference where the protocols differ, where the datasets have different
    images, and where a label or a folder would stand for two things.
    """
    _check_protocol(path, known.protocol, asked.protocol)
    images = _joined_images(path, known.images, asked.images)
    models = {model.label: model for model in known.models}
    for model in asked.models:
        before = models.get(model.label)
        if before is not None and before.spec != model.spec and before.digest != model.digest:
            raise RunFolderError(
                f"{path}: {model.label} stands for {before.spec} there, not for {model.spec}; give another label: "
                f"NAME={model.spec}"
            )
        models[model.label] = model
    settings = {(setting.model, setting.temperature): setting for setting in known.settings}
    for setting in asked.settings:
        place = setting.model, setting.temperature
        before_limit = settings[place].limit if place in settings else 0
        if before_limit is not None:
            limit = None if setting.limit is None else max(setting.limit, before_limit)
            settings[place] = replace(setting, limit=limit)
    _check_folders(path, settings.values())
    metrics = {metric.name: metric for metric in known.metrics}
    for metric in asked.metrics:
        there = metrics.get(metric.name)
        if there is not None and there.spec != metric.spec and there.digest != metric.digest:
            raise RunFolderError(
                f"{path}: {metric.name} stands for {there.spec} there, not for {metric.spec}; choose another --out"
            )
        metrics[metric.name] = metric
    order = list(models)
    in_order = sorted(settings.values(), key=lambda one: (order.index(one.model), one.temperature or 0.0))
    return replace(
        known,
        images=images,
        models=tuple(models.values()),
        settings=tuple(in_order),
        metrics=tuple(sorted(metrics.values(), key=lambda metric: known.protocol.place(metric.spec))),
    )


def _check_folders(path: Path, settings: Iterable[Setting]) -> None:
    """Refuse two settings whose images would lie in one folder, on some systems: case may not tell them apart."""
    taken: dict[str, Setting] = {}
    for setting in settings:
        folder = setting_folder(setting.model, setting.temperature)
        other = taken.setdefault(folder.casefold(), setting)
        if other is not setting:
            raise RunFolderError(
                f"{path}: the label {setting.model} would put its images where those of {other.model} are "
                f"({folder}); give one of them another label: NAME={setting.model}"
            )


def _check_protocol(path: Path, known: Protocol, asked: Protocol) -> None:
    differing = [name for name, value in vars(known).items() if value != getattr(asked, name)]
    if differing:
        there = ", ".join(f"{name} {getattr(known, name)}" for name in differing)
        here = ", ".join(f"{name} {getattr(asked, name)}" for name in differing)
        raise RunFolderError(f"{path}: holds results of {there}, not of {here}; choose another --out")


def _joined_images(path: Path, known: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    if set(asked) <= set(known):
        return known
    if set(known) <= set(asked):
        return asked
    missing = next(name for name in asked if name not in known)
    gone = next(name for name in known if name not in asked)
    raise RunFolderError(
        f"{path}: holds results of other images ({gone}, which is not in the dataset; {missing} is not in the "
        "folder); choose another --out"
    )
