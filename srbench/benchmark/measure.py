"""``srbench measure``: folders of images in, numbers out. No model, no run folder, nothing written.

Where other processes measure, they start before anything large is loaded here, and nothing of that is.
"""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from srbench.benchmark import BenchmarkError
from srbench.images.folders import images_in
from srbench.images.io import quantize, read_uint8
from srbench.interfaces import ImagePair, MetricFacts, Progress, SRBenchError, Step, silent
from srbench.metrics.suite import DEFAULT, OF_SETS, Suite, open_metrics, read_suite
from srbench.models.precomputed import ResultFolder
from srbench.plugins.registry import LoadedMetric
from srbench.run_folder.records import Value
from srbench.system.file_names import printable
from srbench.system.processes import end_quickly, for_workers, suitable_workers

if TYPE_CHECKING:
    from torch import Tensor

    from srbench.metrics.fid import SetDistances


@dataclass(frozen=True)
class Measured:
    """Values of every image, and their means."""

    suite: str
    """``name@version``."""
    metrics: tuple[MetricFacts, ...]
    values: dict[str, dict[str, Value]]
    """By image and metric."""
    failures: tuple[str, ...]
    set_metrics: tuple[MetricFacts, ...] = ()
    """FID and KID, where asked for."""
    sets: dict[str, float] = field(default_factory=dict)
    """By the name of a set metric: of all images together. Not measured where an image could not be."""

    def mean(self, metric: str) -> float:
        """Over images, of the means over samples, as in the table of a run: values that are not finite are left out.

        Where all are, it is such a value; where there is none, NaN.
        """
        found = self._of(metric)
        finite = [value for value in found if math.isfinite(value)]
        return fmean(finite) if finite else found[0] if found else math.nan

    def count(self, metric: str) -> int:
        """How many images are in a mean."""
        return sum(map(math.isfinite, self._of(metric)))

    def _of(self, metric: str) -> list[float]:
        return [_one(by_metric[metric]) for by_metric in self.values.values() if metric in by_metric]

    def table(self) -> Table:
        """For the terminal."""
        table = Table(
            title=f"protocol {self.suite}",
            title_justify="left",
            title_style="",
            caption="   ".join(
                f"{facts.title} ↓ {self.sets[facts.name]:.{facts.digits}f}" for facts in self.set_metrics
            ),
            caption_justify="left",
            caption_style="",
            box=SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
            header_style="",
        )
        table.add_column("image", no_wrap=True)
        for metric in self.metrics:
            table.add_column(Text(f"{metric.title}\n{'↓' if metric.direction < 0 else '↑'}"), justify="right")
        for image, by_metric in self.values.items():
            cells = [f"{_one(by_metric[m.name]):.{m.digits}f}" if m.name in by_metric else "–" for m in self.metrics]
            table.add_row(Text(printable(image)), *cells)
        table.add_section()
        means = [self.mean(metric.name) for metric in self.metrics]
        shown = [f"{mean:.{m.digits}f}" if mean == mean else "–" for mean, m in zip(means, self.metrics, strict=True)]
        table.add_row(f"mean of {len(self.values)}", *shown)
        counts = [self.count(metric.name) for metric in self.metrics]
        if any(count < len(self.values) for count in counts):
            table.add_row("finite values", *map(str, counts))
        return table

    def csv(self) -> str:
        """One line a number: image (empty for a value of all images), sample (likewise), metric, value, signature."""
        import pandas as pd

        signatures = {metric.name: metric.signature for metric in self.metrics + self.set_metrics}
        records = [
            (image, sample, metric, value, signatures[metric])
            for image, by_metric in self.values.items()
            for metric, values in by_metric.items()
            for sample, value in (enumerate(values) if isinstance(values, list) else [(pd.NA, values)])
        ]
        records += [("", pd.NA, metric, value, signatures[metric]) for metric, value in self.sets.items()]
        frame = pd.DataFrame.from_records(records, columns=["image", "sample", "metric", "value", "signature"])
        text = io.StringIO()
        frame.to_csv(text, index=False)
        return text.getvalue().rstrip("\n")

    def json(self) -> str:
        """Signatures, means and over how many images, the values of every image; such as are not finite are texts."""
        facts = {
            "suite": self.suite,
            "signatures": {metric.name: metric.signature for metric in self.metrics + self.set_metrics},
            "sets": self.sets,
            "mean": {metric.name: self.mean(metric.name) for metric in self.metrics},
            "finite": {metric.name: self.count(metric.name) for metric in self.metrics},
            "images": self.values,
            "failures": self.failures,
        }
        return json.dumps(_finite(facts), indent=1, ensure_ascii=False, allow_nan=False)


