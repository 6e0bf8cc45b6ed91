"""A run folder in one line: what it was asked for, and how much of that is done. Nothing here loads torch or pandas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.json import Decoder

from srbench.run_folder import RunFolderError
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.records import SampleRecord, ScoreRecord
from srbench.system.file_names import one_line


@dataclass(frozen=True)
class Overview:
    """Facts of a run folder."""

    manifest: Manifest
    asked: int
    """Number of images that were asked for."""
    done: int
    """Number of those with all values of all settings."""

    @property
    def begun(self) -> str:
        """Day and time of its last command, in UTC; empty if there was none."""
        commands = self.manifest.invocations
        return commands[-1].started[:16].replace("T", " ") if commands else ""


class _Line(Struct):
    """The parts of a line that are looked at here."""

    image: str
    model: str
    temperature: float | None
    error: str


class _Sample(_Line):
    key: str


class _Score(_Line):
    metric: str
    sample: str


_Kind = TypeVar("_Kind", bound=_Line)
_Place = tuple[str, str, float | None]
"""Image, model, temperature."""


def overview(run: Path) -> Overview:
    """Read a run folder, in which another process may be writing meanwhile. Raises RunFolderError if it is damaged."""
    manifest = read_manifest(run)
    keys: dict[_Place, str] = {}
    for sample in _lines(run / SampleRecord.FILE, _Sample):
        keys[sample.image, sample.model, sample.temperature] = "" if sample.error else sample.key
    measured: dict[_Place, set[str]] = {}
    for score in _lines(run / ScoreRecord.FILE, _Score):
        place = score.image, score.model, score.temperature
        if not score.error and score.sample == keys.get(place):
            measured.setdefault(place, set()).add(score.metric)
    wanted = {metric.name for metric in manifest.metrics}
    lacking = {
        image
        for setting in manifest.settings
        for image in manifest.planned(setting)
        if not wanted <= measured.get((image, setting.model, setting.temperature), set())
    }
    return Overview(manifest, len(manifest.scope), sum(image not in lacking for image in manifest.scope))


def _lines(path: Path, kind: type[_Kind]) -> Iterator[_Kind]:
    """Lines of a file, but those that a kill or a power cut tore; none if there is no file."""
    decoder = Decoder(kind)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n") and b"\0" not in line:
                    try:
                        yield decoder.decode(line)
                    except ValueError as error:
                        raise RunFolderError(f"{path}: line {number} is damaged ({one_line(error)})") from None
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
