"""The results of one run, or of several runs of one protocol: what tables, reports and comparisons are made of.

``srbench.Results`` adds to them what needs models: measuring, reporting and verifying from Python.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import combinations, groupby
from pathlib import Path

from srbench.interfaces import MetricInfo
from srbench.metrics.loading import located
from srbench.models import ModelInfo
from srbench.reporting import ReportError
from srbench.run_folder.folder import IsKept, RunFolder, edited_records, is_kept
from srbench.run_folder.measurements import Measurement, measurements_of, recorded_of_many, values_of
from srbench.run_folder.protocol import Invocation, Protocol, Setting
from srbench.run_folder.records import Value
from srbench.run_folder.values import Values, agree, is_missing, mean
from srbench.run_folder.verified import Verdict, read_verified

MetricKey = tuple[str, str, int]
"""Name, signature and direction."""
_Place = tuple[str, str, tuple[str, ...]]
"""Metric, subject and, of a value of many images, all images of the setting, sorted."""
_PROTOCOL = {
    "suite": "protocol",
    "quantize": "quantisation",
    "columns": "metrics of the suite",
    "average": "unit of means",
    "scale": "scale",
    "crop": "crop",
    "tile": "tile",
}
"""Fields of the protocol that must agree within a table, with their names in messages."""
NOT_CHECKED = "srbench verify has not checked these records"
"""The reason for which such a run is unverified; one that was checked may be unverified for another."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder in memory; labels of models and names of metrics may differ from those in the folder."""

    folder: RunFolder
    name: str
    """Name in tables: that of the folder, or its path below the folder of a report."""
    models: tuple[ModelInfo, ...]
    measurements: list[Measurement]
    metrics: dict[str, MetricInfo]
    """Metrics as in the folder, by name in the table."""
    of_many: dict[tuple[Setting, str], dict[str, Value | None]]
    """Values by subject of metrics that are not of images, by setting and name as in the folder."""
    pixels: dict[str, tuple[str, str]]
    """SHA-256 of the pixels of LR and of HR ("" without HR) of every requested image that was read."""
    labels: dict[Setting, str] = field(default_factory=dict)
    """Labels in the table of the settings of the folder, where they may differ."""
    state: Verdict = "unverified"
    reason: str = ""
    """Date and extent of the verification, or why there is none; empty if it was not looked for."""

    @property
    def protocol(self) -> Protocol:
        """The protocol of the folder."""
        return self.folder.manifest.protocol

    def label(self, setting: Setting) -> str:
        """Return the label in the table of a setting of the folder."""
        return replace(setting, model=self.labels.get(setting, setting.model)).label

    def sampling(self, measurements: Iterable[Measurement]) -> tuple[int, int] | None:
        """Return the number of samples and the seed of measurements of the run; None if their model does not sample."""
        is_drawn = any(each.sample.drawn for each in measurements)
        return (self.protocol.samples, self.protocol.seed) if is_drawn else None

    def values_of(self, name: str, measurements: Sequence[Measurement]) -> dict[str, Value | None]:
        """Return the values by subject of a metric of the table, given all measurements of a setting in the run."""
        metric = self.metrics[name]
        if metric.is_of_images:
            return {each.image: each.values.get(name, math.nan) for each in measurements}
        return self.of_many[measurements[0].sample.setting, metric.name]

    @property
    def invocations(self) -> list[Invocation]:
        """Commands that made the results in the table."""
        made_by = {index for measurement in self.measurements for index in measurement.invocations}
        commands = self.folder.manifest.invocations
        return [commands[index] for index in sorted(made_by) if 0 <= index < len(commands)]


