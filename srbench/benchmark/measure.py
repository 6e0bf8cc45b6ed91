"""``srbench measure``: metrics of folders of images, with or without references. No model runs, nothing is written.

With several worker processes, this process loads torch only if it chooses their number and has to look for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from srbench.benchmark import BenchmarkError
from srbench.benchmark.dataset import require_groups
from srbench.benchmark.opened import Lack, usable
from srbench.benchmark.plan import probed
from srbench.images.folders import groups_of, images_in
from srbench.images.io import header_size, quantize, read_uint8
from srbench.images.pairing import (
    ending_of,
    partners,
    require_larger_hr,
    require_partners,
    scale_of_sizes,
)
from srbench.interfaces import ImageMetric, ImagePair, ImageSet, MetricInfo, Need, SampledImage, SetMetric, SRBenchError
from srbench.machine.processes import PIXELS, may_have_gpu, measuring_workers
from srbench.machine.workers import WorkerDied, map_items
from srbench.metrics.loading import LoadedMetric, described, is_of_many, with_sample_count
from srbench.metrics.suite import Suite, full_names, left_out, open_metrics, read_suite
from srbench.models.names import split_label
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.limits import SUITE
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import Value
from srbench.run_folder.request import GROUPS, IMAGES
from srbench.run_folder.values import Values, is_missing, mean_of_images
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import natural, printable, size_of, unknown

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FolderValues:
    """Values of folders with outputs for the same images. Each folder is a setting of its label."""

    suite: str
    """``name@version``."""
    values: Values
    """Values of metrics of many images, such as FID, are missing for a folder with failures."""
    metrics: Mapping[Setting, tuple[MetricInfo, ...]]
    failures: Mapping[Setting, tuple[str, ...]]
    pairs: Mapping[Setting, Pairs]
    left_out: str = ""
    """Sentence on metrics of the suite that scale 1 leaves out; empty if there are none."""

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
    images: Sequence[str] = (),
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
        images: Names of the images to measure; by default all.

    Returns:
        Values of the folders. Metrics of all samples of an image have the same signature in all folders.

    Raises:
        SRBenchError: Images lack a partner (the error names them all), the folders have different images, sizes give
            no common scale, or a metric is unknown or needs images or a scale that are not given; RequestError if means
            are over groups and an image is in none.
    """
    protocol = read_suite(suite)
    high, low = (None if path is None else images_in(path) for path in (hr, lr))
    measured: dict[Setting, tuple[Pairs, _Metrics, list[_Measured]]] = {}
    all_names: dict[str, tuple[str, ...]] = {}
    apart = False
    """True if other processes measure, so that this process loads no torch."""
    for label, folder in folders.items():
        results = ResultFolder(folder, 1)
        paired, lr_images, folder_scale = _paired(results, hr, high, lr, low, scale, average)
        of_groups = groups_of(high or lr_images or {name: results.paths(name)[0] for name in paired})
        if average == GROUPS:
            require_groups(paired, of_groups, hr or lr or folder)
        for first, names_of_first in all_names.items():
            if differing := sorted(set(map(printable, paired)) ^ set(map(printable, names_of_first))):
                raise BenchmarkError(f"{label} and {first} have different images, such as {differing[0]}; give --hr")
        all_names[label] = paired
        for name in images:
            if name not in paired:
                raise BenchmarkError(unknown("image", name, paired))
        pairs = Pairs(tuple(images) or paired, results, high, lr_images, folder_scale, of_groups)
        metrics = _Metrics(None if names is None else tuple(names), protocol, pairs.lacking, device)
        processes = _processes(pairs, metrics) if workers is None else min(workers, len(pairs.images))
        apart |= processes > 1
        setting = Setting(label, None)
        measured[setting] = pairs, metrics, _of_images(setting, pairs, metrics, processes, progress)
    having = [folder for folder in measured.values() if _names_of_many(folder[2])]
    arguments = [[(pairs, metrics, _names_of_many(own)) for pairs, metrics, own in having]]
    # in one process, after all images
    for place, made in map_items(_opened_for_sets, range(len(having)), workers=1, arguments=arguments, apart=apart):
        pairs, _, own = having[place]
        of_many = made if isinstance(made, _Measured) else _failed(made, "metrics of many images")
        if any(image.faults for image in own):  # a set without some of its images has another value
            of_many.values = dict.fromkeys(of_many.values, math.nan)
        for fault in dict.fromkeys(of_many.faults):
            progress(Step(len(pairs.images), len(pairs.images), "", fault))
        own.append(of_many)
    joined = _joined(measured, protocol.label, average)
    is_restored = names is None and any(pairs.scale == 1 for pairs in joined.pairs.values())
    return replace(joined, left_out=left_out(protocol.columns, ["downscaling"])) if is_restored else joined


