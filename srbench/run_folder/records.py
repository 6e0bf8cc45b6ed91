"""The lines of a run folder: what was read, what was sampled, what was measured. Appended, never changed.

    pairs.jsonl     one line an HR and LR image that was read
    samples.jsonl   one line a model, temperature and image: its outputs, time and memory
    rows.jsonl      one line a measured value

A later line replaces an earlier one on the same thing. A failure is a line too. Images are named by the sha256 of their
pixels, and those that were kept also by that of their file. Values that are not finite are the texts "inf", "-inf" and
"nan", for JSON has none.

What a run knows of its lines is where those of an image are: they are read again where they are needed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar
from zlib import crc32

from srbench.images.io import disk_faults_named
from srbench.run_folder import RunFolderError
from srbench.system.config import ConfigError, register, structure
from srbench.system.file_names import is_file_name

Value = list[float] | float
"""One number a sample, or one of the whole set."""


AGAIN = "run the same command again, which does what is missing"


@dataclass(frozen=True)
class ImageDigest:
    """An image that was read or made."""

    pixels: str
    """sha256 of its size and its 8-bit RGB values."""
    sha256: str | None
    """Of its PNG file; None where it was not kept."""


@dataclass(frozen=True)
class _Record:
    """What all lines have."""

    FILE: ClassVar[str]

    key: str
    """sha256 of all that determines the result."""
    image: str
    invocation: int
    """Place of the command in the manifest that made the line."""
    tries: int
    """How often it was tried, this time included."""
    error: str
    """Empty where it went well."""

    def __post_init__(self) -> None:
        if not is_file_name(self.image):
            raise ValueError(f"{self.image!r} is no name of an image")

    @property
    def failed(self) -> bool:
        """Is there nothing but an error?"""
        return self.error != ""


@dataclass(frozen=True)
class PairRecord(_Record):
    """An LR and HR image of the dataset."""

    FILE: ClassVar[str] = "pairs.jsonl"

    lr: ImageDigest | None
    hr: ImageDigest | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.failed and (self.lr is None or self.hr is None):
            raise ValueError("neither LR and HR nor an error")


@dataclass(frozen=True)
class SampleRecord(_Record):
    """What a model made of one image at one temperature."""

    FILE: ClassVar[str] = "samples.jsonl"

    model: str
    """Its label."""
    temperature: float | None
    source: str
    """sha256 of the files that results made elsewhere were read from; empty for a model that computes."""
    outputs: tuple[ImageDigest, ...]
    seconds: float
    """Of the model, for all samples together."""
    peak_memory_mb: float | None
    """On a GPU: the most that torch held there meanwhile. On a CPU: the most that the process ever held."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_file_name(self.model):
            raise ValueError(f"{self.model!r} is no label of a model")
        if not self.failed and not self.outputs:
            raise ValueError("neither outputs nor an error")
        if any(output.sha256 is not None for output in self.outputs[self.kept :]):
            raise ValueError("of the outputs others than the first were kept")

    @property
    def drawn(self) -> bool:
        """Are the outputs samples, rather than the one output of a model?"""
        return self.temperature is not None or len(self.outputs) > 1

    @property
    def kept(self) -> int:
        """How many of the outputs were kept as files, the first ones."""
        return sum(output.sha256 is not None for output in self.outputs)


@dataclass(frozen=True)
class ScoreRecord(_Record):
    """One metric of one sample record."""

    FILE: ClassVar[str] = "rows.jsonl"

    model: str
    temperature: float | None
    metric: str
    signature: str
    """Of the protocol that the value follows."""
    value: Value | None
    """None where it failed."""
    sample: str
    """Key of the sample record."""
    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.failed and self.value is None:
            raise ValueError("neither a value nor an error")


AnyRecord = PairRecord | SampleRecord | ScoreRecord
Record = TypeVar("Record", bound=AnyRecord)
KINDS: tuple[type[AnyRecord], ...] = (PairRecord, SampleRecord, ScoreRecord)


class Line(NamedTuple):
    """A record, and the bytes of its file that say so."""

    record: AnyRecord
    start: int
    content: bytes
    """Its end included."""


@dataclass
class ImageRecords:
    """The records of one image that count."""

    pair: PairRecord | None = None
    samples: dict[tuple[str, float | None], SampleRecord] = field(default_factory=dict)
    """The last record of every model and temperature, of this or other code and weights."""
    scores: dict[tuple[str, str, str], ScoreRecord] = field(default_factory=dict)
    """By key, model and metric: equal images, and labels of one model, have equal keys."""

    def take(self, record: AnyRecord) -> None:
        """Let a record count from now on."""
        if isinstance(record, PairRecord):
            self.pair = record
        elif isinstance(record, SampleRecord):
            self.samples[record.model, record.temperature] = record
        else:
            self.scores[record.key, record.model, record.metric] = record