class Runs:
    """Runs of one table: there is no ``difference`` between them.

    Equal results of several runs are one row. If a label has several meanings, each is followed by the name of its run.
    Metrics are united by name and signature.
    """

    def __init__(self, runs: Sequence[Run], columns: Mapping[MetricKey, MetricInfo] | None = None) -> None:
        """Unite runs. ``columns`` has the metrics of a group of tables, from ``united_metrics``;
        by default, of these runs.
        """
        if columns is None:
            columns = united_metrics(runs)
        self.runs = _labelled([_with_names(run, columns) for run in runs])
        first = self.runs[0].folder.manifest
        datasets = " = ".join(dict.fromkeys(run.protocol.dataset for run in runs))
        commands = tuple(invocation for run in runs for invocation in run.folder.manifest.invocations)
        measured = {name for run in self.runs for name in run.metrics}
        self.manifest = replace(
            first,
            protocol=replace(first.protocol, dataset=datasets, samples=max(run.protocol.samples for run in runs)),
            invocations=commands,
            metrics=tuple(metric for metric in columns.values() if metric.name in measured),
        )
        """Protocol, models, settings: those of the first run, with the largest number of samples.
        Metrics and commands: those of all runs."""
        self.metrics = (*self.manifest.of_images, *self.manifest.of_many)
        """Metrics of all runs; those of images come first."""
        self.protocol = self.manifest.protocol
        self.images = self.manifest.scope
        """Names of the requested images."""
        self.by_setting: dict[Setting, dict[Run, dict[str, Measurement]]] = {}
        """Measurements by line of the table, by run and by image."""
        models: dict[str, ModelInfo] = {}
        for run in self.runs:
            for model in run.models:
                models.setdefault(model.label, model)
            for each in run.measurements:
                self.by_setting.setdefault(each.setting, {}).setdefault(run, {})[each.image] = each
        self.models = list(models.values())
        """All models, each label once."""
        self.settings = list(self.by_setting)
        """Lines of the table."""
        united = (self._united(setting, image) for setting in self.settings for image in self.images)
        self.measurements = [measurement for measurement in united if measurement is not None]
        """Measurements of all runs, setting by setting in the order of the images; those of two runs appear once."""
        self._files: dict[tuple[Setting, str, tuple[str, ...]], list[Path]] = {}
        """Cache of ``outputs``."""
        self._pairs: dict[str, tuple[Path, ...] | None] = {}
        """Cache of ``pair``."""
        self._is_kept: IsKept = cache(is_kept)
        """Hashes every file only once."""

    @cached_property
    def values(self) -> Values:
        """All values; those of many images are NaN unless computed from exactly these images."""
        manifest = self.manifest
        return values_of(self.measurements, self.metrics, self._of_many, manifest.unit_of, manifest.ungrouped)

    @property
    def lacking(self) -> str:
        """Metrics that only some runs have: ``LPIPS (not in a), sigma (not in a, b)``; empty if there are none."""
        without = {
            metric.title: [run.name for run in self.runs if metric.name not in run.metrics] for metric in self.metrics
        }
        return ", ".join(f"{title} (not in {', '.join(names)})" for title, names in without.items() if names)

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
            if image in run.pixels:
                return run.pixels[image]
        raise KeyError(image)

    def outputs(self, measurement: Measurement) -> list[Path]:
        """Return the saved outputs of a measurement, in order; empty if one is missing or was changed.

        They may be files of another run of the line whose outputs have the same pixels.
        """
        pixels = _pixels(measurement)
        place = measurement.setting, measurement.image, pixels
        if place not in self._files:
            sources = self._sources(measurement.setting, measurement.image)
            kept = (run.folder.outputs(each.sample, self._is_kept) for run, each in sources if _pixels(each) == pixels)
            self._files[place] = next(filter(None, kept), [])
        return self._files[place]

    def _sources(self, setting: Setting, image: str) -> list[tuple[Run, Measurement]]:
        """Return the measurements of a place in the table, with their runs."""
        return [(run, of_run[image]) for run, of_run in self.by_setting[setting].items() if image in of_run]

    def _best_verified(self, setting: Setting) -> list[Run]:
        """Return the runs of a line that have the verdict of its first run:
        no other values stand beside that verdict.
        """
        runs = list(self.by_setting[setting])
        return [run for run in runs if run.state == runs[0].state]

    def _united(self, setting: Setting, image: str) -> Measurement | None:
        """Return the first measurement of a place in the table, with values of later ones for metrics that it lacks.

        Metrics that no run of the line's verdict has are None. None for a place that was not measured.
        """
        runs = self._best_verified(setting)
        sources = [each for run, each in self._sources(setting, image) if run in runs]
        names = [metric.name for metric in self.manifest.of_images]
        lacked = [name for name in names if not any(name in run.metrics for run in runs)]
        if not sources or (len(sources) == 1 and not lacked):
            return sources[0] if sources else None
        values: dict[str, Value | None] = dict.fromkeys(lacked)
        for each in reversed(sources):
            values |= each.values
        return replace(sources[0], values=values)

    def _of_many(self, metric: MetricInfo, measurements: Sequence[Measurement]) -> dict[str, Value | None]:
        """Return the values of a metric by subject: the first recorded value of exactly the images of the line."""
        values: dict[str, Value | None] = {}
        for run in self._best_verified(measurements[0].setting):
            own = self.by_setting[measurements[0].setting][run]
            if metric.name in run.metrics and len(own) == len(measurements):
                for subject, value in run.values_of(metric.name, list(own.values())).items():
                    if is_missing(values.get(subject, math.nan)):
                        values[subject] = value
        return values


