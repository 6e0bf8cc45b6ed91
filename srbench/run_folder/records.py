"""The records of a run folder: one line of JSON for every pair, sample, score and environment.

Lines are appended, never changed. JSON has no non-finite numbers, so they are the strings "inf", "-inf" and "nan".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from msgspec import Struct, convert, field, to_builtins
from msgspec.json import Decoder

from srbench.files.atomic import disk_faults_named
from srbench.files.hashes import sha256_texts
from srbench.run_folder import RunFolderError
from srbench.run_folder.protocol import Setting
from srbench.words import is_file_name, one_line

_is_name = lru_cache(maxsize=1 << 16)(is_file_name)
"""``is_file_name``, cached because a name occurs in many lines."""
Value = list[float] | float
"""One number per sample, or one number for all samples."""


class JSONLine(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A line of a file of a run folder. ``gc=False``: records have no reference cycles."""

    FILE: ClassVar[str]
    """Name of the file."""


class ImageDigest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Hashes of an image."""

    pixels: str
    """SHA-256 of its size and its 8-bit RGB values."""
    sha256: str | None
    """SHA-256 of its PNG file; None if it was not saved."""


class EnvironmentRecord(JSONLine, frozen=True):
    """The machine, settings and library versions of a process that samples or measures."""

    FILE: ClassVar[str] = "environments.jsonl"

    key: str
    """SHA-256 of the facts, by which other records refer to it."""
    facts: dict[str, str]
    """Facts that may affect rounding: device, processor, threads, versions, environment variables."""

    @classmethod
    def of(cls, facts: dict[str, str]) -> EnvironmentRecord:
        """Return the record of these facts."""
        return cls(digest("environment", facts), facts)


class _Record(JSONLine, frozen=True):
    """The fields that pair, sample and score records share."""

    key: str
    """SHA-256 of everything that determines the result."""
    invocation: int
    """Index in the manifest of the command that wrote the line."""
    error: str
    """Error message of a failure, else empty."""

    @property
    def failed(self) -> bool:
        """True if the record has an error instead of a result."""
        return self.error != ""


class _ImageRecord(_Record, frozen=True):
    """The fields that pair and sample records share."""

    image: str
    """Name of the image."""

    def __post_init__(self) -> None:
        if not _is_name(self.image):
            raise ValueError(f"{self.image!r} cannot be the name of an image")


class PairRecord(_ImageRecord, frozen=True):
    """An LR image of the dataset, and its HR image if the dataset has HR."""

    FILE: ClassVar[str] = "pairs.jsonl"

    lr: ImageDigest | None
    hr: ImageDigest | None
    """None after a failure, and in a dataset without HR images."""
    environment: str = ""
    """Key of the environment of the process that wrote the line."""
    uncropped: tuple[int, int] | None = None
    """Height and width of HR before it was cropped to a multiple of the scale; None if not cropped or unknown."""
    whole: str | None = None
    """SHA-256 of the pixels of the image that HR was cropped from in any way; None if not cropped or unknown."""

    @property
    def whole_pixels(self) -> str | None:
        """SHA-256 of the pixels of HR before it was cropped; None without HR."""
        return self.whole or (self.hr.pixels if self.hr else None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.failed and self.lr is None:
            raise ValueError("neither LR nor an error")


class SampleRecord(_ImageRecord, frozen=True):
    """The outputs of a model for one image at one temperature."""

    FILE: ClassVar[str] = "samples.jsonl"

    model: str
    temperature: float | None
    source: str
    """SHA-256 of the files of a precomputed result; empty for a model that runs."""
    outputs: tuple[ImageDigest, ...]
    seconds: float
    """Time that the model took for all samples together, with copies to and from the device. With the first image of a
    process, torch also loads and chooses what it needs."""
    peak_memory_mb: float | None
    """On a GPU, peak memory of torch during sampling, weights of all models and metrics included; on a CPU, peak memory
    of the process since it started."""
    environment: str = ""
    """Key of the environment, as in PairRecord."""
    outliers: int | None = None
    """Number of outputs with a value below -0.5 or above 1.5 before quantisation; None if unknown."""
    in_training: bool | None = None
    """True if HR, before it was cropped, was a training image of the model; None if its weights do not state these."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_label(self.model)
        if not self.failed and not self.outputs:
            raise ValueError("neither outputs nor an error")
        if any(output.sha256 is not None for output in self.outputs[self.kept :]):
            raise ValueError("the kept outputs are not the first outputs")

    @property
    def setting(self) -> Setting:
        """The model and its temperature."""
        return Setting(self.model, self.temperature)

    @property
    def drawn(self) -> bool:
        """True if the outputs are samples, not the single output of a model."""
        return self.temperature is not None or len(self.outputs) > 1

    @property
    def kept(self) -> int:
        """Number of outputs saved as files; these are the first outputs."""
        return sum(output.sha256 is not None for output in self.outputs)


