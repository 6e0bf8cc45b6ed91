"""A run folder: its manifest, its current records, and the paths of its images.

Paths are built from names of models and images, which are checked when they are read, so nothing outside the folder is
ever touched. A saved image is valid only if its file has the SHA-256 of its record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from srbench.files.hashes import sha256_file
from srbench.files.paths import no_file, pipes_in
from srbench.interfaces import MetricInfo
from srbench.run_folder import RunFolderError, records
from srbench.run_folder.manifest import MANIFEST, read_manifest
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import (
    AnyRecord,
    EnvironmentRecord,
    ImageDigest,
    ImageRecords,
    Line,
    Place,
    SampleRecord,
    ScoreRecord,
    digest,
    digests,
)
from srbench.words import natural

IMAGES = "images"
SUMS = "SHA256SUMS"
"""Checksum file in the format of ``sha256sum -c``."""
VOTES = "votes.jsonl"
"""File of the answers of people, which ``srbench vote --add`` extends."""
STUDY_KEY = "study.key"
"""File of the secret from which the names of images on the page of ``srbench vote`` are made."""
LOCK = ".lock"
REPORT_LOCK = ".report.lock"
"""Lock of the process that writes the report; records have another lock."""


def score_key(sample: SampleRecord, metric: MetricInfo) -> str:
    """Return the key of a value of an image: a digest of everything that determines it."""
    return score_keys(sample, [metric])[0]


def score_keys(sample: SampleRecord, metrics: Iterable[MetricInfo]) -> list[str]:
    """Return the keys of several metrics' values; faster than ``score_key`` for each."""
    facts = ("score", sample.key, [output.pixels for output in sample.outputs])
    row = sample.setting.folder
    return digests(facts, (digest(metric.digest, row) if metric.by_row else metric.digest for metric in metrics))


@dataclass(frozen=True)
class Subject:
    """What has a value of a metric that is not one of images: a group of images, all images, or the model."""

    name: str
    """Name of a group, else empty."""
    key: str
    """Key of the value: a digest of everything that determines it."""
    samples: tuple[SampleRecord, ...]
    """The outputs that the value covers, in natural order of their images."""


def subjects(
    metric: MetricInfo,
    model: str,
    samples: Sequence[SampleRecord],
    groups: Mapping[str, str],
    hr_pixels: Callable[[str], str],
) -> list[Subject]:
    """Return the subjects of a metric among the outputs of a setting, of one image each; none without outputs.

    Args:
        metric: A metric of groups, of all images, or of the model.
        model: Digest of the model.
        samples: Successful records of the setting.
        groups: Group of every image, by its name.
        hr_pixels: Maps an image to the SHA-256 of its HR pixels.
    """
    if not samples:
        return []
    if metric.per == "model":
        return [Subject("", digest("model", metric.digest, model, samples[0].temperature), tuple(samples))]
    by_group: dict[str, list[SampleRecord]] = {}
    for sample in sorted(samples, key=lambda sample: natural(sample.image)):
        by_group.setdefault(groups.get(sample.image, "") if metric.per == "group" else "", []).append(sample)
    subjects = []
    for name, own in by_group.items():
        images = [(each.image, [output.pixels for output in each.outputs], hr_pixels(each.image)) for each in own]
        subjects.append(Subject(name, digest("set", metric.digest, images), tuple(own)))
    return subjects


def is_kept(file: Path, recorded: ImageDigest | None) -> bool:
    """Return whether a file exists, is no link, and has the SHA-256 of its record."""
    try:
        return recorded is not None and not file.is_symlink() and sha256_file(file) == recorded.sha256
    except OSError:
        return False


IsKept = Callable[[Path, ImageDigest | None], bool]
"""``is_kept``, or a function that caches its answers."""