def read_run(path: Path) -> Run:
    """Read a run folder. Raises SRBenchError if it is no run or has no results."""
    folder = RunFolder.read(path)
    manifest = folder.manifest
    measurements = measurements_of(folder)
    of_many = {
        (setting, metric.name): recorded_of_many(folder, metric, [each.sample for each in own])
        for setting, own in by_setting(measurements).items()
        for metric in manifest.of_many
    }
    requested = {setting.model for setting in manifest.settings}
    models = tuple(model for model in manifest.models if model.label in requested)
    metrics = {metric.name: metric for metric in manifest.metrics}
    pairs = {image: folder.of(image).pair for image in manifest.scope}
    pixels = {
        image: (pair.lr.pixels if pair.lr else "", pair.hr.pixels if pair.hr else "")
        for image, pair in pairs.items()
        if pair is not None and not pair.failed
    }
    return Run(folder, path.resolve().name, models, measurements, metrics, of_many, pixels)


def _pixels(measurement: Measurement) -> tuple[str, ...]:
    """Return the SHA-256 of the pixels of all outputs of a measurement."""
    return tuple(output.pixels for output in measurement.sample.outputs)


def verdict_on(folder: RunFolder) -> tuple[Verdict, str]:
    """Return the verdict on a run in its ``verified.json``, and the reason. Edited records are contradicted."""
    for name in edited_records(folder):
        return "contradicted", f"{name} does not match SHA256SUMS"
    verified = read_verified(folder.path)
    if verified is None:
        return "unverified", NOT_CHECKED
    rules = f"; {', '.join(verified.rules)}" if verified.rules else ""
    return verified.verdict, f"{verified.date[:10]}: {verified.words}{rules}"


def by_setting(measurements: Iterable[Measurement]) -> dict[Setting, list[Measurement]]:
    """Return measurements by setting."""
    return {setting: list(own) for setting, own in groupby(measurements, key=lambda each: each.setting)}


def read_results(folders: Iterable[Path]) -> Runs:
    """Read the run folders of one table; shards of one request are joined.

    Raises ReportError, which names the ``difference``, if the runs cannot share a table, and SRBenchError if a folder
    is no run or has no results.
    """
    runs = list(map(read_run, dict.fromkeys(folders)))
    for run, other in combinations(runs, 2):  # a run that lacks an image may agree with two runs that differ in it
        if not _are_shards(run, other) and (words := difference(run, other)):
            paths = f"{run.folder.path} and {other.folder.path}"
            raise ReportError(f"{paths} cannot share a table: {words}; report each by itself")
    if len({run.name for run in runs}) < len(runs):
        runs = [replace(run, name=f"{run.name} ({place})") for place, run in enumerate(runs, 1)]
    return Runs(runs)


def mean_of(measurement: Measurement, metric: MetricInfo) -> float:
    """Return the mean of a metric over the samples of an image; NaN if the value is missing."""
    return mean(measurement.values.get(metric.name))


