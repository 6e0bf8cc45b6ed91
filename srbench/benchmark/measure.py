"""``srbench measure``: metrics of folders of images, with or without references. No model runs, nothing is written.

The worker of a run computes the values. With several worker processes, this process does not load torch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from srbench.benchmark import BenchmarkError
from srbench.benchmark.dataset import require_folders
from srbench.benchmark.plan import Item, Task, probed
from srbench.benchmark.sampler import Sampler
from srbench.benchmark.worker import TaskResult, WorkerSetup, open_worker
from srbench.files.hashes import sha256_bytes
from srbench.images.folders import folders_of, images_in
from srbench.images.io import header_size, quantize, read_uint8
from srbench.images.pairing import (
    ending_of,
    require_larger_hr,
    require_partners,
    scale_of_sizes,
    without_partner,
)
from srbench.interfaces import ImageMetric, ImagePair, MetricInfo, Model
from srbench.machine.processes import may_have_gpu, measuring_workers
from srbench.machine.workers import WorkerDied, map_items
from srbench.metrics.loading import LoadedMetric, counted, is_folder_metric
from srbench.metrics.suite import Suite, open_metrics, read_suite
from srbench.models import LoadedModel
from srbench.models.names import split_label
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.protocol import FORMAT, Manifest, Protocol, Setting
from srbench.run_folder.records import EnvironmentRecord, SampleRecord, ScoreRecord, Value
from srbench.run_folder.request import FOLDERS, IMAGES, SUITE
from srbench.run_folder.values import Values, mean_of_images
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import is_file_name, printable, size_of

if TYPE_CHECKING:
    from torch import Tensor

    from srbench.models.inference import Output

PIXELS = 512 * 512
"""Number of pixels of outputs that count as an item of ``srbench run`` in the default number of processes: a second
process pays from about 8 images of 512x512 on."""
_WITHOUT = {
    "HR": "HR images; name their folder with --hr",
    "LR": "LR images; name their folder with --lr",
    "scale": "the scale; give --scale, or LR images with --lr",
    "model": "a model; use srbench run",
    "samples": "two or more samples of an image, NAME_sample0.png and NAME_sample1.png",
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
    """Values of metrics of all images together are missing for a folder with failures."""
    metrics: Mapping[Setting, tuple[MetricInfo, ...]]
    """Metrics of single images, then those of all images together."""
    failures: Mapping[Setting, tuple[str, ...]]

    def as_json(self, setting: Setting) -> dict[str, object]:
        """Return signatures, means, counts of finite values and all values of a folder, for JSON."""
        metrics = self.metrics[setting]
        of_images = [metric.name for metric in metrics if metric.per != "folder"]
        columns = {name: self.values.of_images(setting, name) for name in of_images}
        units = {name: self.values.of_units(setting, name) for name in of_images}
        return {
            "suite": self.suite,
            "average": FOLDERS if self.values.unit_of else IMAGES,
            "signatures": {metric.name: metric.signature for metric in metrics},
            "folder": dict(self.values.of_folders[setting]),
            "mean": {name: mean_of_images(column) for name, column in units.items()},
            "finite": {name: sum(map(math.isfinite, column.values())) for name, column in columns.items()},
            "images": self.values.by_setting[setting],
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
            scale that is not given. ``fid`` and ``kid`` compare the first samples of all images of each folder
            with all of ``hr``.
        progress: Called after every image.
        suite: Name of a protocol, or a TOML file.
        workers: Number of worker processes; None: chosen for the machine.
        scale: Upscaling factor, for protocols that crop borders of that width; by default computed from the sizes of
            LR and of HR, or of the outputs without HR.
        device: Device of the metrics that can use it: cpu, cuda or mps; ``auto`` takes a GPU if there is one.
        average: What means, intervals and tests are over: ``images``, or ``folders``: the subfolders of HR images, or
            without them of LR images or outputs.

    Returns:
        Values of the folders. Metrics of all samples of an image have the same signature in all folders.

    Raises:
        SRBenchError: Images lack a partner (the error names them all), the folders have different images, sizes give
            no common scale, or a metric is unknown or needs images or a scale that are not given; RequestError if means
            are over folders and an image is in none.
    """
    protocol = read_suite(suite)
    high, low = (None if path is None else images_in(path) for path in (hr, lr))
    of_images = None if names is None else tuple(name for name in names if not is_folder_metric(name))
    of_all = tuple(filter(is_folder_metric, protocol.columns if names is None else names))
    folder_metrics: tuple[LoadedMetric, ...] = ()
    if of_all and high is None and names is not None:
        raise BenchmarkError(f"{of_all[0]} compares two folders of images; name the second with --hr")
    if of_all and high is not None:  # this process loads torch only for these metrics
        from srbench.metrics.fid import distances, features
        from srbench.models.inference import choose_device

        folder_metrics = open_metrics(of_all, protocol.columns, protocol.quantize)
        # before anything is measured, because images may be smaller than patches
        references = features(folder_metrics, map(read_uint8, high.values()), choose_device(device))
    by_setting: dict[Setting, dict[str, dict[str, Value]]] = {}
    of_folders: dict[Setting, dict[str, float]] = {}
    metrics: dict[Setting, tuple[MetricInfo, ...]] = {}
    failures: dict[Setting, tuple[str, ...]] = {}
    counts: set[int] = set()
    unit_of: dict[str, str] = {}
    for label, folder in folders.items():
        setting, results = Setting(label, None), ResultFolder(folder, 1)
        images, lr_images, folder_scale = _paired(results, hr, high, lr, low, scale, average)
        if average == FOLDERS:
            unit_of = folders_of(high or lr_images or {name: results.paths(name)[0] for name in images})
            require_folders(images, unit_of, hr or lr or folder)
        for first, others in by_setting.items():
            if differing := sorted(set(map(printable, images)) ^ others.keys()):
                raise BenchmarkError(
                    f"{label} and {first.label} have different images, such as {differing[0]}; give --hr"
                )
        pairs = _Pairs(label, _file_names(images), results, high, lr_images, folder_scale)
        reader = _OutputReader(pairs, protocol, device)
        opener = partial(_usable_metrics, of_images, protocol, pairs.lacking)
        measured = _measured(pairs, WorkerSetup(None, reader, opener, pairs), workers, progress)
        counts |= {image.samples for image in measured if image.samples}
        failures[setting] = tuple(fault for image in measured for fault in image.faults)
        measured_metrics = max((image.metrics for image in measured), key=len, default=())
        metrics[setting] = measured_metrics + tuple(metric.info for metric in folder_metrics)
        # tables and JSON cannot hold names that are not UTF-8
        by_setting[setting] = {printable(name): image.values for name, image in zip(images, measured, strict=True)}
        of_folders[setting] = {}
        if folder_metrics and not failures[setting]:
            first_samples = (quantize(results.read(name)[0], protocol.quantize) for name in images)
            outputs = features(folder_metrics, first_samples, choose_device(device))
            of_folders[setting] = distances(folder_metrics, outputs, references)
    number = "-".join(map(str, sorted({min(counts, default=0), max(counts, default=0)})))
    signed = {setting: tuple(counted(metric, number) for metric in each) for setting, each in metrics.items()}
    unit_of = {printable(name): printable(unit) for name, unit in unit_of.items()}
    return FolderValues(protocol.label, Values(by_setting, of_folders, unit_of), signed, failures)


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
    own_names = results.names_in_clips if average == FOLDERS else results.names
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


