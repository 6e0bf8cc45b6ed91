"""``srbench measure``: metrics of folders of images, with or without references. No model runs, nothing is written.

Values are computed as in a run. With several workers, this process does not load torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.benchmark import BenchmarkError
from srbench.images.folders import images_in
from srbench.images.io import header_size, quantize, read_uint8
from srbench.images.pairing import (
    ending_of,
    require_larger_hr,
    require_partners,
    scale_of_sizes,
    unpaired,
    without_partner,
)
from srbench.interfaces import ImageMetric, ImagePair, MetricFacts, SRBenchError
from srbench.machine.processes import may_have_gpu, suitable_workers
from srbench.machine.workers import WorkerDied, map_items
from srbench.metrics.loading import LoadedMetric, counted, is_folder_metric
from srbench.metrics.suite import Suite, open_metrics, read_suite
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.measured import Measured
from srbench.run_folder.records import Value, to_json
from srbench.run_folder.request import SUITE
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import printable, size_of

if TYPE_CHECKING:
    from torch import Tensor

IMAGES_EACH = 8
"""Number of images per worker: measuring one takes about an eighth of running a model on it."""


def labelled(texts: Sequence[str]) -> dict[str, Path]:
    """Parse ``DIR`` or ``LABEL=DIR`` to folders by label; the default label is the folder's name.

    Raises BenchmarkError if two folders have the same label.
    """
    folders: dict[str, Path] = {}
    for text in texts:
        label, is_given, folder = text.partition("=")
        path = Path(folder) if is_given and not Path(text).exists() else Path(text)
        label = label if path != Path(text) else path.resolve().name
        if label in folders:
            raise BenchmarkError(f"{folders[label]} and {path} are both called {label}; give a label: LABEL={path}")
        folders[label] = path
    return folders


def to_json_text(facts: object) -> str:
    """Format facts as JSON, with non-finite numbers as strings."""
    return json.dumps(to_json(facts), indent=1, ensure_ascii=False, allow_nan=False)


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
) -> list[Measured]:
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

    Returns:
        Values of each folder. Metrics of all samples of an image have the same signature in all folders.

    Raises:
        SRBenchError: Images lack a partner (the error names them all), the folders have different images, sizes give
            no common scale, or a metric is unknown or needs images or a scale that are not given.
    """
    protocol = read_suite(suite)
    high, low = (None if path is None else images_in(path) for path in (hr, lr))
    of_images = None if names is None else tuple(name for name in names if not is_folder_metric(name))
    of_folders = tuple(filter(is_folder_metric, protocol.columns if names is None else names))
    folder_metrics: tuple[LoadedMetric, ...] = ()
    if of_folders and high is None and names is not None:
        raise BenchmarkError(f"{of_folders[0]} compares two folders of images; name the second with --hr")
    if of_folders and high is not None:  # this process loads torch only for these metrics
        from srbench.metrics.fid import distances, features
        from srbench.models.inference import choose_device

        folder_metrics = open_metrics(of_folders, protocol.columns, protocol.quantize)
        # before anything is measured, because images may be smaller than patches
        references = features(folder_metrics, map(read_uint8, high.values()), choose_device(device))
    measured: list[Measured] = []
    counts: set[int] = set()
    for label, folder in folders.items():
        results = ResultFolder(folder, 1)
        images, lr_images, scale_here = _paired(results, hr, high, lr, low, scale)
        if measured and (differing := sorted(set(map(printable, images)) ^ measured[0].values.keys())):
            raise BenchmarkError(
                f"{label} and {measured[0].label} have different images, such as {differing[0]}; give --hr"
            )
        work = _FolderWork(results, images, high, lr_images, scale_here, protocol, of_images, device)
        values = _values(work, workers, progress)
        counts |= {image.samples for image in values if image.samples}
        failures = tuple(fault for image in values for fault in image.faults)
        facts = max((image.facts for image in values), key=len, default=())
        # tables and JSON cannot hold names that are not UTF-8
        by_image = {printable(name): image.values for name, image in zip(images, values, strict=True)}
        facts += tuple(metric.facts for metric in folder_metrics)
        whole = Measured(label, protocol.label, facts, by_image, failures)
        if folder_metrics and not failures:
            first = (quantize(results.read(name)[0], protocol.quantize) for name in images)
            outputs = features(folder_metrics, first, choose_device(device))
            whole = replace(whole, folder_values=distances(folder_metrics, outputs, references))
        measured.append(whole)
    number = "-".join(map(str, sorted({min(counts, default=0), max(counts, default=0)})))
    return [replace(whole, metrics=tuple(counted(metric, number) for metric in whole.metrics)) for whole in measured]


