"""One run, or several whose protocols agree, as one: what every report and comparison is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

from srbench.reporting import ReportError
from srbench.run_folder.folder import Place, RunFolder
from srbench.run_folder.protocol import Invocation, Manifest, ModelFacts, Protocol
from srbench.run_folder.records import SampleRecord
from srbench.run_folder.results import ResultTable, Row, failures_of, rows_of

_PROTOCOL = {
    "suite": "protocol",
    "quantize": "8-bit images by",
    "columns": "metrics of the suite",
    "scale": "scale",
    "dataset": "dataset",
    "crop": "crop",
    "lr": "LR images",
}
"""What of two protocols has to be equal so that their values may stand in one table, and its name for a reader."""


@dataclass(frozen=True)
class Run:
    """A run folder that was read; its labels may have been changed."""

    folder: RunFolder
    models: tuple[ModelFacts, ...]
    rows: list[Row]
    labels: dict[str, str]
    """Label of a model in the table -> its label in the folder."""

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder.path

    @property
    def manifest(self) -> Manifest:
        """With the labels of the folder."""
        return self.folder.manifest

    @property
    def invocations(self) -> list[Invocation]:
        """Those that made what the table shows."""
        made_by = {place for row in self.rows for place in row.invocations}
        known = self.manifest.invocations
        return [known[place] for place in sorted(made_by) if 0 <= place < len(known)]


@dataclass(frozen=True)
class Measurements:
    """The runs of one table: equal protocols, and no label stands for two different results."""

    runs: tuple[Run, ...]

    @property
    def manifest(self) -> Manifest:
        """Of the first run: protocol, data and metrics are those of all."""
        return self.runs[0].manifest

    @property
    def protocol(self) -> Protocol:
        """Of the first run."""
        return self.manifest.protocol

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images that were asked for."""
        return self.manifest.scope

    @property
    def models(self) -> list[ModelFacts]:
        """Every model, each label once."""
        models = {model.label: model for run in reversed(self.runs) for model in run.models}
        order = dict.fromkeys(model.label for run in self.runs for model in run.models)
        return [models[label] for label in order]

    @cached_property
    def rows(self) -> list[Row]:
        """Of all runs; what two of them measured alike is there once."""
        rows = {(row.model, row.temperature, row.image): row for run in reversed(self.runs) for row in run.rows}
        order = dict.fromkeys((row.model, row.temperature, row.image) for run in self.runs for row in run.rows)
        return [rows[key] for key in order]

    @property
    def failures(self) -> list[str]:
        """What was asked for and failed."""
        return [fault for run in self.runs for fault in failures_of(run.folder)]

    @property
    def foreign_images(self) -> list[Path]:
        """Files that are not the images that were measured, and are not shown."""
        return [file for run in self.runs for file in run.folder.foreign_images()]

    def table(self) -> ResultTable:
        """The values of all rows."""
        return ResultTable.from_rows(self.rows, tuple(metric.name for metric in self.manifest.metrics))

    def pair(self, image: str) -> tuple[Path, Path] | None:
        """The kept LR and HR image of a name, or None where they are no longer there, or are other images."""
        found = self._pair(image)
        return None if found is None else found[1]

    def pair_pixels(self, image: str) -> tuple[str, str]:
        """sha256 of the pixels of ``pair``. Raises KeyError where that is None."""
        found = self._pair(image)
        if found is None:
            raise KeyError(image)
        record = found[0].of(image).pair
        assert record is not None
        assert record.lr is not None
        assert record.hr is not None
        return record.lr.pixels, record.hr.pixels

    def _pair(self, image: str) -> tuple[RunFolder, tuple[Path, Path]] | None:
        if image not in self._pairs:
            found = ((run.folder, pair) for run in self.runs if (pair := run.folder.pair(image)) is not None)
            self._pairs[image] = next(found, None)
        return self._pairs[image]

    @cached_property
    def _pairs(self) -> dict[str, tuple[RunFolder, tuple[Path, Path]] | None]:
        """What ``pair`` has found."""
        return {}

    def outputs(self, row: Row) -> list[Path]:
        """The kept outputs behind a row, in order; none where one of them is missing or another image."""
        place = row.model, row.temperature, row.image
        if place not in self._files:
            found = (files for folder, sample in self._places[place] if (files := folder.outputs(sample)))
            self._files[place] = next(found, [])
        return self._files[place]

    @cached_property
    def _files(self) -> dict[Place, list[Path]]:
        """What ``outputs`` has found: files are read once to see whether they are the ones that were measured."""
        return {}

    @cached_property
    def _places(self) -> dict[Place, list[tuple[RunFolder, SampleRecord]]]:
        """All that runs hold of a row."""
        places: dict[Place, list[tuple[RunFolder, SampleRecord]]] = {}
        for run in self.runs:
            for row in run.rows:
                places.setdefault((row.model, row.temperature, row.image), []).append((run.folder, row.sample))
        return places