def _usable_metrics(names: tuple[str, ...] | None, suite: Suite, lacking: Collection[str]) -> tuple[LoadedMetric, ...]:
    """Open the metrics of single images that need nothing that is ``lacking``.

    Raises SRBenchError if none is left, for unknown metrics, and if a metric that the user named cannot be used.
    """
    if names == ():
        return ()
    metrics = open_metrics(names, suite.columns, suite.quantize, suite.optional)
    metrics = tuple(metric for metric in metrics if metric.info.per != "folder")
    needs = [
        (metric, next((_WITHOUT[need] for need in (metric.info.per, *metric.needs) if need in lacking), ""))
        for metric in metrics
    ]
    usable = tuple(metric for metric, need in needs if not need)
    faults = [f"{metric.info.title} needs {need}" for metric, need in needs if need]
    if names is not None and faults:
        raise BenchmarkError(faults[0])
    if not usable:
        raise BenchmarkError(f"all metrics of {suite.label} need {needs[0][1]}")
    return usable


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


def _measured(pairs: _Pairs, setup: WorkerSetup, workers: int | None, progress: Progress) -> list[_MeasuredImage]:
    """Measure all images and return their values in order."""
    total = len(pairs.images)
    workers = _processes(pairs, setup) if workers is None else min(workers, total)
    tasks = [Task(image, "", None, (Item(_OUTPUTS, key=image),)) for image in pairs.images]
    measured: dict[str, _MeasuredImage] = {}
    for task, made in map_items(_measuring, tasks, workers=workers, arguments=[setup]):
        name = pairs.images[task.image]
        match made:
            case WorkerDied():
                image = _MeasuredImage(faults=[f"{name}: {made}; if memory is short, use fewer --workers"])
            case Exception():
                raise made
            case metrics, result:
                image = _measured_image(result, metrics)
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


def _measuring(setup: WorkerSetup) -> Callable[[Task], tuple[tuple[MetricInfo, ...], TaskResult]]:
    """Open the worker of a process, and return the function that measures an image."""
    worker = open_worker(setup)
    metrics = tuple(metric.info for metric in worker.scorer.metrics)
    return lambda task: (metrics, TaskResult.joined(worker.do(task)))


def _processes(pairs: _Pairs, setup: WorkerSetup) -> int:
    """Return the default number of worker processes."""
    device, tasks = setup.sampler.device, int(pairs.pixels / PIXELS)
    if measuring_workers("cpu", tasks) > 1 and device != "cpu" and may_have_gpu():
        from srbench.models.inference import choose_device

        if any(isinstance(metric.metric, ImageMetric) and metric.metric.gpu for metric in setup.metrics()):
            return measuring_workers(choose_device(device), tasks)
    return measuring_workers("cpu", tasks)