@dataclass
class _Measured:
    """What is measured of an image, or of many images of a folder."""

    values: dict[tuple[str, str], Value | None] = field(default_factory=dict)
    """Values by metric and subject."""
    faults: list[str] = field(default_factory=list)
    """One line per failure."""
    metrics: tuple[MetricInfo, ...] = ()
    """The metrics measured; empty if the worker process died."""
    names_of_many: tuple[str, ...] = ()
    """Names of the metrics of many images, to measure after all images."""
    samples: int = 0
    """Number of samples measured; 0 if none could be read."""


def _failed(error: Exception, what: str, advice: str = "") -> _Measured:
    """Return the failure of a process that died; raise any other error of a process."""
    if not isinstance(error, WorkerDied):
        raise error
    return _Measured(faults=[f"{what}: {error}{advice}"])


def _names_of_many(measured: Sequence[_Measured]) -> tuple[str, ...]:
    return max((image.names_of_many for image in measured), key=len)


def _joined(
    measured: Mapping[Setting, tuple[Pairs, _Metrics, list[_Measured]]], suite: str, average: str
) -> FolderValues:
    """Join the values of folders; names that are not UTF-8 are made printable, for tables and JSON."""
    counts = {image.samples for *_, own in measured.values() for image in own if image.samples}
    number = "-".join(map(str, sorted({min(counts, default=0), max(counts, default=0)})))
    values: dict[tuple[Setting, str], dict[str, Value | None]] = {}
    metrics: dict[Setting, tuple[MetricInfo, ...]] = {}
    for setting, (pairs, _, own) in measured.items():
        infos = dict.fromkeys(metric for made in own for metric in made.metrics)
        metrics[setting] = tuple(with_sample_count(metric, number) for metric in infos)
        missing = dict.fromkeys(map(printable, pairs.images), math.nan)
        for metric in infos:
            values[setting, metric.name] = {**missing} if metric.is_of_images else {}
        for made in own:
            for (name, subject), value in made.values.items():
                values[setting, name][printable(subject)] = value
    all_pairs = {setting: pairs for setting, (pairs, *_) in measured.items()}
    groups = {printable(name): printable(group) for name, group in next(iter(all_pairs.values())).groups.items()}
    unit_of, ungrouped = (groups, {}) if average == GROUPS else ({}, groups)
    images = {setting: tuple(map(printable, pairs.images)) for setting, pairs in all_pairs.items()}
    failures = {
        setting: tuple(dict.fromkeys(fault for made in own for fault in made.faults))
        for setting, (*_, own) in measured.items()
    }
    return FolderValues(suite, Values(values, images, unit_of, ungrouped), metrics, failures, all_pairs)


def _opened_for_sets(folders: Sequence[tuple[Pairs, _Metrics, tuple[str, ...]]]) -> Callable[[int], _Measured]:
    """Return a function that measures the metrics of many images of a folder; all folders have the same images."""
    from srbench.benchmark.scorer import measure_set
    from srbench.models.inference import choose_device

    of_hr: dict[Hashable, Any] = {}

    def measured(place: int) -> _Measured:
        pairs, metrics, names = folders[place]
        device = choose_device(metrics.device)
        shared: dict[str, dict[Hashable, Any]] = {}
        loaded = metrics.opened(names)
        made = _Measured(metrics=tuple(each.info for each in loaded))
        for each in loaded:
            metric = each.metric
            assert isinstance(metric, SetMetric)
            for subject, images in pairs.subjects(each.info).items():
                outputs = ImageSet(images, partial(pairs.sampled, metric.sees, metrics.suite.quantize), device)
                outputs.shared = shared.setdefault(subject, {})
                if not subject:
                    outputs.shared_references = of_hr
                try:
                    value: Value | None = measure_set(metric, outputs)
                except SRBenchError as error:
                    value = math.nan
                    made.faults.append(f"{subject}: {error}" if subject else f"{each.info.title}: {error}")
                made.values[each.info.name, subject] = value
        return made

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
    by_name = low
    if high is None and low is not None:  # names of LR images may end in x4 where those of outputs do not
        ending = ending_of(low, results.stems, scale)
        shorter = {name.removesuffix(ending): path for name, path in low.items() if name.endswith(ending)}
        by_name = shorter if len(shorter) == len(low) and shorter.keys() <= results.stems else low
    names = tuple(high or by_name or results.names(in_clips=average == GROUPS))
    results.pair_with(names, scale)
    lacking = results.without_partner(names, hr or lr)
    if by_name is None:
        require_partners(lacking)
        return names, None, scale
    by_name = partners(names, hr, by_name, lr, scale, lacking)
    larger = {name: results.paths(name)[0] for name in names} if high is None else high
    sizes = ((name, header_size(larger[name]), header_size(by_name[name])) for name in names)
    if scale is not None:
        require_larger_hr(sizes)
    else:
        scale = scale_of_sizes(sizes)
        if scale is not None:  # pair again: now names that state another scale are refused
            return _paired(results, hr, high, lr, low, scale, average)
    return names, by_name, scale