def read_runs(folders: Sequence[Path]) -> Measurements:
    """Read the folders of runs.

    A label that several runs use for different results gets the name of the folder: ``srflow @ monday``. Raises
    ReportError that names the difference where protocols disagree, SRBenchError for a folder that is no
    run or has no measured rows.
    """
    runs = []
    for path in dict.fromkeys(folders):
        folder = RunFolder.read(path)
        rows = rows_of(folder)
        measured = {row.model for row in rows}
        models = tuple(model for model in folder.manifest.models if model.label in measured or _asked(folder, model))
        runs.append(Run(folder, models, rows, {model.label: model.label for model in models}))
    for other in runs[1:]:
        _check_protocol(runs[0], other)
    return Measurements(tuple(_unambiguous(runs)))


def _asked(folder: RunFolder, model: ModelFacts) -> bool:
    return any(setting.model == model.label for setting in folder.manifest.settings)


def _check_protocol(one: Run, other: Run) -> None:
    for name, what in _PROTOCOL.items():
        here, there = getattr(one.manifest.protocol, name), getattr(other.manifest.protocol, name)
        if here != there:
            raise _refusal(one, other, f"{what}: {here} against {there}")
    if one.manifest.scope != other.manifest.scope:
        raise _refusal(one, other, f"images: {_difference(one.manifest.scope, other.manifest.scope)}")
    ours, theirs = ([metric.signature for metric in run.manifest.metrics] for run in (one, other))
    if ours != theirs:
        raise _refusal(one, other, f"metrics: {_difference(ours, theirs)}")
    for image in one.manifest.scope:
        mine, others = one.folder.of(image).pair, other.folder.of(image).pair
        if mine is None or others is None or mine.failed or others.failed:
            continue
        for kind in ("lr", "hr"):
            if getattr(mine, kind).pixels != getattr(others, kind).pixels:
                raise _refusal(one, other, f"the {kind.upper()} images named {image} differ")


def _refusal(one: Run, other: Run, why: str) -> ReportError:
    return ReportError(f"{one.path} and {other.path} cannot stand in one table: {why}; report each by itself")


def _difference(here: Sequence[str], there: Sequence[str]) -> str:
    """The first entries in which two lists differ."""
    mine, theirs = ([entry for entry in a if entry not in b] for a, b in ((here, there), (there, here)))
    if mine or theirs:
        return f"{_few(mine)} against {_few(theirs)}"
    return "the same in another order"


def _few(entries: Sequence[str]) -> str:
    shown = ", ".join(entries[:3]) or "nothing"
    return f"{shown} and {len(entries) - 3} more" if len(entries) > 3 else shown


def _unambiguous(runs: list[Run]) -> list[Run]:
    """The runs with labels changed that stand for different results in two of them."""
    used = {label for one, other in combinations(runs, 2) for label in _conflicts(one, other)}
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    return [
        _renamed(run, {label: f"{label} @ {name}" for label in used}) for run, name in zip(runs, names, strict=True)
    ]


def _conflicts(one: Run, other: Run) -> set[str]:
    digests = {model.label: model.digest for model in one.models}
    values = {(row.model, row.temperature, row.image): row.values for row in one.rows}
    found = {m.label for m in other.models if m.label in digests and m.digest != digests[m.label]}
    for row in other.rows:
        if values.get((row.model, row.temperature, row.image), row.values) != row.values:
            found.add(row.model)
    return found


def _renamed(run: Run, names: dict[str, str]) -> Run:
    models = tuple(replace(model, label=names.get(model.label, model.label)) for model in run.models)
    rows = [replace(row, model=names.get(row.model, row.model)) for row in run.rows]
    labels = {names.get(label, label): before for label, before in run.labels.items()}
    return Run(run.folder, models, rows, labels)
