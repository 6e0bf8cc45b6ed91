"""``srbench measure``: folders of images in, numbers out, with references or without. No model, nothing written.

Metrics are scored as in a run. Where other processes do it, they start before anything large is loaded here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.benchmark import BenchmarkError
from srbench.benchmark.engines.pool import Send, given_up, messages_about
from srbench.images.folders import images_in
from srbench.images.io import quantize, read_uint8
from srbench.interfaces import ImagePair, MetricFacts, Progress, SRBenchError, Step, silent
from srbench.machine.processes import suitable_workers
from srbench.metrics.suite import DEFAULT, OF_SETS, Suite, open_metrics, read_suite
from srbench.models.precomputed import ResultFolder
from srbench.plugins.registry import LoadedMetric, counted
from srbench.run_folder.measured import Measured
from srbench.run_folder.records import Value, to_json

if TYPE_CHECKING:
    from torch import Tensor

IMAGES_EACH = 8
"""Images of ``measure`` that cost as much as one of ``srbench run``, where a model makes them first."""


def labelled(texts: Sequence[str]) -> dict[str, Path]:
    """Folders as typed, ``DIR`` or ``LABEL=DIR``, by label: its name. Raises BenchmarkError if two share a label."""
    found: dict[str, Path] = {}
    for text in texts:
        label, is_given, folder = text.partition("=")
        path = Path(folder) if is_given and not Path(text).exists() else Path(text)
        label = label if path != Path(text) else path.resolve().name
        if label in found:
            raise BenchmarkError(f"{found[label]} and {path} are both called {label}; give a label: LABEL={path}")
        found[label] = path
    return found


def to_json_text(facts: object) -> str:
    """JSON of facts, in which numbers that are not finite are strings."""
    return json.dumps(to_json(facts), indent=1, ensure_ascii=False, allow_nan=False)


def measure_folder(
    images: Path,
    hr: Path | None = None,
    lr: Path | None = None,
    names: Sequence[str] | None = None,
    progress: Progress = silent,
    suite: str = DEFAULT,
    workers: int | None = 1,
    scale: int | None = None,
) -> Measured:
    """Measure the images of a folder, against HR in ``hr`` and LR in ``lr`` if given; samples are NAME_sampleK.

    Images are paired by name. Without ``names`` the suite's metrics are measured, except those of a model and those
    that need what is not given; ``scale`` is for borders as wide as the scale, if there is no ``lr`` to tell it.
    ``fid`` and ``kid`` compare the folders as sets. ``workers`` processes share the images, with the same values; None:
    as many as suit this machine. Raises BenchmarkError that names every image without a partner, and SRBenchError for
    an unknown metric or one that needs what is not given.
    """
    return measure_folders({images.resolve().name: images}, hr, lr, names, progress, suite, workers, scale)[0]


def measure_folders(
    folders: Mapping[str, Path],
    hr: Path | None = None,
    lr: Path | None = None,
    names: Sequence[str] | None = None,
    progress: Progress = silent,
    suite: str = DEFAULT,
    workers: int | None = 1,
    scale: int | None = None,
) -> list[Measured]:
    """Measure several folders of the same images, by label, with the arguments of ``measure_folder``.

    A metric of all samples of an image has one signature for all folders. Raises BenchmarkError if the folders hold
    other images, and the errors of ``measure_folder``.
    """
    found: list[Measured] = []
    counts: set[int] = set()
    for label, folder in folders.items():
        one, samples = _measured(label, folder, hr, lr, names, progress, read_suite(suite), workers, scale)
        found.append(one)
        counts |= samples
        if differing := sorted(one.values.keys() ^ found[0].values.keys()):
            raise BenchmarkError(
                f"{label} and {found[0].label} have different images, such as {differing[0]}; give --hr"
            )
    number = "-".join(map(str, sorted({min(counts, default=0), max(counts, default=0)})))
    return [replace(one, metrics=tuple(counted(metric, number) for metric in one.metrics)) for one in found]


def _measured(
    label: str,
    folder: Path,
    hr: Path | None,
    lr: Path | None,
    names: Sequence[str] | None,
    progress: Progress,
    suite: Suite,
    workers: int | None,
    scale: int | None,
) -> tuple[Measured, set[int]]:
    """Values of a folder, and the numbers of samples that its images have, which its signatures do not state yet."""
    results = ResultFolder(folder, 1)
    high, low = (None if path is None else images_in(path) for path in (hr, lr))
    known = _paired(results, hr, high, lr, low)
    of_images = tuple(name for name in names if name not in OF_SETS) if names else None
    of_sets = [name for name in OF_SETS if name in (names or ())]
    distances = None
    if of_sets:  # before anything is measured: the weights may be missing
        from srbench.metrics.fid import SetDistances

        if high is None:
            raise BenchmarkError(f"{of_sets[0]} compares two folders of images; name the other one with --hr")
        distances = SetDistances(of_sets, suite.quantize)
    total = len(known)
    workers = suitable_workers("cpu", total // IMAGES_EACH) if workers is None else min(workers, total)
    found: dict[str, _Found] = {}
    for one in _Folders(results, known, high, low, scale, suite, of_images).measured(workers):
        found[one.image] = one
        for fault in one.faults:
            progress(Step(len(found), total, "", fault))
        progress(Step(len(found), total, one.image))
    progress(Step(total, total, ""))
    values = {name: found[name].values for name in known}
    failures = tuple(fault for name in known for fault in found[name].faults)
    facts = max((one.facts for one in found.values()), key=len, default=())
    measured = Measured(label, suite.label, facts, values, failures)
    if distances is not None and high is not None and not failures:
        outputs = (image for name in high for image in quantize(results.read(name), suite.quantize))
        sets = distances.between(outputs, map(read_uint8, high.values()))
        measured = replace(measured, set_metrics=distances.facts, sets=sets)
    return measured, {one.samples for one in found.values() if one.samples}


def _paired(
    results: ResultFolder,
    hr: Path | None,
    high: Mapping[str, Path] | None,
    lr: Path | None,
    low: Mapping[str, Path] | None,
) -> tuple[str, ...]:
    """Names of the images: those of HR, or else of LR, or else of the results. Raises BenchmarkError."""
    first = high if high is not None else low
    if first is None:
        return results.names()
    lacking: list[tuple[object, list[str]]] = [(results.folder, [name for name in first if name not in results])]
    lacking.append((hr or lr or results.folder, results.others(first)))
    if high is not None and lr is not None and low is not None:
        lacking.append((lr, [name for name in high if name not in low]))
    require_partners(lacking)
    return tuple(first)


def require_partners(lacking: Iterable[tuple[object, Sequence[str]]]) -> None:
    """Raise BenchmarkError that names every folder and the images without a partner in it, if there are any."""
    if faults := [f"{folder} lacks {', '.join(missing)}" for folder, missing in lacking if missing]:
        raise BenchmarkError(f"images are paired by name, but {'; '.join(faults)}; add or remove images")


@dataclass(frozen=True)
class _Found:
    """Values of an image by metric, and one line per failure."""

    image: str
    values: dict[str, Value]
    faults: list[str]
    facts: tuple[MetricFacts, ...] = ()
    """Facts of the metrics; empty if they are not known, as the process was lost."""
    samples: int = 0
    """Number of images that were measured under this name; 0 if none could be read."""


@dataclass(frozen=True)
class _Folders:
    """Images by name and the metrics asked for, in a form that can be sent to other processes."""

    results: ResultFolder
    images: tuple[str, ...]
    hr: Mapping[str, Path] | None
    lr: Mapping[str, Path] | None
    scale: int | None
    suite: Suite
    names: tuple[str, ...] | None

    def measured(self, workers: int) -> Iterator[_Found]:
        """The values of every image, in any order."""
        if workers == 1:
            metrics = self.metrics()
            yield from (self.measure(metrics, name) for name in self.images)
            return
        yield from messages_about(
            _open, self, self.images, workers, lambda name, end: _Found(name, {}, [given_up(name, end)])
        )

    def metrics(self) -> tuple[LoadedMetric, ...]:
        """Open the metrics. Raises BenchmarkError, and SRBenchError for an unknown metric."""
        if self.names == ():
            return ()
        metrics = open_metrics(self.names, self.suite.columns, self.suite.quantize, self.suite.optional)
        if self.names is None:
            metrics = tuple(one for one in metrics if one.facts.sees != "model")
        lacking = {
            "HR": "HR images; name their folder with --hr" if self.hr is None else "",
            "LR": "LR images; name their folder with --lr" if self.lr is None else "",
            "scale": "the scale; give --scale, or LR images with --lr" if self.lr is None and not self.scale else "",
        }
        needs = [(one, next(filter(None, (lacking[need] for need in one.facts.needs)), "")) for one in metrics]
        usable = tuple(one for one, need in needs if not need)
        faults = [f"{one.facts.title} needs {need}" for one, need in needs if need]
        if self.names is not None and faults:
            raise BenchmarkError(faults[0])
        if not usable:
            raise BenchmarkError(f"all metrics of {self.suite.label} need {needs[0][1]}")
        if self.names is None and self.hr is None and all(self.results.count(name) == 1 for name in self.images):
            return tuple(one for one in usable if one.facts.per != "image") or usable  # there is no set of samples
        return usable

    def measure(self, metrics: Sequence[LoadedMetric], name: str) -> _Found:
        """Measure one image, in one thread: sums of float32 depend on the number of threads."""
        from srbench.benchmark.scoring import measure, one_thread

        values: dict[str, Value] = {}
        faults: list[str] = []
        facts = tuple(metric.facts for metric in metrics)
        with one_thread():
            try:
                pair, outputs = self.read(name)
            except SRBenchError as error:
                return _Found(name, {}, [str(error)], facts)
            images = quantize(outputs, self.suite.quantize)
            for metric in metrics:
                try:
                    values[metric.facts.name] = measure(
                        metric.metric, outputs if metric.facts.sees == "returned" else images, pair
                    )
                except SRBenchError as error:
                    faults.append(str(error))
        return _Found(name, values, faults, facts, len(outputs))

    def read(self, name: str) -> tuple[ImagePair, Tensor]:
        """The pair of a name, 8-bit as in a run, and the images (n, 3, H, W) to measure against it."""
        hr, lr = (None if files is None else read_uint8(files[name]).float() / 255 for files in (self.hr, self.lr))
        outputs = self.results.read(name)
        if hr is not None and outputs.shape[-2:] != hr.shape[-2:]:
            sizes = [f"{image.shape[-2]}x{image.shape[-1]}" for image in (outputs, hr)]
            raise BenchmarkError(
                f"{name}: the image is {sizes[0]} and the reference {sizes[1]}; make them the same size"
            )
        if lr is None:  # no usable metric looks at it, but its size may tell the scale
            lr = outputs[0, :, :: self.scale, :: self.scale]
        self._check_scale(name, outputs, lr)
        return (ImagePair(name, lr) if hr is None else ImagePair(name, lr, hr)), outputs

    def _check_scale(self, name: str, outputs: Tensor, lr: Tensor) -> None:
        """Raise BenchmarkError unless the images are a whole number of times as large as LR, that of ``--scale``."""
        (height, width), (low_height, low_width) = outputs.shape[-2:], lr.shape[-2:]
        scale = self.scale or height // low_height
        if (self.lr and scale < 2) or (height, width) != (scale * low_height, scale * low_width):
            times = f"{self.scale} times" if self.scale else "2, 3 or more times"
            low = f"LR of {low_height}x{low_width}" if self.lr else "whole pixels of LR"
            raise BenchmarkError(
                f"{name}: the image of {height}x{width} is not {times} as large as {low}; crop it, or give the scale "
                "it was made with"
            )


def _open(send: Send, folders: _Folders, role: str) -> Callable[[str], None]:
    metrics = folders.metrics()
    return lambda name: send(folders.measure(metrics, name))