@dataclass(frozen=True)
class Pairs:
    """The outputs in a folder, with the HR and LR images that they are compared with, as far as they are given."""

    images: tuple[str, ...]
    """Names of the images, by which files are paired."""
    results: ResultFolder
    """The outputs."""
    hr: Mapping[str, Path] | None
    lr: Mapping[str, Path] | None
    scale: int | None
    groups: Mapping[str, str]
    """Group of every image that is in one, such as a clip."""

    def read(self, image: str) -> ImagePair:
        """Read HR and LR, quantised to 8 bits as in a run. Raises ImageError for a damaged file.

        Without LR images, black LR of the right size states the scale, if that is known; no metric in use sees it.
        """
        import torch

        hr, lr = (None if files is None else read_uint8(files[image]).float() / 255 for files in (self.hr, self.lr))
        if lr is None and self.scale is not None:
            size = header_size(self.results.paths(image)[0])[::-1] if hr is None else hr.shape[-2:]
            lr = torch.zeros(3, *(math.ceil(side / self.scale) for side in size))
        return ImagePair(image, lr, hr)  # type: ignore[arg-type]  # None for an image that is not given

    def outputs(self, pair: ImagePair) -> Tensor:
        """Read the outputs for a pair: (n, 3, H, W) in [0, 1].

        Raises SRBenchError for a damaged file, and unless outputs are as large as HR and the scale times as large as
        LR.
        """
        outputs = self.results.read(pair.name)
        if pair.has_hr and outputs.shape[-2:] != pair.hr.shape[-2:]:
            raise BenchmarkError(
                f"{pair.name}: the image is {size_of(outputs.shape)} and the reference {size_of(pair.hr.shape)}; make "
                "them the same size"
            )
        if pair.has_lr:
            self._check_scale(pair.name, outputs, pair.lr)
        return outputs

    def _check_scale(self, name: str, outputs: Tensor, lr: Tensor) -> None:
        """Raise BenchmarkError unless outputs are ``--scale`` (by default any whole number) times as large as LR."""
        stated, has_lr = self.scale, self.lr is not None
        (height, width), (low_height, low_width) = outputs.shape[-2:], lr.shape[-2:]
        scale = stated or height // low_height
        if (height, width) != (scale * low_height, scale * low_width):
            times = f"{stated} times" if stated else "a whole number of times"
            low = f"LR of {size_of(lr.shape)}" if has_lr else "whole pixels of LR"
            raise BenchmarkError(
                f"{name}: the image of {size_of(outputs.shape)} is not {times} as large as {low}; crop it, or give the "
                "scale it was made with"
            )

    def subjects(self, metric: MetricInfo) -> dict[str, list[str]]:
        """Return the images of each subject of a metric of many images."""
        of: dict[str, list[str]] = {}
        for image in sorted(self.images, key=natural):
            of.setdefault(self.groups[image] if metric.per == "group" else "", []).append(image)
        return of

    def sampled(self, sees: str, rounding: str, image: str) -> SampledImage:
        """Return an image of a set as a metric sees it."""

        def outputs(count: int | None) -> Tensor:
            images = quantize(self.results.read(image)[:count], rounding)
            return images if sees == "uint8" else images.float().div_(255)

        return SampledImage(image, outputs, lambda: self.read(image))

    @property
    def pixels(self) -> float:
        """Number of pixels of all outputs, estimated from the sizes of a few."""
        mean = fmean(math.prod(header_size(self.results.paths(image)[0])) for image in probed(self.images))
        return mean * sum(len(self.results.paths(image)) for image in self.images)

    @property
    def lacking(self) -> dict[Need, Lack]:
        """What metrics may need that is not given."""
        lacking: dict[Need, Lack] = {"model": Lack("; use srbench run")}
        if self.hr is None:
            lacking["HR"] = Lack("; name their folder with --hr")
        if self.lr is None:
            lacking["LR"] = Lack("; name their folder with --lr")
        if self.lr is None and not self.scale:
            lacking["scale"] = Lack("; give --scale, or LR images with --lr")
        if self.scale == 1:
            lacking["downscaling"] = Lack()
        if all(len(self.results.paths(image)) <= 1 for image in self.images):
            lacking["samples"] = Lack("; name them NAME_sample0.png and NAME_sample1.png")
        if not self.groups.keys() >= set(self.images):
            lacking["groups"] = Lack("; put the images of each into a subfolder")
        return lacking