def difference(run: Run, other: Run) -> str:
    """Describe the first difference that keeps two runs out of one table; empty if there is none.

    Protocol, names of the requested images, their groups if means are over groups, and the pixels of LR and HR must
    agree.
    """
    here, there = run.folder.manifest, other.folder.manifest
    for name, words in _PROTOCOL.items():
        value, other_value = getattr(run.protocol, name), getattr(other.protocol, name)
        if value != other_value:
            return f"{words}: {value} against {other_value}"
    ours, theirs = set(here.scope), set(there.scope)
    if ours != theirs:
        only = ([name for name in here.scope if name not in theirs], [name for name in there.scope if name not in ours])
        return f"images: {' against '.join(', '.join(own[:3]) or 'nothing' for own in only)}"
    if run.pixels == other.pixels and here.unit_of == there.unit_of:  # the usual case, decided much faster
        return ""
    for image in here.scope:
        if here.unit_of.get(image) != there.unit_of.get(image):
            return f"the group of {image}: {here.unit_of.get(image)} against {there.unit_of.get(image)}"
        if image in run.pixels and image in other.pixels:
            for kind, own, others in zip(("LR", "HR"), run.pixels[image], other.pixels[image], strict=True):
                if own != others:
                    return f"the {kind} images named {image} differ"
    return ""


def united_metrics(runs: Sequence[Run]) -> dict[MetricKey, MetricInfo]:
    """Return the metrics of some runs by column, with different names;
    those of several runs in the order of the suite.
    """
    columns: dict[MetricKey, MetricInfo] = {}
    for metric in (metric for run in runs for metric in run.metrics.values()):
        columns.setdefault(metric_key(metric), metric)
    if len(runs) == 1:
        return columns
    suite = list(map(located, runs[0].protocol.columns))
    columns = dict(sorted(columns.items(), key=lambda item: [*suite, item[1].spec].index(item[1].spec)))
    names = [each.title for each in distinct([replace(metric, title=metric.name) for metric in columns.values()])]
    counts = Counter(names)
    return {
        column: replace(metric, name=name if counts[name] == 1 else " ".join(map(str, column)))
        for column, metric, name in zip(columns, distinct(list(columns.values())), names, strict=True)
    }


def metric_key(metric: MetricInfo) -> MetricKey:
    """Return what the metrics of two runs, or of two tables, must agree in to share a column."""
    return metric.name, metric.signature, metric.direction


def distinct(metrics: Sequence[MetricInfo]) -> list[MetricInfo]:
    """Make titles unique by appending the parts in which signatures differ, as in ``PSNR (Y) crop4``."""
    titled = []
    for metric in metrics:
        alike = [other.signature.split("|") for other in metrics if other.title == metric.title]
        own = [part for part in metric.signature.split("|") if any(part not in parts for parts in alike)]
        titled.append(replace(metric, title=" ".join([metric.title, *own])))
    return titled


def _with_names(run: Run, columns: Mapping[MetricKey, MetricInfo]) -> Run:
    """Return a run whose metrics have the names of their columns."""
    names = {name: columns[metric_key(metric)].name for name, metric in run.metrics.items()}
    if all(name == own for name, own in names.items()):
        return run
    measurements = [
        replace(each, values={names[name]: value for name, value in each.values.items()}) for each in run.measurements
    ]
    return replace(run, measurements=measurements, metrics={names[name]: own for name, own in run.metrics.items()})


def _are_shards(run: Run, other: Run) -> bool:
    """Return whether two runs have the same protocol, models and settings, and disjoint images of the same dataset."""
    here, there = run.folder.manifest, other.folder.manifest
    digests = [{(model.label, model.digest) for model in side.models} for side in (run, other)]
    is_alike = here.protocol == there.protocol and here.images == there.images and here.groups == there.groups
    is_alike = is_alike and set(here.settings) == set(there.settings) and digests[0] == digests[1]
    return is_alike and set(here.scope).isdisjoint(there.scope)