def measure_folder(
    images: Path, ref: Path, lr: Path | None = None, names: Sequence[str] | None = None, progress: Progress = silent,
    suite: str = DEFAULT, workers: int | None = 1,
) -> Measured:  # fmt: skip
    """Measure the images of one folder against those of another, paired by name; several samples are NAME_sampleK.

    Without ``names`` the metrics of the suite are measured, but for those that need an LR image where ``lr`` is not
    given; ``fid`` and ``kid`` are of the folders as sets. ``workers`` processes share the images, with the same values;
    None: as many as suit this machine. Raises BenchmarkError that names every image without a partner, and SRBenchError
    for an unknown metric.
    """
    protocol = read_suite(suite)
    of_sets = [name for name in OF_SETS if name in (names or ())]
    distances = (
        _distances(of_sets, protocol) if of_sets else None
    )  # before anything is measured: weights may be missing
    references = images_in(ref)
    low = None if lr is None else images_in(lr)
    results = ResultFolder(images, 1)
    _check_partners(results, references, low, images, ref, lr)
    jobs = [(name, path, None if low is None else low[name]) for name, path in references.items()]
    workers = suitable_workers("cpu", len(jobs) // IMAGES_EACH) if workers is None else min(workers, len(jobs))
    of_images = tuple(name for name in names if name not in OF_SETS) if names else None
    opened = _Opened(results, of_images, suite, lr)
    values: dict[str, dict[str, Value]] = {}
    failures: list[str] = []
    with _done(opened, jobs, workers) as ((facts, said), done):
        for warning in said:
            warnings.warn(warning, stacklevel=2)
        for place, (name, _, _) in enumerate(jobs):
            progress(Step(place, len(jobs), name))
            values[name], faults = next(done)
            for fault in faults:
                progress(Step(place, len(jobs), "", fault))
            failures += faults
    progress(Step(len(jobs), len(jobs), ""))
    if distances is None or failures:
        return Measured(protocol.label, facts, values, tuple(failures))
    outputs = (image for name in references for image in quantize(results.read(name), protocol.quantize))
    sets = distances.between(outputs, map(read_uint8, references.values()))
    return Measured(protocol.label, facts, values, (), distances.facts, sets)


def _distances(names: Sequence[str], suite: Suite) -> SetDistances:
    from srbench.metrics.fid import SetDistances

    return SetDistances(names, suite.quantize)


IMAGES_EACH = 8
"""For how many images that ``srbench run`` shares out one is shared out here: no model makes them first."""
Job = tuple[str, Path, Path | None]
"""Name, HR file, LR file."""
Found = tuple[dict[str, Value], list[str]]
"""Values by metric, and what failed."""
Facts = tuple[tuple[MetricFacts, ...], tuple[str, ...]]
"""Of the metrics, and warnings."""


@dataclass(frozen=True)
class _Opened:
    """What measures, as it can be sent to other processes."""

    results: ResultFolder
    names: tuple[str, ...] | None
    suite: str
    lr: Path | None

    @cached_property
    def _suite(self) -> Suite:
        return read_suite(self.suite)

    @cached_property
    def _loaded(self) -> tuple[tuple[LoadedMetric, ...], tuple[str, ...]]:
        """The metrics, loaded once a process, and what was warned of meanwhile."""
        with warnings.catch_warnings(record=True) as said:
            metrics = _chosen(self.names, self.lr, self._suite)
        return metrics, tuple(str(one.message) for one in said)

    def facts(self) -> Facts:
        """Of the metrics. Raises BenchmarkError, and SRBenchError for an unknown metric."""
        metrics, said = self._loaded
        return tuple(metric.facts for metric in metrics), said

    def measure(self, job: Job) -> Found:
        """All metrics of one image, in one thread: sums of float32 depend on how many there are."""
        from srbench.benchmark.scoring import measure, one_thread

        name, hr, lr = job
        values: dict[str, Value] = {}
        faults: list[str] = []
        with one_thread():
            try:
                pair, outputs = _read(self.results, name, hr, lr)
            except SRBenchError as error:
                return values, [str(error)]
            images = quantize(outputs, self._suite.quantize)
            for metric in self._loaded[0]:
                try:
                    seen = outputs if metric.facts.sees == "returned" else images
                    values[metric.facts.name] = measure(metric.metric, seen, pair)
                except SRBenchError as error:
                    faults.append(str(error))
        return values, faults


_opened: _Opened
"""Of a process that works for another one."""


def _open(opened: _Opened) -> None:
    global _opened
    _opened = opened
    end_quickly()


def _facts() -> Facts:
    return _opened.facts()


def _measure(job: Job) -> Found:
    return _opened.measure(job)


@contextmanager
def _done(opened: _Opened, jobs: Sequence[Job], workers: int) -> Iterator[tuple[Facts, Iterator[Found]]]:
    """What is measured, and what is found of every job, in order."""
    if workers == 1:
        yield opened.facts(), map(opened.measure, jobs)
        return
    with for_workers():
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _open, (opened,))
        facts = pool.submit(_facts)
        found = pool.map(_measure, jobs, chunksize=max(min(len(jobs) // (4 * workers), 16), 1))
    try:
        yield facts.result(), found
    except BrokenProcessPool:
        raise BenchmarkError("a process ended before it was done; if memory is short, use fewer --workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _read(results: ResultFolder, name: str, hr: Path, lr: Path | None) -> tuple[ImagePair, Tensor]:
    """The pair of a name, 8-bit as in a run, and the images (n, 3, H, W) to be measured against it."""
    reference = read_uint8(hr).float() / 255
    # Without LR images no chosen metric looks at any.
    pair = ImagePair(name, reference if lr is None else read_uint8(lr).float() / 255, reference)
    outputs = results.read(name)
    if outputs.shape[-2:] != reference.shape[-2:]:
        sizes = [f"{image.shape[-2]}x{image.shape[-1]}" for image in (outputs, reference)]
        raise BenchmarkError(f"{name}: the image is {sizes[0]} and the reference {sizes[1]}; both must have one size")
    return pair, outputs


def _chosen(names: Sequence[str] | None, lr: Path | None, suite: Suite) -> tuple[LoadedMetric, ...]:
    if names == ():
        return ()
    metrics = open_metrics(tuple(names) if names else None, suite.columns, suite.quantize, suite.optional)
    in_need = [metric for metric in metrics if "LR" in metric.facts.needs]
    if lr is None and names is not None and in_need:
        raise BenchmarkError(f"{in_need[0].facts.title} needs LR images; name their folder with --lr")
    chosen = tuple(metric for metric in metrics if lr is not None or metric not in in_need)
    if not chosen:
        raise BenchmarkError(f"all metrics of {suite.label} need the scale or LR images; name their folder with --lr")
    return chosen


def _check_partners(
    results: ResultFolder,
    references: Mapping[str, Path],
    low: Mapping[str, Path] | None,
    images: Path,
    ref: Path,
    lr: Path | None,
) -> None:
    faults = [
        (images, [name for name in references if name not in results]),
        (ref, results.others(references)),
    ]
    if low is not None and lr is not None:
        faults.append((lr, [name for name in references if name not in low]))
    listed = [f"{folder} lacks {', '.join(missing)}" for folder, missing in faults if missing]
    if listed:
        raise BenchmarkError(f"images are paired by name, but {'; '.join(listed)}; add or remove images")


def _one(value: Value) -> float:
    return fmean(value) if isinstance(value, list) else value


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