@dataclass(frozen=True)
class _Metrics:
    """The metrics of a command, opened in the processes that measure."""

    names: tuple[str, ...] | None
    """Names that the user typed; None: the columns of the suite."""
    suite: Suite
    lacking: Mapping[Need, Lack]
    """What is not given, of what metrics may need."""
    device: str
    """Device of the metrics that can use it."""

    def chosen(self) -> tuple[tuple[LoadedMetric, ...], tuple[str, ...]]:
        """Open the metrics of images; those of many images are named only, because FID loads its network.

        Raises SRBenchError for unknown metrics, if a metric that the user named cannot be used, and if none can.
        """
        names = full_names(self.names, self.suite.columns)
        of_many = {name: described(name) for name in filter(_is_of_many, names)}
        of_images = self.opened(tuple(name for name in names if name not in of_many))
        suite = self.suite.label if self.names is None else None
        left = usable((*of_images, *of_many.values()), self.lacking, suite)
        names_left = tuple(name for name, metric in of_many.items() if metric in left)
        return tuple(metric for metric in left if metric in of_images), names_left

    def opened(self, names: tuple[str, ...]) -> tuple[LoadedMetric, ...]:
        """Open some of the metrics. Raises SRBenchError."""
        suite = self.suite
        if self.names is None:
            return open_metrics(None, names, suite.quantize, suite.optional)
        return open_metrics(names, suite.columns, suite.quantize)


def _is_of_many(name: str) -> bool:
    try:
        return is_of_many(name)
    except SRBenchError:  # opening it says why, unless it is an optional column
        return False


def _of_images(setting: Setting, pairs: Pairs, metrics: _Metrics, workers: int, progress: Progress) -> list[_Measured]:
    """Measure all images, and return what was measured in their order."""
    total = len(pairs.images)
    measured: dict[str, _Measured] = {}
    for name, made in map_items(_opened, pairs.images, workers=workers, arguments=[setting, pairs, metrics]):
        image = (
            made if isinstance(made, _Measured) else _failed(made, name, "; if memory is short, use fewer --workers")
        )
        measured[name] = image
        for fault in image.faults:
            progress(Step(len(measured), total, "", fault))
        progress(Step(len(measured), total, name))
    progress(Step(total, total, ""))
    return [measured[image] for image in pairs.images]


def _opened(setting: Setting, pairs: Pairs, metrics: _Metrics) -> Callable[[str], _Measured]:
    """Open the metrics of images in a process, and return the function that measures an image."""
    from srbench.benchmark.scorer import Scorer
    from srbench.models.inference import choose_device

    loaded, names_of_many = metrics.chosen()
    infos = tuple(metric.info for metric in loaded)
    scorer = Scorer(loaded, choose_device(metrics.device))
    names = [metric.name for metric in infos]

    def measured(name: str) -> _Measured:
        image = _Measured(metrics=infos, names_of_many=names_of_many)
        try:
            pair = pairs.read(name)
            outputs = pairs.outputs(pair)
        except SRBenchError as error:
            image.faults.append(str(error))
            return image
        image.samples = len(outputs)
        quantised = quantize(outputs, metrics.suite.quantize)
        for metric, value, fault, _ in scorer.score(setting, pair, quantised, outputs, names):
            if fault:
                image.faults.append(fault)
            elif value is not None:
                image.values[metric.name, name] = value
        return image

    return measured


def _processes(pairs: Pairs, metrics: _Metrics) -> int:
    """Return the default number of worker processes."""
    tasks = int(pairs.pixels / PIXELS)
    if measuring_workers("cpu", tasks) > 1 and metrics.device != "cpu" and may_have_gpu():
        from srbench.models.inference import choose_device

        of_images, _ = metrics.chosen()
        if any(isinstance(metric.metric, ImageMetric) and metric.metric.gpu for metric in of_images):
            return measuring_workers(choose_device(metrics.device), tasks)
    return measuring_workers("cpu", tasks)