@dataclass
class RunFolder:
    """The manifest and current records of a run folder, read once. Only ``Journal`` writes."""

    path: Path
    manifest: Manifest
    by_image: dict[str, ImageRecords] = field(default_factory=dict)
    """Latest records by image, including those of earlier code, weights and data."""
    environments: dict[str, EnvironmentRecord] = field(default_factory=dict)
    """Environments of the records, by key."""
    scores: dict[str, dict[Place, ScoreRecord]] = field(default_factory=dict)
    """Records of values by subject and place, including those of earlier outputs."""

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Read a run folder, while another process may be writing into it.

        Raises RunFolderError if there is no run, or of another format, a line is damaged, or a link, pipe or folder has
        the name of a file.
        """
        check_files(path)
        read_manifest(path)  # the lines of another format would be called damaged
        # Read in reverse write order, so that a score's sample is always found.
        files = [list(records.read(path, kind)) for kind in reversed(records.KINDS)]
        folder = cls(path, read_manifest(path))
        for lines in reversed(files):
            folder.take(lines)
        return folder

    def take(self, lines: Iterable[Line]) -> None:
        """Add records that are already on disk."""
        for record in lines:
            if isinstance(record, EnvironmentRecord):
                self.environments[record.key] = record
            elif isinstance(record, ScoreRecord):
                self.scores.setdefault(record.subject, {})[record.place] = record
            else:
                self.by_image.setdefault(record.image, ImageRecords()).take(record)

    def lines(self) -> Iterator[AnyRecord]:
        """Yield all current records of pairs, samples and values."""
        for current in self.by_image.values():
            yield from filter(None, [current.pair])
            yield from current.samples.values()
        for scores in self.scores.values():
            yield from scores.values()

    def of(self, image: str) -> ImageRecords:
        """Return the current records of an image, empty if it has none."""
        return self.by_image.get(image, ImageRecords())

    def sample_key(self, setting: Setting, pair_key: str, source: str) -> str:
        """Return the key of a model's outputs for a pair: a digest of everything that determines the images.

        ``source`` is the digest of the files of precomputed results, "" for models that run. Raises KeyError for an
        unknown model.
        """
        protocol, model = self.manifest.protocol, self.manifest.model(setting.model)
        determined_by = [protocol.scale, protocol.samples, protocol.seed, protocol.tile]
        rounded = [] if protocol.quantize == "floor" else [protocol.quantize]
        return digest("sample", model.digest, source, pair_key, setting.temperature, *determined_by, *rounded)

    def sample(self, setting: Setting, image: str, pair_key: str | None = None) -> SampleRecord | None:
        """Return the record of a setting, even if it failed; None if it was made with an earlier model or pair.

        ``pair_key`` is the key of a pair that will replace the current pair.
        """
        current = self.of(image)
        record = current.samples.get(setting)
        key = pair_key or (current.pair.key if current.pair else "")
        if record is None or setting.model not in {model.label for model in self.manifest.models}:
            return None
        return record if record.key == self.sample_key(setting, key, record.source) else None

    def score(self, sample: SampleRecord, metric: MetricInfo) -> ScoreRecord | None:
        """Return the record of a value, even if it failed."""
        return self.scores_of(sample, [metric])[0]

    def scores_of(self, sample: SampleRecord, metrics: Sequence[MetricInfo]) -> list[ScoreRecord | None]:
        """Return the records of the values of some metrics, failed or not; None for a missing record."""
        scores, setting = self.scores.get(sample.image, {}), sample.setting
        keys = zip(score_keys(sample, metrics), metrics, strict=True)
        return [scores.get((key, setting, metric.name)) for key, metric in keys]

    def scores_on(self, sample: SampleRecord) -> list[ScoreRecord]:
        """Return the existing records of all values of an item, failed or not."""
        return [score for score in self.scores_of(sample, self.manifest.of_images) if score is not None]

    def scores_of_many(self, setting: Setting, metric: MetricInfo) -> list[tuple[Subject, ScoreRecord | None]]:
        """Return the subjects of a metric that is not one of images, each with the record of its value,
        failed or not.
        """
        samples = self.sampled(setting)
        if not samples:  # perhaps the folder lacks the model
            return []
        model = self.manifest.model(setting.model).digest
        of_setting = subjects(metric, model, samples, self.manifest.groups, self.hr_pixels)
        return [
            (subject, self.scores.get(subject.name, {}).get((subject.key, setting, metric.name)))
            for subject in of_setting
        ]

    def sampled(self, setting: Setting) -> list[SampleRecord]:
        """Return the records of the requested images of a setting that were sampled, in the order of the manifest."""
        records = (self.sample(setting, image) for image in self.manifest.planned(setting))
        return [record for record in records if record is not None and not record.failed]

    def hr_pixels(self, image: str) -> str:
        """Return the SHA-256 of the HR pixels of an image; empty if there are none."""
        pair = self.of(image).pair
        return "" if pair is None or pair.hr is None else pair.hr.pixels

    def pair_files(self, image: str) -> tuple[Path, Path]:
        """Return the paths of the LR and HR file of an image, saved or not."""
        return self.path / f"{IMAGES}/lr/{image}.png", self.path / f"{IMAGES}/hr/{image}.png"

    def output_files(self, sample: SampleRecord, kept: int | None = None) -> list[Path]:
        """Return the paths of the saved outputs of a record, or of its first ``kept`` outputs, saved or not."""
        count = sample.kept if kept is None else min(kept, len(sample.outputs))
        start = f"{IMAGES}/{sample.setting.folder}/{sample.image}"
        endings = [f"_sample{number}" for number in range(count)] if sample.drawn else [""] * count
        return [self.path / f"{start}{ending}.png" for ending in endings]

    def pair(self, image: str, is_kept: IsKept = is_kept) -> tuple[Path, ...] | None:
        """Return the LR and HR file of an image (only LR without HR); None unless they match their record."""
        record = self.of(image).pair
        if record is None or record.failed:
            return None
        files = self.pair_files(image)[: 1 if record.hr is None else 2]
        return files if all(map(is_kept, files, (record.lr, record.hr))) else None

    @property
    def has_hr(self) -> bool:
        """False for a run on a dataset without HR images."""
        pairs = [each.pair for each in self.by_image.values() if each.pair is not None and not each.pair.failed]
        return not pairs or any(pair.hr is not None for pair in pairs)

    def outputs(self, sample: SampleRecord, is_kept: IsKept = is_kept) -> list[Path]:
        """Return the files of the saved outputs of a record; an empty list if one is missing or was changed."""
        files = self.output_files(sample)
        return files if all(map(is_kept, files, sample.outputs)) else []

    def lacks_outputs(self, sample: SampleRecord) -> bool:
        """Return whether an output that the protocol saves was never saved, is missing or was changed."""
        too_few = sample.kept < min(self.manifest.protocol.kept, len(sample.outputs))
        return too_few or not all(map(is_kept, self.output_files(sample), sample.outputs))

    def kept_images(self) -> Iterator[tuple[Path, ImageDigest]]:
        """Yield path and digest of every image that was saved."""
        for image, current in self.by_image.items():
            if current.pair is not None:
                pair = zip(self.pair_files(image), (current.pair.lr, current.pair.hr), strict=True)
                yield from ((file, digest) for file, digest in pair if digest is not None)
            for sample in current.samples.values():
                yield from zip(self.output_files(sample), sample.outputs, strict=False)

    @property
    def has_outputs(self) -> bool:
        """True if any output was sampled; False for a folder in which everything failed."""
        return any(not sample.failed for each in self.by_image.values() for sample in each.samples.values())

    def foreign_images(self, is_kept: IsKept = is_kept) -> list[Path]:
        """Return the image files that do not match their records."""
        return [file for file, recorded in self.kept_images() if not is_kept(file, recorded) and file.exists()]


def read_sums(path: Path) -> dict[str, str] | None:
    """Read SHA256SUMS by file name; None if it is missing, damaged or names a file outside the folder."""
    try:
        lines = (path / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    sums = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or name.startswith("/") or ".." in name.split("/"):
            return None
        sums[name] = digest
    return sums


def sums_of(folder: RunFolder) -> dict[str, str]:
    """Return the SHA-256 of manifest and records as they are on the disk, and of saved images as recorded,
    by file name.
    """
    files = [folder.path / name for name in (MANIFEST, *(kind.FILE for kind in records.KINDS))]
    sums = {file.name: sha256_file(file) for file in files if file.exists()}
    images = {file.relative_to(folder.path).as_posix(): str(image.sha256) for file, image in folder.kept_images()}
    return sums | images


def edited_records(folder: RunFolder) -> list[str]:
    """Return the names of records, or the manifest, that do not match SHA256SUMS;
    none while a command is unfinished.
    """
    commands, sums = folder.manifest.invocations, read_sums(folder.path) or {}
    if not commands or commands[-1].finished is None:
        return []
    files = [folder.path / name for name in (MANIFEST, *(kind.FILE for kind in records.KINDS)) if name in sums]
    return [file.name for file in files if not (file.is_file() and sha256_file(file) == sums[file.name])]


def check_folder(path: Path) -> None:
    """Raise RunFolderError if the path is a file, or a folder that is neither empty nor a run folder."""
    if path.is_dir():
        check_files(path)
        for folder in (path / IMAGES, *(path / IMAGES).glob("*")):
            if folder.is_symlink():
                raise RunFolderError(f"{folder}: a link, and runs are only written into real folders; remove it")
        names = sorted(entry.name for entry in path.iterdir())
        # ignore the temporary file of a manifest that is being written, or was when the process was killed
        foreign = [name for name in names if name not in (LOCK, REPORT_LOCK) and not name.startswith(f".{MANIFEST}.")]
        if foreign and MANIFEST not in names:
            raise RunFolderError(
                f"{path}: not empty, and not a run folder ({foreign[0]} is in it); choose another --out"
            )
    elif path.exists():
        raise RunFolderError(f"{path}: a file, not a folder; choose another --out")


def check_files(path: Path) -> None:
    """Raise RunFolderError for a pipe anywhere in the folder, and for a link or folder named like a file of srbench.

    Reading a pipe would block forever, and writing would follow a link out of the folder.
    """
    names = (LOCK, REPORT_LOCK, MANIFEST, VOTES, STUDY_KEY, *(kind.FILE for kind in records.KINDS))
    for file in [*(path / name for name in names), *pipes_in(path)]:
        kind_of_entry = "a link" if file.is_symlink() else no_file(file)
        if kind_of_entry:
            raise RunFolderError(f"{file}: {kind_of_entry}, not a file of srbench; remove it")
