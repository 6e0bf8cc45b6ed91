"""The lines of a run folder: what was read, what was sampled, what was measured. Appended, never changed.

    pairs.jsonl     one line an HR and LR image that was read
    samples.jsonl   one line a model, temperature and image: its outputs, time and memory
    rows.jsonl      one line a measured value

A later line replaces an earlier one on the same thing. A failure is a line too. Images are named by the sha256 of their
pixels, and those that were kept also by that of their file. Values that are not finite are the texts "inf", "-inf" and
"nan", for JSON has none.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from srbench.config import ConfigError, register, structure
from srbench.images import disk_faults_named
from srbench.names import is_file_name
from srbench.types import SRBenchError

Value = list[float] | float
"""One number a sample, or one of the whole set."""


AGAIN = "run the same command again, which does what is missing"


class RecordsError(SRBenchError):
    """Lines that are damaged or cannot be read or written."""


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


Record = TypeVar("Record", PairRecord, SampleRecord, ScoreRecord)


def digest(*facts: object) -> str:
    """sha256 of some facts, as JSON writes them."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def to_line(record: PairRecord | SampleRecord | ScoreRecord) -> str:
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


def append(folder: Path, records: Iterable[PairRecord | SampleRecord | ScoreRecord], ends: dict[str, int]) -> None:
    """Add lines to the files of a run folder; they are on the disk when this returns.

    ``ends`` are the sizes of the files by name as this process has left them. Raises RecordsError where one has
    another, and OSError where a line cannot be written: nothing of it is left then, if the disk lets it be cut off.
    """
    by_file: dict[str, list[str]] = {}
    for record in records:
        by_file.setdefault(record.FILE, []).append(to_line(record))
    for name, lines in by_file.items():
        path, content = folder / name, "".join(f"{line}\n" for line in lines).encode()
        with disk_faults_named(path), path.open("ab", buffering=0) as file:
            end = file.tell()
            if end != ends.get(name, end):
                raise RecordsError(f"{path}: was deleted or changed meanwhile; {AGAIN}")
            try:
                _write(file, content)
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise
            ends[name] = end + len(content)


def check(folder: Path, ends: dict[str, int]) -> None:
    """Raise RecordsError where files of a run folder, or all of it, are no longer as this process has left them."""
    for name, end in ends.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != end:
            raise RecordsError(f"{path}: was deleted or changed meanwhile; {AGAIN}")
    if not folder.is_dir():
        raise RecordsError(f"{folder}: was deleted meanwhile; {AGAIN}")


def _write(file: FileIO, content: bytes) -> None:
    while content:  # a disk that is nearly full takes a part
        content = content[file.write(content) :]
    os.fsync(file.fileno())


def read(folder: Path, cls: type[Record]) -> Iterator[Record]:
    """The records of one kind in a run folder, in order; none where there is no file.

    A last line without an end was torn by a kill and is left out. Raises RecordsError for any other damage.
    """
    path = folder / cls.FILE
    try:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        raise RecordsError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    for number, line in enumerate(lines, 1):
        try:
            yield from_line(line.decode(), cls)
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise RecordsError(
                f"{path}: line {number} is damaged ({reason}); delete that line and run the command again"
            ) from None


def drop_torn_lines(folder: Path) -> None:
    """Cut off last lines without an end, so that others can be appended. Raises OSError."""
    for cls in (PairRecord, SampleRecord, ScoreRecord):
        path = folder / cls.FILE
        if path.exists():
            with path.open("rb+") as file:
                content = file.read()
                end = content.rfind(b"\n") + 1
                if end < len(content):
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
