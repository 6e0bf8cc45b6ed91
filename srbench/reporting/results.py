"""The results of one run, or of several runs of one protocol: what tables, reports and comparisons are made of.

``srbench.Results`` adds to them what needs models: measuring, reporting and verifying from Python.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path

from srbench.interfaces import MetricInfo
from srbench.models import ModelInfo
from srbench.reporting import ReportError
from srbench.reporting.figures.error_maps import MapKind, kinds_of
from srbench.run_folder.folder import IsKept, RunFolder, is_kept
from srbench.run_folder.measurements import Measurement, measurements_of, recorded_of_many, values_of
from srbench.run_folder.protocol import Invocation, Setting
from srbench.run_folder.values import Values, agree, mean

_Place = tuple[Setting, str]
_PROTOCOL = {
    "suite": "protocol",
    "quantize": "quantisation",
    "columns": "metrics of the suite",
    "average": "unit of means",
    "scale": "scale",
    "dataset": "dataset",
    "crop": "crop",
    "lr": "LR images",
    "tile": "tile",
}
"""Fields of the protocol that must agree within a table, with their names in messages."""


@dataclass(frozen=True)
class Run:
    """A run folder in memory; labels of models may differ from those in the folder."""

    folder: RunFolder
    models: tuple[ModelInfo, ...]
    measurements: list[Measurement]
    renamed: dict[str, str] = field(default_factory=dict)
    """Labels in the folder -> labels in the table, for labels that differ."""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.path.resolve().name

    def label(self, setting: Setting) -> str:
        """Return the label in the table of a setting of the folder."""
        return replace(setting, model=self.renamed.get(setting.model, setting.model)).label

    @property
    def invocations(self) -> list[Invocation]:
        """Commands that made the results in the table."""
        made_by = {index for measurement in self.measurements for index in measurement.invocations}
        commands = self.folder.manifest.invocations
        return [commands[index] for index in sorted(made_by) if 0 <= index < len(commands)]


class Results:
    """Runs of one table: their protocols agree, and every label has one meaning."""

    def __init__(self, runs: Sequence[Run], metrics: tuple[MetricInfo, ...], left_out: str = "") -> None:
        self.runs = runs
        self.left_out = left_out
        """Sentence on the metrics that only some runs have, else empty."""
        commands = tuple(invocation for run in runs for invocation in run.folder.manifest.invocations)
        self.manifest = replace(runs[0].folder.manifest, invocations=commands, metrics=metrics)
        """Protocol, models, metrics, settings and commands: those of the first run, with the commands of all runs."""
        self.metrics = (*self.manifest.of_images, *self.manifest.of_many)
        """Metrics that all runs have; those of images come first."""
        self.protocol = self.manifest.protocol
        self.images = self.manifest.scope
        """Names of the requested images."""
        models: dict[str, ModelInfo] = {}
        self._sources: dict[_Place, list[tuple[RunFolder, Measurement]]] = {}
        for run in runs:
            for model in run.models:
                models.setdefault(model.label, model)
            for measurement in run.measurements:
                self._sources.setdefault(_place(measurement), []).append((run.folder, measurement))
        self.models = list(models.values())
        """All models, each label once."""
        self.settings = list(dict.fromkeys(setting for setting, _ in self._sources))
        """Lines of the table."""
        order = [(setting, image) for setting in self.settings for image in self.images]
        self.measurements = [self._sources[place][0][1] for place in order if place in self._sources]
        """Measurements of all runs, setting by setting in the order of the images; those of two runs appear once."""
        self._files: dict[_Place, list[Path]] = {}
        """Cache of ``outputs``."""
        self._pairs: dict[str, tuple[Path, ...] | None] = {}
        """Cache of ``pair``."""
        self._is_kept: IsKept = cache(is_kept)
        """Hashes every file only once."""

    @cached_property
    def values(self) -> Values:
        """All values; those of many images are NaN unless computed from exactly these images."""
        of_many = recorded_of_many([run.folder for run in self.runs], lambda image: self.pair_pixels(image)[1])
        return values_of(self.measurements, self.metrics, of_many, self.manifest.unit_of)

    @cached_property
    def has_hr(self) -> bool:
        """False for runs on a dataset without HR images."""
        return any(run.folder.has_hr for run in self.runs)

    @cached_property
    def machines(self) -> list[str]:
        """Processor, GPU and device of the commands that made the results, or the address of a Dask cluster."""
        parts = ("cpu", "gpu", "device")
        named = {
            ", ".join(facts[part] for part in parts if facts.get(part)) or facts.get("engine", "")
            for facts in (invocation.hardware for run in self.runs for invocation in run.invocations)
        }
        return sorted(filter(None, named))

    @property
    def map_kinds(self) -> list[MapKind]:
        """Kinds of maps in a report."""
        return kinds_of(self.manifest.of_images, has_hr=self.has_hr)

    def pair(self, image: str) -> tuple[Path, ...] | None:
        """Return the saved LR and HR of an image (only LR without HR); None if one is missing or was changed."""
        if image not in self._pairs:
            pairs = (run.folder.pair(image, self._is_kept) for run in self.runs)
            self._pairs[image] = next((pair for pair in pairs if pair is not None), None)
        return self._pairs[image]

    def foreign_images(self) -> list[Path]:
        """Return image files of the runs that do not match their records."""
        return [file for run in self.runs for file in run.folder.foreign_images(self._is_kept)]

    def uncropped(self, image: str) -> tuple[int, int] | None:
        """Return height and width of HR before it was cropped to a multiple of the scale; None if it was not."""
        pairs = (run.folder.of(image).pair for run in self.runs)
        return next((pair.uncropped for pair in pairs if pair is not None and pair.uncropped), None)

    def pair_pixels(self, image: str) -> tuple[str, str]:
        """Return the SHA-256 of the pixels of LR and of HR ("" without HR). Raises KeyError if no run read the pair."""
        for run in self.runs:
            record = run.folder.of(image).pair
            if record is not None and record.lr is not None:
                return record.lr.pixels, "" if record.hr is None else record.hr.pixels
        raise KeyError(image)

    def outputs(self, measurement: Measurement) -> list[Path]:
        """Return the saved outputs of a measurement, in order; empty if one is missing or was changed."""
        place = _place(measurement)
        if place not in self._files:
            kept = (folder.outputs(source.sample, self._is_kept) for folder, source in self._sources[place])
            self._files[place] = next(filter(None, kept), [])
        return self._files[place]


def read_run(path: Path) -> Run:
    """Read a run folder. Raises SRBenchError if it is no run or has no results."""
    folder = RunFolder.read(path)
    requested = {setting.model for setting in folder.manifest.settings}
    models = tuple(model for model in folder.manifest.models if model.label in requested)
    return Run(folder, models, measurements_of(folder))


def read_results(folders: Sequence[Path]) -> Results:
    """Read the run folders of one table.

    The folder's name is appended to a label that has different results in several runs: ``srflow @ monday``. Metrics
    that some runs lack are left out, with a warning. Raises ReportError, which names the difference, if protocols
    differ, and SRBenchError if a folder is no run or has no results.
    """
    runs = list(map(read_run, dict.fromkeys(folders)))
    for other in runs[1:]:
        if difference := _difference(runs[0], other):
            paths = f"{runs[0].folder.path} and {other.folder.path}"
            raise ReportError(f"{paths} cannot share a table: {difference}; report each by itself")
    measured = [{metric.name for metric in run.folder.manifest.metrics} for run in runs]
    shared = set.intersection(*measured)
    if not shared:
        paths = " and ".join(str(run.folder.path) for run in runs)
        raise ReportError(f"{paths} have no metric in common; add one with srbench score")
    titles = {metric.name: metric.title for run in runs for metric in run.folder.manifest.metrics}
    lacking = [
        f"{title} (not in {', '.join(run.name for run, names in zip(runs, measured, strict=True) if name not in names)})"
        for name, title in titles.items()
        if name not in shared
    ]
    left_out = f"The table has only metrics of all runs; left out: {', '.join(lacking)}." if lacking else ""
    if left_out:
        warnings.warn(left_out, stacklevel=2)
    metrics = tuple(metric for metric in runs[0].folder.manifest.metrics if metric.name in shared)
    return Results(_unambiguous([_with_columns(run, shared) for run in runs]), metrics, left_out)


def _with_columns(run: Run, names: set[str]) -> Run:
    """Return a run with only the values of these metrics."""
    if names.issuperset(metric.name for metric in run.folder.manifest.metrics):
        return run
    measurements = [
        replace(measurement, values={name: value for name, value in measurement.values.items() if name in names})
        for measurement in run.measurements
    ]
    return replace(run, measurements=measurements)


def mean_of(measurement: Measurement, metric: MetricInfo) -> float:
    """Return the mean of a metric over the samples of an image; NaN if the value is missing."""
    return mean(measurement.values.get(metric.name))


def _place(measurement: Measurement) -> _Place:
    return measurement.setting, measurement.image


def _difference(run: Run, other: Run) -> str:
    """Describe the first difference that keeps two runs out of one table; empty if there is none."""
    here, there = run.folder.manifest, other.folder.manifest
    for name, words in _PROTOCOL.items():
        value, other_value = getattr(here.protocol, name), getattr(there.protocol, name)
        if value != other_value:
            return f"{words}: {value} against {other_value}"
    if here.scope != there.scope and not _are_shards(run, other):
        return f"images: {_entries(here.scope, there.scope)}"
    ours, theirs = ({metric.name: metric.signature for metric in manifest.metrics} for manifest in (here, there))
    unlike = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if unlike:
        return f"metrics: {_entries([ours[name] for name in unlike], [theirs[name] for name in unlike])}"
    for image in here.scope:
        if here.unit_of.get(image) != there.unit_of.get(image):
            return f"the group of {image}: {here.unit_of.get(image)} against {there.unit_of.get(image)}"
        records = (side.folder.of(image).pair for side in (run, other))
        pairs = [pair for pair in records if pair is not None and not pair.failed]
        for kind in ("lr", "hr"):
            if len({known and known.pixels for known in (getattr(pair, kind) for pair in pairs)}) > 1:
                return f"the {kind.upper()} images named {image} differ"
    return ""


def _are_shards(run: Run, other: Run) -> bool:
    """Return whether two runs have the same models and settings, and disjoint images of the same dataset."""
    here, there = run.folder.manifest, other.folder.manifest
    digests = [{(model.label, model.digest) for model in side.models} for side in (run, other)]
    is_alike = here.images == there.images and set(here.settings) == set(there.settings) and digests[0] == digests[1]
    return is_alike and set(here.scope).isdisjoint(there.scope)


def _entries(here: Sequence[str], there: Sequence[str]) -> str:
    """Name the entries that only one of two lists has, at most three of each."""
    if set(here) == set(there):
        return "the same in another order"
    only = ([entry for entry in ours if entry not in theirs] for ours, theirs in ((here, there), (there, here)))
    return " against ".join(", ".join(own[:3]) or "nothing" for own in only)


def _unambiguous(runs: list[Run]) -> list[Run]:
    """Append the folder's name to every label that has different results in several runs."""
    ambiguous = {label for run, other in combinations(runs, 2) for label in _conflicts(run, other)}
    if not ambiguous:
        return runs
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    unambiguous = []
    for run, name in zip(runs, names, strict=True):
        labels = {label: f"{label} @ {name}" for label in ambiguous}
        models = tuple(replace(model, label=labels.get(model.label, model.label)) for model in run.models)
        measurements = [
            replace(each, setting=replace(each.setting, model=labels.get(each.setting.model, each.setting.model)))
            for each in run.measurements
        ]
        unambiguous.append(Run(run.folder, models, measurements, labels))
    return unambiguous


def _conflicts(run: Run, other: Run) -> set[str]:
    """Return the labels for which two runs have different model digests, or values that are not equal."""
    digests = {model.label: model.digest for model in run.models}
    models = {model.label for model in other.models if digests.get(model.label, model.digest) != model.digest}
    metrics = {metric.name: metric for metric in run.folder.manifest.metrics}
    known = {_place(each): each.values for each in run.measurements}
    for each in other.measurements:
        values = known.get(_place(each), each.values)
        if values.keys() != each.values.keys() or not all(
            agree(values[name], value, metrics[name]) for name, value in each.values.items()
        ):
            models.add(each.setting.model)
    for subject, scores in run.folder.scores.items():
        others = other.folder.scores.get(subject, {})
        for place in scores.keys() & others.keys():  # of equal outputs and HR images
            metric = metrics.get(place[2])
            if metric is None or metric.is_of_images or scores[place].failed or others[place].failed:
                continue
            if not agree(scores[place].value, others[place].value, metric):
                models.add(place[1].model)
    return models