def _paired(
    results: ResultFolder,
    hr: Path | None,
    high: Mapping[str, Path] | None,
    lr: Path | None,
    low: Mapping[str, Path] | None,
    scale: int | None,
) -> tuple[tuple[str, ...], Mapping[str, Path] | None, int | None]:
    """Pair outputs with HR and LR images by name.

    Returns:
        Names of the images (those of HR if given, else of LR, else of the outputs), LR images by these names, and the
        scale if known.

    Raises:
        ImageError: Images lack a partner, or pairs have no common scale.
    """
    by_name = _without_ending(low, results, scale) if high is None and low is not None else low
    names = tuple(high or by_name or results.names())
    results.pair_with(names, scale)
    missing = [name for name in names if name not in results]
    lacking = unpaired(names, hr or lr, missing, results.folder, results.unpaired(names), results.ending)
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
            return _paired(results, hr, high, lr, low, scale)
    return names, by_name, scale


def _without_ending(low: Mapping[str, Path], results: ResultFolder, scale: int | None) -> Mapping[str, Path]:
    """Strip ``x4`` or ``_x4`` from the names of LR images if the names of the outputs all lack it."""
    ending = ending_of(low, results.stems, scale)
    names = {name.removesuffix(ending): path for name, path in low.items() if name.endswith(ending)}
    return names if len(names) == len(low) and names.keys() <= results.stems else low


@dataclass(frozen=True)
class _Values:
    """Values of an image by metric, and its failures."""

    values: dict[str, Value]
    faults: list[str]
    """One line per failure."""
    facts: tuple[MetricFacts, ...] = ()
    """Facts of the metrics; empty if the worker process died."""
    samples: int = 0
    """Number of samples measured; 0 if none could be read."""


def _values(work: _FolderWork, workers: int | None, progress: Progress) -> list[_Values]:
    """Measure all images and return their values in order."""
    total = len(work.images)
    workers = work.processes() if workers is None else min(workers, total)
    values: dict[str, _Values] = {}
    for image, result in map_items(_FolderWork.opened, work.images, workers=workers, arguments=[work]):
        match result:
            case WorkerDied():
                values[image] = _Values({}, [f"{image}: {result}; if memory is short, use fewer --workers"])
            case Exception():
                raise result
            case _:
                values[image] = result
        for fault in values[image].faults:
            progress(Step(len(values), total, "", fault))
        progress(Step(len(values), total, image))
    progress(Step(total, total, ""))
    return [values[image] for image in work.images]