class Index:
    """Where in the files of a run folder the lines of every image are, so that none of them is kept in memory.

    Lines of an image that follow each other are one span: kind, start, end, and a checksum.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spans: dict[str, array[int]] = {}

    def __iter__(self) -> Iterator[str]:
        """The images, in the order in which they came."""
        return iter(self._spans)

    def add(self, line: Line) -> None:
        """Remember where a line is."""
        kind, end = KINDS.index(type(line.record)), line.start + len(line.content)
        spans = self._spans.setdefault(line.record.image, array("q"))
        last = next((place for place in range(len(spans) - 4, -1, -4) if spans[place] == kind), None)
        if last is not None and spans[last + 2] == line.start:
            spans[last + 2], spans[last + 3] = end, crc32(line.content, spans[last + 3])
        else:
            spans.extend((kind, line.start, end, crc32(line.content)))

    def read(self, image: str) -> ImageRecords:
        """The records of an image. Raises RunFolderError where they are no longer what they were, and OSError."""
        records, spans = ImageRecords(), self._spans.get(image, ())
        for place in range(0, len(spans), 4):
            cls, (start, end, checksum) = KINDS[spans[place]], spans[place + 1 : place + 4]
            path = self._folder / cls.FILE
            try:
                with disk_faults_named(path), path.open("rb") as file:
                    file.seek(start)
                    content = file.read(end - start)
            except FileNotFoundError:
                content = b""
            if crc32(content) != checksum:
                raise RunFolderError(f"{path}: was deleted or changed meanwhile; {AGAIN}")
            for line in content.split(b"\n")[:-1]:
                records.take(from_line(line.decode(), cls))
        return records


def digest(*facts: object) -> str:
    """sha256 of some facts, as JSON writes them."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def to_line(record: AnyRecord) -> str:
    """One line of strict JSON, without its end."""
    facts = asdict(record)
    if isinstance(record, ScoreRecord):
        facts["value"] = _to_json(record.value)
    return json.dumps(facts, allow_nan=False)


def from_line(line: str, cls: type[Record]) -> Record:
    """The inverse of ``to_line``. Raises ValueError that says what is wrong with a line."""
    facts = json.loads(line, parse_constant=_refuse)
    if not isinstance(facts, dict):
        raise ValueError("not an object")
    try:
        return structure(facts, cls, "")
    except ConfigError as error:
        raise ValueError(str(error).removeprefix(": ")) from None


def append(folder: Path, records: Iterable[AnyRecord], ends: dict[str, int]) -> list[Line]:
    """Add lines to the files of a run folder; they are on the disk when this returns them.

    ``ends`` are the sizes of the files by name as this process has left them. Raises RunFolderError where one has
    another, and OSError where a line cannot be written: nothing of it is left then, if the disk lets it be cut off.
    """
    by_file: dict[str, list[AnyRecord]] = {}
    for record in records:
        by_file.setdefault(record.FILE, []).append(record)
    written: list[Line] = []
    for name, of_file in by_file.items():
        path, lines = folder / name, [f"{to_line(record)}\n".encode() for record in of_file]
        content = b"".join(lines)
        with disk_faults_named(path), path.open("ab", buffering=0) as file:
            end = file.tell()
            if end != ends.get(name, end):
                raise RunFolderError(f"{path}: was deleted or changed meanwhile; {AGAIN}")
            try:
                _write(file, content)
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise
            ends[name] = end + len(content)
        for record, line in zip(of_file, lines, strict=True):
            written.append(Line(record, end, line))
            end += len(line)
    return written


def check(folder: Path, ends: dict[str, int]) -> None:
    """Raise RunFolderError where files of a run folder, or all of it, are no longer as this process has left them."""
    for name, end in ends.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != end:
            raise RunFolderError(f"{path}: was deleted or changed meanwhile; {AGAIN}")
    if not folder.is_dir():
        raise RunFolderError(f"{folder}: was deleted meanwhile; {AGAIN}")


def _write(file: FileIO, content: bytes) -> None:
    while content:  # a disk that is nearly full takes a part
        content = content[file.write(content) :]
    os.fsync(file.fileno())


def read(folder: Path, cls: type[Record]) -> Iterator[Line]:
    """The lines of one kind in a run folder, in order; none where there is no file.

    A last line without an end was torn by a kill and is left out. Raises RunFolderError for any other damage.
    """
    path, start = folder / cls.FILE, 0
    for number, content in enumerate(_lines_of(path), 1):
        try:
            yield Line(from_line(content[:-1].decode(), cls), start, content)
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise RunFolderError(
                f"{path}: line {number} is damaged ({reason}); delete that line and run the command again"
            ) from None
        start += len(content)


def _lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, with their ends; the last one without is left out."""
    try:
        if path.exists():
            with path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def drop_torn_lines(folder: Path) -> None:
    """Cut off last lines without an end, so that others can be appended. Raises OSError."""
    for cls in KINDS:
        path = folder / cls.FILE
        if path.exists():
            with path.open("rb+") as file:
                end = sum(len(line) for line in file if line.endswith(b"\n"))
                if end < file.seek(0, os.SEEK_END):
                    file.truncate(end)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _to_json(value: Value | None) -> Any:  # noqa: ANN401 - what JSON holds
    if isinstance(value, list):
        return [_to_json(number) for number in value]
    return value if value is None or math.isfinite(value) else str(value)


def _from_json(value: object) -> Value | None:
    if value is None:
        return None
    if isinstance(value, list):
        return [_number(one) for one in value]
    return _number(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in ("inf", "-inf", "nan")):
        raise ValueError(f"value: {value!r} is no number")
    return float(value)


register(Value | None, _from_json)
