"""The lines of a run folder: what was read, sampled and measured. Lines are appended, never changed.

JSON has no words for values that are not finite: they are written as the texts "inf", "-inf" and "nan".
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


def append(folder: Path, records: Iterable[JSONLine]) -> None:
    """Append lines to the files of a run folder, and wait until they are on the disk.

    Raises OSError if a line cannot be written; a part that was written is cut off again, if the disk allows that.
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
    """The lines of one kind in a run folder, in order; none if there is no file.

    A last line without a newline was torn by a kill, or is being written, and is left out. Raises RunFolderError for
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


def drop_torn_lines(folder: Path, kinds: Iterable[type[JSONLine]] = KINDS) -> None:
    """Cut off last lines without a newline, so that lines can be appended. Raises OSError."""
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