@dataclass(frozen=True)
class _FolderWork:
    """Images of a folder and the requested metrics, in a form that can be pickled for worker processes."""

    results: ResultFolder
    images: tuple[str, ...]
    hr: Mapping[str, Path] | None
    lr: Mapping[str, Path] | None
    scale: int | None
    suite: Suite
    names: tuple[str, ...] | None
    device: str

    def processes(self) -> int:
        """Return the default number of worker processes: one per core, but 1 if a metric runs on a GPU."""
        several = suitable_workers("cpu", len(self.images) // IMAGES_EACH)
        if several > 1 and self.device != "cpu" and may_have_gpu():
            from srbench.models.inference import choose_device

            if choose_device(self.device) == "cuda" and any(
                isinstance(metric.metric, ImageMetric) and metric.metric.gpu for metric in self.metrics()
            ):
                return 1
        return several

    def opened(self) -> Callable[[str], _Values]:
        """Open the metrics and return the function that measures an image, given its name."""
        from srbench.models.inference import choose_device

        return partial(self.measure, self.metrics(), choose_device(self.device))

    def metrics(self) -> tuple[LoadedMetric, ...]:
        """Open the metrics. Raises SRBenchError for unknown metrics, and if one needs images or a scale not given."""
        if self.names == ():
            return ()
        metrics = open_metrics(self.names, self.suite.columns, self.suite.quantize, self.suite.optional)
        if self.names is None:
            metrics = tuple(metric for metric in metrics if metric.facts.per not in ("model", "folder"))
        single = all(self.results.count(name) == 1 for name in self.images)
        lacking = {
            "HR": "HR images; name their folder with --hr" if self.hr is None else "",
            "LR": "LR images; name their folder with --lr" if self.lr is None else "",
            "scale": "the scale; give --scale, or LR images with --lr" if self.lr is None and not self.scale else "",
            "samples": "two or more samples of an image, NAME_sample0.png and NAME_sample1.png" if single else "",
        }
        needs = [(metric, next(filter(None, (lacking[need] for need in metric.needs)), "")) for metric in metrics]
        usable = tuple(metric for metric, need in needs if not need)
        faults = [f"{metric.facts.title} needs {need}" for metric, need in needs if need]
        if self.names is not None and faults:
            raise BenchmarkError(faults[0])
        if not usable:
            raise BenchmarkError(f"all metrics of {self.suite.label} need {needs[0][1]}")
        return usable

    def measure(self, metrics: Sequence[LoadedMetric], device: str, name: str) -> _Values:
        """Measure an image; failures are part of the result."""
        from srbench.benchmark.scorer import measure

        values: dict[str, Value] = {}
        faults: list[str] = []
        facts = tuple(metric.facts for metric in metrics)
        try:
            pair, outputs = self.read(name)
        except SRBenchError as error:
            return _Values({}, [str(error)], facts)
        images = quantize(outputs, self.suite.quantize)
        for metric in metrics:
            if not isinstance(metric.metric, ImageMetric):
                raise BenchmarkError(f"{metric.facts.title} measures models, not images; use srbench run")
            seen = outputs if metric.metric.sees == "returned" else images
            try:
                values[metric.facts.name] = measure(metric.metric, seen, pair, device)
            except SRBenchError as error:
                faults.append(str(error))
        return _Values(values, faults, facts, len(outputs))

    def read(self, name: str) -> tuple[ImagePair, Tensor]:
        """Read a pair, quantised to 8 bits as in a run, and the outputs (n, 3, H, W) to measure."""
        hr, lr = (None if files is None else read_uint8(files[name]).float() / 255 for files in (self.hr, self.lr))
        outputs = self.results.read(name)
        if hr is not None and outputs.shape[-2:] != hr.shape[-2:]:
            raise BenchmarkError(
                f"{name}: the image is {size_of(outputs.shape)} and the reference {size_of(hr.shape)}; make them the "
                "same size"
            )
        if lr is None:  # no metric in use needs LR, but ImagePair has one, whose size states the scale
            lr = outputs[0, :, :: self.scale, :: self.scale]
        self._check_scale(name, outputs, lr)
        return (ImagePair(name, lr) if hr is None else ImagePair(name, lr, hr)), outputs

    def _check_scale(self, name: str, outputs: Tensor, lr: Tensor) -> None:
        """Raise BenchmarkError unless outputs are ``--scale`` (by default any whole number) times as large as LR."""
        (height, width), (low_height, low_width) = outputs.shape[-2:], lr.shape[-2:]
        scale = self.scale or height // low_height
        if (self.lr and scale < 2) or (height, width) != (scale * low_height, scale * low_width):
            times = f"{self.scale} times" if self.scale else "2, 3 or more times"
            low = f"LR of {size_of(lr.shape)}" if self.lr else "whole pixels of LR"
            raise BenchmarkError(
                f"{name}: the image of {size_of(outputs.shape)} is not {times} as large as {low}; crop it, or give the "
                "scale it was made with"
            )