@dataclass(frozen=True, eq=False)
class _Entry:
    """A model at one temperature in one run."""

    run: Run
    setting: Setting
    by_image: dict[str, Measurement]

    @cached_property
    def digest(self) -> str:
        """Digest of the model, which does not cover the files of precomputed results."""
        return self.run.folder.manifest.model(self.setting.model).digest

    @cached_property
    def sampling(self) -> tuple[int, int] | None:
        """Number of samples and seed; None for a model that does not sample."""
        return self.run.sampling(self.by_image.values())

    @cached_property
    def values(self) -> dict[_Place, Value | None]:
        """Values, without missing ones."""
        own = list(self.by_image.values())
        return {
            (name, subject, () if metric.is_of_images else tuple(sorted(self.by_image))): value
            for name, metric in self.run.metrics.items()
            for subject, value in self.run.values_of(name, own).items()
            if not is_missing(value)
        }

    def has_outputs_of(self, other: _Entry) -> bool:
        """Return whether two entries have the same outputs, given equal data, scale and tiles.

        They do if everything that determines outputs is equal, up to rounding on different machines; or, of a model of
        the same label whose code changed, if all pixels are equal. Outputs made elsewhere, whose files have digests by
        image, need a common image, unless the runs are shards of one request.
        """
        made_by = [(each.digest, each.setting.temperature, each.sampling) for each in (self, other)]
        if made_by[0] != made_by[1] and self.setting != other.setting:
            return False
        common = [image for image in self.by_image if image in other.by_image]
        samples = [(self.by_image[image].sample, other.by_image[image].sample) for image in common]
        if not common and any(each.sample.source for each in self.by_image.values()):
            return self.setting == other.setting and _are_shards(self.run, other.run)
        if made_by[0] == made_by[1] and all(own.source == others.source for own, others in samples):
            return True
        pixels = ((_pixels(self.by_image[image]), _pixels(other.by_image[image])) for image in common)
        return self.setting == other.setting and bool(common) and all(own == others for own, others in pixels)


@dataclass(eq=False)
class _Row:
    """Entries of several runs with the same results."""

    entries: list[_Entry]
    values: dict[_Place, Value | None]
    """Those of the first entry that has them."""

    def agrees(self, entry: _Entry) -> bool:
        """Return whether an entry of another run has the same outputs, and no value that differs from the row's."""
        return (
            self.entries[-1].run is not entry.run
            and any(map(entry.has_outputs_of, self.entries))
            and all(
                agree(value, self.values[place], entry.run.metrics[place[0]])
                for place, value in entry.values.items()
                if place in self.values
            )
        )

    def join(self, entry: _Entry) -> None:
        """Add an entry that agrees, and the values that earlier entries lack."""
        self.values = entry.values | self.values
        self.entries.append(entry)


def _labelled(runs: Sequence[Run]) -> Sequence[Run]:
    """Give equal results of several runs one label, and every label of several models, seeds or values the run's name.

    Runs that have another label in another run are labelled ``one = other``.
    """
    if len(runs) == 1:
        return runs
    rows: list[_Row] = []
    for run in runs:
        for setting, own in by_setting(run.measurements).items():
            entry = _Entry(run, setting, {each.image: each for each in own})
            agreeing = [row for row in rows if row.agrees(entry)]
            if agreeing:
                min(agreeing, key=lambda row: row.entries[0].setting != setting).join(entry)
            else:
                rows.append(_Row([entry], entry.values))
    firsts = [row.entries[0] for row in rows]
    repeated = {setting.model for setting, count in Counter(each.setting for each in firsts).items() if count > 1}
    models = {(each.setting.model, each.digest, each.sampling) for each in firsts}
    repeated |= {label for label, count in Counter(label for label, *_ in models).items() if count > 1}
    labels = {
        run: {
            setting: f"{setting.model} @ {run.name}" if setting.model in repeated else setting.model
            for setting in run.folder.manifest.settings
        }
        for run in runs
    }
    names: dict[str, dict[str, None]] = {}
    for first, row in zip(firsts, rows, strict=True):
        label = labels[first.run][first.setting]
        for entry in row.entries:
            labels[entry.run][entry.setting] = label
            names.setdefault(label, {})[entry.setting.model] = None
    joint = {label: " = ".join(own) + label.removeprefix(next(iter(own))) for label, own in names.items()}
    return [
        _with_labels(run, {setting: joint.get(label, label) for setting, label in own.items()})
        for run, own in labels.items()
    ]


def _with_labels(run: Run, labels: dict[Setting, str]) -> Run:
    """Return a run with the labels of the table, given by setting of the folder."""
    if all(label == setting.model for setting, label in labels.items()):
        return run
    own = {
        model.label: {label for setting, label in labels.items() if setting.model == model.label}
        for model in run.models
    }
    models = tuple(replace(model, label=label) for model in run.models for label in sorted(own[model.label]))
    measurements = [
        replace(each, setting=replace(each.setting, model=labels[each.setting])) for each in run.measurements
    ]
    return replace(run, models=models, measurements=measurements, labels=labels)