class ScoreRecord(_Record, frozen=True):
    """The value of a metric of a model at one temperature."""

    FILE: ClassVar[str] = "rows.jsonl"

    subject: str
    """The image or the group of images that has the value;
    empty for a value of all images together, or of the model."""
    model: str
    temperature: float | None
    metric: str
    signature: str
    """The metric and its protocol in short."""
    value: Value | None
    """None if the metric failed, or does not apply to the model."""
    sample: str
    """Key of the sample record of an image; empty for any other subject."""
    seconds: float
    environment: str = ""
    """Key of the environment, as in PairRecord."""

    def __post_init__(self) -> None:
        _require_label(self.model)
        if self.subject and not _is_name(self.subject):
            raise ValueError(f"{self.subject!r} cannot be the name of an image or group")

    @property
    def setting(self) -> Setting:
        """The model and its temperature."""
        return Setting(self.model, self.temperature)

    @property
    def place(self) -> Place:
        """What the record is a value of; a later record of the same place replaces it."""
        return self.key, self.setting, self.metric


Place = tuple[str, Setting, str]
"""Key, setting and metric; the key alone is not unique if two models have equal outputs."""


def _require_label(model: str) -> None:
    if not _is_name(model):
        raise ValueError(f"{model!r} cannot be the label of a model")


AnyRecord = PairRecord | SampleRecord | ScoreRecord
Line = AnyRecord | EnvironmentRecord
Record = TypeVar("Record", bound=JSONLine)
KINDS: tuple[type[Line], ...] = (EnvironmentRecord, PairRecord, SampleRecord, ScoreRecord)


class ImageRecords(Struct):
    """The current records of one image."""

    pair: PairRecord | None = None
    samples: dict[Setting, SampleRecord] = field(default_factory=dict)
    """The latest record of every setting, even if made with earlier code or weights."""

    def take(self, record: PairRecord | SampleRecord) -> None:
        """Add a record in place of the earlier record of the pair or setting."""
        if isinstance(record, PairRecord):
            self.pair = record
        else:
            self.samples[record.setting] = record


_sorted_json = json.JSONEncoder(sort_keys=True).encode


def digest(*facts: object) -> str:
    """Return the SHA-256 of facts, encoded as JSON."""
    return sha256_texts(_sorted_json(facts))


def digests(facts: Sequence[object], last: Iterable[str]) -> list[str]:
    """Return ``digest(*facts, text)`` for each text of ``last``, hashing the common facts once."""
    common = hashlib.sha256(f"{_sorted_json(facts)[:-1]}, ".encode())
    hexdigests = []
    for text in last:
        sha256 = common.copy()
        sha256.update(f"{json.dumps(text)}]".encode())
        hexdigests.append(sha256.hexdigest())
    return hexdigests


def to_line(record: JSONLine) -> str:
    """Format a record as a line of strict JSON, without the line feed."""
    return json.dumps(to_json(to_builtins(record)), allow_nan=False)


def from_line(line: str | bytes, kind: type[Record]) -> Record:
    """Parse a line. Raises ValueError, which says what is wrong with it."""
    with suppress(ValueError):
        record: Record = _decoder(kind).decode(line)
        return record
    facts = strict_json(line)  # the line has a non-finite number, or is damaged
    if isinstance(facts, dict) and "value" in facts:
        facts["value"] = _from_json(facts["value"])
    return convert(facts, kind)


@cache
def _decoder(kind: type[Record]) -> Decoder[Record]:
    return Decoder(kind)


def append(folder: Path, records: Iterable[JSONLine]) -> None:
    """Append records to the files of a run folder, and wait until they are on the disk.

    Raises OSError if they cannot be written; a partly written line is cut off again, if the disk permits.
    """
    by_file: dict[str, list[str]] = {}
    for record in records:
        by_file.setdefault(record.FILE, []).append(to_line(record) + "\n")
    for name, lines in by_file.items():
        path = folder / name
        with disk_faults_named(path), path.open("ab") as file:
            end = file.tell()
            try:
                file.write("".join(lines).encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    os.truncate(path, end)
                raise


def read(folder: Path, kind: type[Record]) -> Iterator[Record]:
    """Yield the records of one kind in order; none if the file is missing.

    A last line without a line feed was torn by a kill, or is being written, and is skipped. Raises RunFolderError for
    any other damage.
    """
    path = folder / kind.FILE
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _parsed(line, kind, path, number)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _parsed(line: bytes, kind: type[Record], path: Path, number: int) -> Record:
    try:
        return from_line(line, kind)
    except (ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{path}: line {number} is damaged ({one_line(error)}); delete that line and run the command again"
        ) from None


def whole_lines(content: bytes) -> tuple[bytes, bytes]:
    """Return the lines of a file, with the line feed that an editor left out, and a last line torn by a kill or b""."""
    end = content.rfind(b"\n") + 1
    try:
        strict_json(content[end:])
    except ValueError:
        return content[:end], content[end:]
    return content + b"\n", b""


def drop_torn_lines(folder: Path) -> None:
    """Cut off a last line without a line feed, so that records can be appended. Raises OSError."""
    for kind in KINDS:
        path = folder / kind.FILE
        if path.exists():
            content = path.read_bytes()
            if not content.endswith(b"\n"):
                os.truncate(path, content.rfind(b"\n") + 1)


def strict_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON, refusing Python's NaN and Infinity, and texts that UTF-8 cannot encode. Raises ValueError."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    content = json.loads(text, parse_constant=refuse)
    json.dumps(content, ensure_ascii=False).encode()  # raises UnicodeEncodeError for half a surrogate pair
    return content


def to_json(value: object) -> object:
    """Replace non-finite numbers by strings, at any depth."""
    if isinstance(value, dict):
        return {key: to_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _from_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_from_json(number) for number in value]
    return float(value) if value in ("inf", "-inf", "nan") else value
