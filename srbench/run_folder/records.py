"""The lines of a run folder: what was read, sampled and measured. Lines are appended, never changed.

JSON has no words for values that are not finite: they are written as the texts "inf", "-inf" and "nan".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from io import FileIO
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from msgspec import Struct, convert, field, to_builtins
from msgspec.json import Decoder

from srbench.files.atomic import disk_faults_named, sync
from srbench.run_folder import RunFolderError
from srbench.run_folder.protocol import Setting
from srbench.words import is_file_name, one_line

_is_name = lru_cache(maxsize=1 << 16)(is_file_name)
"""A name is in many lines."""
Value = list[float] | float
"""One number per sample, or one for the whole set."""


class JSONLine(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A line of one of the files of a run folder. Python's search for cycles, of which lines have none, skips them."""

    FILE: ClassVar[str]
    """Name of the file."""


class ImageDigest(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An image that was read or made."""

    pixels: str
    """sha256 of its size and its 8-bit RGB values."""
    sha256: str | None
    """sha256 of its PNG file; None if it was not kept."""


class EnvironmentRecord(JSONLine, frozen=True):
    """The machine, settings and libraries of a process that samples or measures."""

    FILE: ClassVar[str] = "environments.jsonl"

    key: str
    """sha256 of the facts, which lines name."""
    facts: dict[str, str]
    """Facts on which the last bits of a number may depend: device, processor, threads, TF32, versions, variables."""

    @classmethod
    def of(cls, facts: dict[str, str]) -> EnvironmentRecord:
        """The record of some facts."""
        return cls(digest("environment", facts), facts)


class _Record(JSONLine, frozen=True):
    """The fields that all lines about an image share."""

    key: str
    """sha256 of all that determines the result."""
    image: str
    invocation: int
    """Index of the command in the manifest that wrote the line."""
    tries: int
    """Number of attempts, this one included."""
    error: str
    """Reason of a failure, else empty."""

    def __post_init__(self) -> None:
        if not _is_name(self.image):
            raise ValueError(f"{self.image!r} cannot be the name of an image")

    @property
    def failed(self) -> bool:
        """True if the record holds nothing but an error."""
        return self.error != ""


class PairRecord(_Record, frozen=True):
    """An LR image of the dataset, and its HR image if there is one."""

    FILE: ClassVar[str] = "pairs.jsonl"

    lr: ImageDigest | None
    hr: ImageDigest | None
    """None after a failure, and in a dataset without HR images."""
    environment: str = ""
    """Key of the environment in which the line was made."""
    uncropped: tuple[int, int] | None = None
    """Height and width of HR before it was cropped to a multiple of the scale; None if it was not, or is unknown."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.failed and self.lr is None:
            raise ValueError("neither LR nor an error")


class _SettingRecord(_Record, frozen=True):
    """A line about a model at one temperature."""

    model: str
    temperature: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_name(self.model):
            raise ValueError(f"{self.model!r} cannot be the label of a model")

    @property
    def setting(self) -> Setting:
        """The model and its temperature."""
        return Setting(self.model, self.temperature)


class SampleRecord(_SettingRecord, frozen=True):
    """The outputs of a model for one image at one temperature."""

    FILE: ClassVar[str] = "samples.jsonl"

    source: str
    """sha256 of the files that precomputed results were read from; empty for a model that computes."""
    outputs: tuple[ImageDigest, ...]
    seconds: float
    """Time the model took for all samples together."""
    peak_memory_mb: float | None
    """On a GPU, the most that torch held there meanwhile; on a CPU, the most that the process ever held."""
    environment: str = ""
    """Key of the environment, as in a pair."""
    runaway: int | None = None
    """Number of outputs with a value below -0.5 or above 1.5 before they became 8-bit; None if unknown."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.failed and not self.outputs:
            raise ValueError("neither outputs nor an error")
        if any(output.sha256 is not None for output in self.outputs[self.kept :]):
            raise ValueError("the kept outputs are not the first ones")

    @property
    def drawn(self) -> bool:
        """True if the outputs are samples rather than the one output of a model."""
        return self.temperature is not None or len(self.outputs) > 1

    @property
    def kept(self) -> int:
        """Number of outputs, the first ones, that were kept as files."""
        return sum(output.sha256 is not None for output in self.outputs)


class ScoreRecord(_SettingRecord, frozen=True):
    """One metric of one sample record."""

    FILE: ClassVar[str] = "rows.jsonl"

    metric: str
    signature: str
    """Protocol of the value in short."""
    value: Value | None
    """None if the metric failed."""
    sample: str
    """Key of the sample record."""
    seconds: float
    environment: str = ""
    """Key of the environment, as in a pair."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.failed and self.value is None:
            raise ValueError("neither a value nor an error")


AnyRecord = PairRecord | SampleRecord | ScoreRecord
"""A line about an image."""
Line = AnyRecord | EnvironmentRecord
Record = TypeVar("Record", bound=JSONLine)
_LOST = b"\0"
"""Content of a block that a power cut lost; JSON has no such byte."""
KINDS: tuple[type[Line], ...] = (EnvironmentRecord, PairRecord, SampleRecord, ScoreRecord)


class ImageRecords(Struct):
    """The current records of one image."""

    pair: PairRecord | None = None
    samples: dict[Setting, SampleRecord] = field(default_factory=dict)
    """The last record of every setting, whichever code and weights it is of."""
    scores: dict[tuple[str, str, str], ScoreRecord] = field(default_factory=dict)
    """Records by key, model and metric: equal images, and two labels of one model, share keys."""

    def take(self, record: AnyRecord) -> None:
        """Replace the earlier record of the same thing."""
        if isinstance(record, PairRecord):
            self.pair = record
        elif isinstance(record, SampleRecord):
            self.samples[record.setting] = record
        else:
            self.scores[record.key, record.model, record.metric] = record

    def lines(self) -> tuple[AnyRecord, ...]:
        """All records of the image."""
        return (*filter(None, [self.pair]), *self.samples.values(), *self.scores.values())


_sorted_json = json.JSONEncoder(sort_keys=True).encode


def digest(*facts: object) -> str:
    """sha256 of some facts as JSON."""
    return hashlib.sha256(_sorted_json(facts).encode()).hexdigest()


def digests(facts: Sequence[object], last: Iterable[str]) -> list[str]:
    """``digest`` of the same facts and one more, for each of the ``last``."""
    begun = hashlib.sha256(f"{_sorted_json(facts)[:-1]}, ".encode())
    found = []
    for text in last:
        one = begun.copy()
        one.update(f"{json.dumps(text)}]".encode())
        found.append(one.hexdigest())
    return found


def to_line(record: JSONLine) -> str:
    """One line of strict JSON, without its end."""
    return json.dumps(to_json(to_builtins(record)), allow_nan=False)


def from_line(line: str | bytes, kind: type[Record]) -> Record:
    """Invert ``to_line``. Raises ValueError that says what is wrong with the line."""
    with suppress(ValueError):
        record: Record = _decoder(kind).decode(line)
        return record
    facts = strict_json(line)  # it holds the text of a number, or is damaged
    if isinstance(facts, dict) and "value" in facts:
        facts["value"] = _from_json(facts["value"])
    return convert(facts, kind)


@cache
def _decoder(kind: type[Record]) -> Decoder[Record]:
    return Decoder(kind)


def append(folder: Path, records: Iterable[JSONLine], ends: dict[str, int]) -> None:
    """Append lines to the files of a run folder, and wait until they are on the disk.

    ``ends`` are the sizes by file name as this process has left them. Raises the error of ``check``, and OSError if a
    line cannot be written: it is cut off again, if the disk allows that.
    """
    check(folder, ends)
    by_file: dict[str, list[str]] = {}
    for record in records:
        by_file.setdefault(record.FILE, []).append(to_line(record) + "\n")
    for name, lines in by_file.items():
        path, content = folder / name, "".join(lines).encode()
        with disk_faults_named(path), path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                _write(file, content)
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise
            ends[name] = file.tell()
            if end == 0:
                sync([folder])


def check(folder: Path, ends: dict[str, int]) -> None:
    """Raise RunFolderError if the folder or one of its files of lines is not as this process has left it."""
    sizes = {folder / name: end for name, end in ends.items()}
    changed = [path for path, end in sizes.items() if not path.exists() or path.stat().st_size != end]
    if changed or not folder.is_dir():
        fault = f"{[*changed, folder][0]}: was deleted or changed meanwhile"
        raise RunFolderError(f"{fault}; run the same command again to do what is missing")


def _write(file: FileIO, content: bytes) -> None:
    while content:  # a disk that is nearly full takes a part
        content = content[file.write(content) :]
    os.fsync(file.fileno())


def read(folder: Path, kind: type[Record]) -> Iterator[Record]:
    """The lines of one kind in a run folder, in order, one by one; none if there is no file.

    A last line without an end was torn by a kill and is left out. So is a line with zero bytes, with a warning: a power
    cut lost a block of it, and kept a later one. Raises RunFolderError for any other damage.
    """
    path = folder / kind.FILE
    for number, line in enumerate(_whole_lines(path), 1):
        if _LOST in line:
            warnings.warn(f"{path}: line {number} was lost (power cut?); run the command again", stacklevel=2)
        else:
            yield _from_file(line, kind, path, str(number))


def read_new(folder: Path, kind: type[Record], start: int) -> tuple[list[Record], int]:
    """Complete lines of one kind from a byte on, and the byte after them: where to read on later.

    Raises RunFolderError for a damaged line, as ``read`` does.
    """
    path = folder / kind.FILE
    lines = list(_whole_lines(path, start))
    found = [_from_file(line, kind, path, f"after byte {start}") for line in lines if _LOST not in line]
    return found, start + sum(map(len, lines))


def _whole_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Lines of a file from a byte on, each with its end; none if there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            yield from takewhile(lambda line: line.endswith(b"\n"), file)  # more may be appended meanwhile
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _from_file(line: bytes, kind: type[Record], path: Path, number: str) -> Record:
    try:
        return from_line(line, kind)
    except (ValueError, RecursionError) as error:
        fault = f"{path}: line {number} is damaged ({one_line(error)})"
        raise RunFolderError(f"{fault}; delete that line and run the command again") from None


def drop_torn_lines(folder: Path, kinds: Iterable[type[JSONLine]] = KINDS) -> None:
    """Cut off last lines without an end, so that others can be appended. Raises OSError."""
    for kind in kinds:
        path = folder / kind.FILE
        if path.exists():
            content = path.read_bytes()
            if not content.endswith(b"\n"):
                os.truncate(path, content.rfind(b"\n") + 1)


def strict_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON without Python's NaN and Infinity. Raises ValueError."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def to_json(value: object) -> object:
    """The value with texts in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _from_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_from_json(number) for number in value]
    return float(value) if value in ("inf", "-inf", "nan") else value
