"""``srbench measure``: metrics of folders of images, with or without references. No model runs, nothing is written.

The worker of a run computes the values. With several worker processes, this process does not load torch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from srbench.benchmark import BenchmarkError
from srbench.benchmark.dataset import require_groups
from srbench.benchmark.plan import Item, Task, probed
from srbench.benchmark.sampler import Sampler
from srbench.benchmark.worker import TaskResult, WorkerSetup, open_worker
from srbench.files.hashes import sha256_bytes
from srbench.images.folders import groups_of, images_in
from srbench.images.io import header_size, quantize, read_uint8
from srbench.images.pairing import (
    ending_of,
    require_larger_hr,
    require_partners,
    scale_of_sizes,
    without_partner,
)
from srbench.interfaces import (
    ImageMetric,
    ImagePair,
    ImageSet,
    MetricInfo,
    Model,
    SampledImage,
    SetMetric,
    SRBenchError,
)
from srbench.machine.processes import PIXELS, may_have_gpu, measuring_workers
from srbench.machine.workers import WorkerDied, map_items
from srbench.metrics.loading import LoadedMetric, counted, described, is_of_many
from srbench.metrics.suite import Suite, full_names, open_metrics, read_suite
from srbench.models import LoadedModel
from srbench.models.names import split_label
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.protocol import FORMAT, Manifest, Protocol, Setting
from srbench.run_folder.records import EnvironmentRecord, SampleRecord, ScoreRecord, Value
from srbench.run_folder.request import GROUPS, IMAGES, SUITE
from srbench.run_folder.values import Values, is_missing, mean_of_images
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import is_file_name, natural, printable, size_of

if TYPE_CHECKING:
    from torch import Tensor

    from srbench.models.inference import Output

_WITHOUT = {
    "HR": "HR images; name their folder with --hr",
    "LR": "LR images; name their folder with --lr",
    "scale": "the scale; give --scale, or LR images with --lr",
    "model": "a model; use srbench run",
    "samples": "two or more samples of an image, NAME_sample0.png and NAME_sample1.png",
    "groups": "groups of images, such as clips: a subfolder each",
}
"""What a metric needs and was not given, for error messages."""
_OUTPUTS = Setting("outputs", None)
"""The setting of all outputs in a worker, which measures one folder."""


@dataclass(frozen=True)
class FolderValues:
    """Values of folders with outputs for the same images. Each folder is a setting of its label."""

    suite: str
    """``name@version``."""
    values: Values
    """Values of metrics of many images, such as FID, are missing for a folder with failures."""
    metrics: Mapping[Setting, tuple[MetricInfo, ...]]
    failures: Mapping[Setting, tuple[str, ...]]

    def as_json(self, setting: Setting) -> dict[str, object]:
        """Return signatures, means, counts of finite values and all values of a folder, for JSON."""
        metrics, of = self.metrics[setting], self.values.of
        tested = [metric for metric in metrics if metric.permits_test]
        by_subject: dict[str, dict[str, dict[str, Value | None]]] = {"images": {}, "groups": {}}
        for metric in tested:
            kind = by_subject["images" if metric.is_of_images else "groups"]
            for subject, value in of[setting, metric.name].items():
                if not is_missing(value):
                    kind.setdefault(subject, {})[metric.name] = value
        columns = {metric.name: self.values.means(setting, metric) for metric in tested}
        return {
            "suite": self.suite,
            "average": GROUPS if self.values.unit_of else IMAGES,
            "signatures": {metric.name: metric.signature for metric in metrics},
            "set": {metric.name: of[setting, metric.name][""] for metric in metrics if metric.per == "set"},
            "mean": {metric.name: mean_of_images(self.values.of_units(setting, metric)) for metric in tested},
            "finite": {name: sum(map(math.isfinite, column.values())) for name, column in columns.items()},
            "images": {image: by_subject["images"].get(image, {}) for image in self.values.images[setting]},
            "groups": by_subject["groups"],
            "failures": self.failures[setting],
        }


def labelled(texts: Sequence[str]) -> dict[str, Path]:
    """Parse ``DIR`` or ``LABEL=DIR`` to folders by label; the default label is the folder's name.

    Raises BenchmarkError if two folders have the same label.
    """
    folders: dict[str, Path] = {}
    for text in texts:
        label, folder = split_label(text)
        path = Path(text if Path(text).exists() else folder)
        label = path.resolve().name if label is None or path == Path(text) else label
        if label in folders:
            raise BenchmarkError(f"{folders[label]} and {path} are both called {label}; give a label: LABEL={path}")
        folders[label] = path
    return folders


def measure_folders(
    folders: Mapping[str, Path],
    hr: Path | None = None,
    lr: Path | None = None,
    *,
    names: Sequence[str] | None = None,
    progress: Progress = silent,
    suite: str = SUITE,
    workers: int | None = 1,
    scale: int | None = None,
    device: str = "auto",
    average: str = IMAGES,
) -> FolderValues:
    """Measure folders that hold outputs for the same images, with or without HR and LR images of the same names.

    At scale 4, names in a folder of outputs or LR images may all end in ``x4`` or ``_x4``.

    Args:
        folders: Folders of images by label; several samples of an image are called NAME_sampleK.
        hr: Folder of HR images.
        lr: Folder of LR images.
        names: Metrics; by default those of the suite, without metrics of the model and metrics that need HR, LR or a
            scale that is not given.
        progress: Called after every image.
        suite: Name of a protocol, or a TOML file.
        workers: Number of worker processes; None: chosen for the machine.
        scale: Upscaling factor, for protocols that crop borders of that width; by default computed from the sizes of
            LR and of HR, or of the outputs without HR.
        device: Device of the metrics that can use it: cpu, cuda or mps; ``auto`` takes a GPU if there is one.
        average: What means, intervals and tests are over: ``images``, or ``groups``: the subfolders of HR images, or
            without them of LR images or outputs.

    Returns:
        Values of the folders. Metrics of all samples of an image have the same signature in all folders.

    Raises:
        SRBenchError: Images lack a partner (the error names them all), the folders have different images, sizes give
            no common scale, or a metric is unknown or needs images or a scale that are not given; RequestError if means
            are over groups and an image is in none.
    """
    protocol = read_suite(suite)
    high, low = (None if path is None else images_in(path) for path in (hr, lr))
    measured: dict[Setting, _Folder] = {}
    apart = False
    """True if other processes measure, so that this process loads no torch."""
    for label, folder in folders.items():
        results = ResultFolder(folder, 1)
        images, lr_images, folder_scale = _paired(results, hr, high, lr, low, scale, average)
        of_groups = groups_of(high or lr_images or {name: results.paths(name)[0] for name in images})
        if average == GROUPS:
            require_groups(images, of_groups, hr or lr or folder)
        for first, other in measured.items():
            if differing := sorted(set(map(printable, images)) ^ set(map(printable, other.images))):
                raise BenchmarkError(
                    f"{label} and {first.label} have different images, such as {differing[0]}; give --hr"
                )
        pairs = _Pairs(label, _file_names(images), results, high, lr_images, folder_scale, of_groups)
        reader = _OutputReader(pairs, protocol, device)
        metrics = _Metrics(None if names is None else tuple(names), protocol, pairs.lacking)
        of_images = WorkerSetup(None, reader, metrics.of_images, pairs)
        processes = _processes(pairs, of_images) if workers is None else min(workers, len(images))
        apart |= processes > 1
        each = _measured(pairs, metrics, of_images, processes, progress)
        measured[Setting(label, None)] = _Folder(pairs, metrics, images, each)
    _measure_sets(measured, device, progress, apart=apart)
    return _joined(measured, protocol.label, average)


@dataclass
class _Folder:
    """A measured folder."""

    pairs: _Pairs
    metrics: _Metrics
    images: tuple[str, ...]
    measured: list[_MeasuredImage]
    of_many: list[_OfMany] = field(default_factory=list)


@dataclass(frozen=True)
class _OfMany:
    """A value of many images, or its failure."""

    metric: MetricInfo
    subject: str
    value: float | None
    fault: str


def _joined(measured: Mapping[Setting, _Folder], suite: str, average: str) -> FolderValues:
    """Join the values of folders; names that are not UTF-8 are made printable, for tables and JSON."""
    counts = {image.samples for folder in measured.values() for image in folder.measured if image.samples}
    number = "-".join(map(str, sorted({min(counts, default=0), max(counts, default=0)})))
    values: dict[tuple[Setting, str], dict[str, Value | None]] = {}
    metrics: dict[Setting, tuple[MetricInfo, ...]] = {}
    failures: dict[Setting, tuple[str, ...]] = {}
    for setting, folder in measured.items():
        of_images = max((image.metrics for image in folder.measured), key=len, default=())
        infos = [*of_images, *dict.fromkeys(each.metric for each in folder.of_many)]
        metrics[setting] = tuple(counted(metric, number) for metric in infos)
        by_name = {printable(name): image for name, image in zip(folder.images, folder.measured, strict=True)}
        for metric in of_images:
            column: dict[str, Value | None] = {
                name: image.values.get(metric.name, math.nan) for name, image in by_name.items()
            }
            values[setting, metric.name] = column
        for each in folder.of_many:
            value = math.nan if each.fault else each.value
            values.setdefault((setting, each.metric.name), {})[printable(each.subject)] = value
        faults = (fault for image in folder.measured for fault in image.faults)
        failures[setting] = (*faults, *filter(None, dict.fromkeys(each.fault for each in folder.of_many)))
    of_groups = next(iter(measured.values())).pairs.groups if average == GROUPS else {}
    unit_of = {printable(name): printable(unit) for name, unit in of_groups.items()}
    images = {setting: tuple(map(printable, folder.images)) for setting, folder in measured.items()}
    return FolderValues(suite, Values(values, images, unit_of), metrics, failures)


def _measure_sets(folders: Mapping[Setting, _Folder], device: str, progress: Progress, *, apart: bool) -> None:
    """Measure the metrics of many images, in one process: of each folder, after its images."""
    having = [folder for folder in folders.values() if any(image.has_sets for image in folder.measured)]
    arguments = [[(folder.pairs, folder.metrics) for folder in having], device]
    places = range(len(having))
    for place, made in map_items(_measuring_sets, places, workers=1, arguments=arguments, apart=apart):
        folder = having[place]
        match made:
            case WorkerDied():
                folder.measured[0].faults.append(f"metrics of many images: {made}")
            case Exception():
                raise made
            case _:
                folder.of_many = made
        total = len(folder.images)
        for fault in dict.fromkeys(each.fault for each in folder.of_many if each.fault):
            progress(Step(total, total, "", fault))
        if any(image.faults for image in folder.measured):  # a set without some of its images has another value
            folder.of_many = [replace(each, value=math.nan) for each in folder.of_many]


def _measuring_sets(folders: Sequence[tuple[_Pairs, _Metrics]], device: str) -> Callable[[int], list[_OfMany]]:
    """Return a function that measures the metrics of many images of a folder; all folders have the same images."""
    from srbench.benchmark.scorer import measure_set
    from srbench.models.inference import choose_device

    of_hr: dict[Hashable, Any] = {}
    chosen = choose_device(device)

    def measured(place: int) -> list[_OfMany]:
        pairs, metrics = folders[place]
        shared: dict[str, dict[Hashable, Any]] = {}
        values = []
        for loaded in metrics.of_many():
            metric = loaded.metric
            assert isinstance(metric, SetMetric)
            for subject, images in pairs.subjects(loaded.info).items():
                outputs = ImageSet(images, partial(pairs.sampled, metric.sees, metrics.suite.quantize), chosen)
                outputs.shared = shared.setdefault(subject, {})
                if not subject:
                    outputs.shared_references = of_hr
                value, fault = None, ""
                try:
                    value = measure_set(metric, outputs)
                except SRBenchError as error:
                    fault = f"{subject}: {error}" if subject else f"{loaded.info.title}: {error}"
                values.append(_OfMany(loaded.info, subject, value, fault))
        return values

    return measured


def _paired(
    results: ResultFolder,
    hr: Path | None,
    high: Mapping[str, Path] | None,
    lr: Path | None,
    low: Mapping[str, Path] | None,
    scale: int | None,
    average: str,
) -> tuple[tuple[str, ...], Mapping[str, Path] | None, int | None]:
    """Pair outputs with HR and LR images by name.

    Returns:
        Names of the images (those of HR if given, else of LR, else of the outputs), LR images by these names, and the
        scale if known.

    Raises:
        ImageError: Images lack a partner, or pairs have no common scale.
    """
    by_name = _without_ending(low, results, scale) if high is None and low is not None else low
    own_names = results.names_in_clips if average == GROUPS else results.names
    names = tuple(high or by_name or own_names())
    results.pair_with(names, scale)
    lacking = results.without_partner(names, hr or lr)
    ending = ""
    if by_name is not None:
        ending = ending_of(by_name, names, scale)
        lacking += without_partner(names, hr, by_name, lr, ending)
    require_partners(lacking)
    if by_name is None:
        return names, None, scale
    by_name = {name: by_name[name + ending] for name in names}
    larger = {name: results.paths(name)[0] for name in names} if high is None else high
    sizes = ((name, header_size(larger[name]), header_size(by_name[name])) for name in names)
    if scale is not None:
        require_larger_hr(sizes)
    else:
        scale = scale_of_sizes(sizes)
        if scale is not None:  # pair again: now names that state another scale are refused
            return _paired(results, hr, high, lr, low, scale, average)
    return names, by_name, scale


def _without_ending(low: Mapping[str, Path], results: ResultFolder, scale: int | None) -> Mapping[str, Path]:
    """Strip ``x4`` or ``_x4`` from the names of LR images if the names of the outputs all lack it."""
    ending = ending_of(low, results.stems, scale)
    names = {name.removesuffix(ending): path for name, path in low.items() if name.endswith(ending)}
    return names if len(names) == len(low) and names.keys() <= results.stems else low


def _file_names(names: Sequence[str]) -> dict[str, str]:
    """Map names that can be in a record, which are file names, to the names of images: almost always the same."""
    return {name if is_file_name(name) else sha256_bytes(os.fsencode(name)): name for name in names}


@dataclass
class _Pairs:
    """A dataset of the HR and LR images that outputs are compared with, as far as they are given."""

    name: str
    images: Mapping[str, str]
    """Names of the images, by the name of their pair."""
    results: ResultFolder
    """The outputs."""
    hr: Mapping[str, Path] | None
    lr: Mapping[str, Path] | None
    scale: int | None
    groups: Mapping[str, str]
    """Group of every image that is in one, such as a clip, by the name of the image."""

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[str]:
        return iter(self.images)

    def read(self, name: str) -> ImagePair:
        """Read a pair, quantised to 8 bits as in a run. Raises ImageError for a damaged file.

        Without LR images, black LR of the right size states the scale, if that is known; no metric in use sees it.
        """
        import torch

        image = self.images[name]
        hr, lr = (None if files is None else read_uint8(files[image]).float() / 255 for files in (self.hr, self.lr))
        if lr is None and self.scale is not None:
            size = header_size(self.results.paths(image)[0])[::-1] if hr is None else hr.shape[-2:]
            lr = torch.zeros(3, *(math.ceil(side / self.scale) for side in size))
        return ImagePair(name, lr, hr)  # type: ignore[arg-type]  # None for an image that is not given

    def digest(self, name: str) -> str:
        """Return an empty text: nothing is saved, so nothing is identified."""
        return ""

    def subjects(self, metric: MetricInfo) -> dict[str, list[str]]:
        """Return the images of each subject of a metric of many images, by the names of their pairs."""
        of: dict[str, list[str]] = {}
        for pair, image in sorted(self.images.items(), key=lambda names: natural(names[1])):
            of.setdefault(self.groups[image] if metric.per == "group" else "", []).append(pair)
        return of

    def sampled(self, sees: str, rounding: str, name: str) -> SampledImage:
        """Return an image of a set as a metric sees it."""

        def outputs(count: int | None) -> Tensor:
            images = quantize(self.results.read(self.images[name])[:count], rounding)
            return images if sees == "uint8" else images.float().div_(255)

        return SampledImage(self.images[name], outputs, lambda: self.read(name))

    @property
    def pixels(self) -> float:
        """Number of pixels of all outputs, estimated from the sizes of a few."""
        images = list(self.images.values())
        mean = fmean(math.prod(header_size(self.results.paths(image)[0])) for image in probed(images))
        return mean * sum(map(self.results.count, images))

    @property
    def lacking(self) -> frozenset[str]:
        """What metrics may need that is not given."""
        given = {
            "model": False,
            "HR": self.hr is not None,
            "LR": self.lr is not None,
            "scale": self.lr is not None or bool(self.scale),
            "samples": any(self.results.count(image) > 1 for image in self.images.values()),
            "groups": self.groups.keys() >= set(self.images.values()),
        }
        return frozenset(need for need, is_given in given.items() if not is_given)


class _OutputReader(Sampler):
    """Reads the outputs of a folder instead of sampling them."""

    def __init__(self, pairs: _Pairs, suite: Suite, device: str) -> None:
        self.pairs = pairs
        scale = pairs.scale or 1  # any, as no model is loaded
        protocol = Protocol(suite.label, pairs.name, "", scale, None, 1, 0, None, suite.quantize, suite.columns, kept=0)
        model = LoadedModel(_OUTPUTS.model, str(pairs.results.folder), "", False, None, pairs.results)
        manifest = Manifest(FORMAT, protocol, tuple(pairs.images), (), (model,), (_OUTPUTS,), ())
        super().__init__(manifest, device, {model.label: model})

    def sample(self, model: Model, pair: ImagePair, temperature: float | None) -> Output:
        """Read the outputs for a pair. Raises SRBenchError for a damaged file, and for sizes that do not fit."""
        from srbench.models.inference import Output

        outputs = self.pairs.results.read(self.pairs.images[pair.name])
        if pair.has_hr and outputs.shape[-2:] != pair.hr.shape[-2:]:
            raise BenchmarkError(
                f"{pair.name}: the image is {size_of(outputs.shape)} and the reference {size_of(pair.hr.shape)}; make "
                "them the same size"
            )
        if pair.has_lr:
            self._check_scale(pair.name, outputs, pair.lr)
        return Output(outputs, 0.0, None)

    def _check_scale(self, name: str, outputs: Tensor, lr: Tensor) -> None:
        """Raise BenchmarkError unless outputs are ``--scale`` (by default any whole number) times as large as LR."""
        stated, has_lr = self.pairs.scale, self.pairs.lr is not None
        (height, width), (low_height, low_width) = outputs.shape[-2:], lr.shape[-2:]
        scale = stated or height // low_height
        if (has_lr and scale < 2) or (height, width) != (scale * low_height, scale * low_width):
            times = f"{stated} times" if stated else "2, 3 or more times"
            low = f"LR of {size_of(lr.shape)}" if has_lr else "whole pixels of LR"
            raise BenchmarkError(
                f"{name}: the image of {size_of(outputs.shape)} is not {times} as large as {low}; crop it, or give the "
                "scale it was made with"
            )


@dataclass(frozen=True)
class _Metrics:
    """The metrics of a command, opened in the processes that measure."""

    names: tuple[str, ...] | None
    """Names that the user typed; None: the columns of the suite."""
    suite: Suite
    lacking: frozenset[str]
    """What is not given, of what metrics may need."""

    def of_images(self) -> tuple[LoadedMetric, ...]:
        """Open the metrics of images.

        Raises SRBenchError for unknown metrics, if a metric that the user named cannot be used, and if none can.
        """
        of_many = list(map(described, self.of_many_names))
        images = tuple(name for name in self._all if name not in self.of_many_names)
        metrics = self._opened(images)
        usable = self._usable(metrics)
        self._usable(of_many)
        if not usable and not self._usable(of_many):
            fault = next(need for need in map(self._need, (*metrics, *of_many)) if need)
            raise BenchmarkError(f"all metrics of {self.suite.label} need {fault}")
        return usable

    def of_many(self) -> tuple[LoadedMetric, ...]:
        """Open the metrics of many images."""
        return self._usable(self._opened(self.of_many_names))

    @property
    def of_many_names(self) -> tuple[str, ...]:
        """Names of the metrics of many images and of the model."""
        return tuple(filter(is_of_many, self._all))

    @property
    def _all(self) -> list[str]:
        return full_names(self.names, self.suite.columns)

    def _opened(self, names: tuple[str, ...]) -> tuple[LoadedMetric, ...]:
        suite = self.suite
        return open_metrics(names, suite.columns, suite.quantize, suite.optional if self.names is None else ())

    def _usable(self, metrics: Sequence[LoadedMetric]) -> tuple[LoadedMetric, ...]:
        """Return the metrics that need nothing that is lacking. Raises BenchmarkError for one that the user named."""
        faults = [f"{metric.info.title} needs {need}" for metric in metrics if (need := self._need(metric))]
        if self.names is not None and faults:
            raise BenchmarkError(faults[0])
        return tuple(metric for metric in metrics if not self._need(metric))

    def _need(self, metric: LoadedMetric) -> str:
        return next((_WITHOUT[need] for need in metric.needs if need in self.lacking), "")


@dataclass
class _MeasuredImage:
    """Values of an image by metric, and its failures."""

    values: dict[str, Value] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """One line per failure."""
    metrics: tuple[MetricInfo, ...] = ()
    """Info of the metrics; empty if the worker process died."""
    samples: int = 0
    """Number of samples measured; 0 if none could be read."""
    has_sets: bool = False
    """True if there are metrics of many images to measure after all images."""


def _measured(
    pairs: _Pairs, metrics: _Metrics, setup: WorkerSetup, workers: int, progress: Progress
) -> list[_MeasuredImage]:
    """Measure all images and return their values in order."""
    total = len(pairs.images)
    tasks = [Task(image, "", None, (Item(_OUTPUTS, key=image),)) for image in pairs.images]
    measured: dict[str, _MeasuredImage] = {}
    for task, made in map_items(_measuring, tasks, workers=workers, arguments=[setup, metrics]):
        name = pairs.images[task.image]
        match made:
            case WorkerDied():
                image = _MeasuredImage(faults=[f"{name}: {made}; if memory is short, use fewer --workers"])
            case Exception():
                raise made
            case infos, has_sets, result:
                image = replace(_measured_image(result, infos), has_sets=has_sets)
                image.faults = [fault.replace(task.image, name) for fault in image.faults]
        measured[task.image] = image
        for fault in image.faults:
            progress(Step(len(measured), total, "", fault))
        progress(Step(len(measured), total, name))
    progress(Step(total, total, ""))
    return [measured[image] for image in pairs.images]


def _measured_image(result: TaskResult, metrics: tuple[MetricInfo, ...]) -> _MeasuredImage:
    image = _MeasuredImage(metrics=metrics)
    for line in result.lines:
        if not isinstance(line, EnvironmentRecord) and line.error:
            image.faults.append(line.error)
        elif isinstance(line, SampleRecord):
            image.samples = len(line.outputs)
        elif isinstance(line, ScoreRecord) and line.value is not None:
            image.values[line.metric] = line.value
    return image


def _measuring(
    setup: WorkerSetup, metrics: _Metrics
) -> Callable[[Task], tuple[tuple[MetricInfo, ...], bool, TaskResult]]:
    """Open the worker of a process, and return the function that measures an image."""
    worker = open_worker(setup)
    infos = tuple(metric.info for metric in worker.scorer.metrics)
    has_sets = bool(metrics.of_many_names)
    return lambda task: (infos, has_sets, TaskResult.joined(worker.do(task)))


def _processes(pairs: _Pairs, setup: WorkerSetup) -> int:
    """Return the default number of worker processes."""
    device, tasks = setup.sampler.device, int(pairs.pixels / PIXELS)
    if measuring_workers("cpu", tasks) > 1 and device != "cpu" and may_have_gpu():
        from srbench.models.inference import choose_device

        if any(isinstance(metric.metric, ImageMetric) and metric.metric.gpu for metric in setup.metrics()):
            return measuring_workers(choose_device(device), tasks)
    return measuring_workers("cpu", tasks)
