"""Published outputs measured again, every value beside that of the log that was published with them.

A line of a log with the name of an image has its values, and a line without one the means:

    ... results/a.png | PSNR: 25.793726; SSIM: 0.851268 | Runtime: 1.06 sec
    PSNR: 25.1511; SSIM: 0.7341 | FID: 123.493817 | FID Runtime: 6.79 sec
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.table import Table

from srbench.benchmark.measure import measure_folder
from srbench.benchmark.request import RunSpec
from srbench.cli.reproduce import ReproduceError
from srbench.data.benchmark_sets.table import find_set, pixels_digest
from srbench.data.toolkit_layouts import STABLESR
from srbench.files.atomic import write_whole
from srbench.files.config import load_toml
from srbench.images.folders import images_in
from srbench.images.io import ENDINGS
from srbench.interfaces import MetricFacts, SRBenchError
from srbench.metrics.suite import OF_SETS, open_metrics, read_suite
from srbench.reporting.measurements import mean_of, read_runs
from srbench.run_folder.manifest import read_manifest

LOGS = files("srbench.cli.reproduce") / "logs.toml"
BESIDE = "reproduction.csv"
"""File in the run folder with every value beside the published one."""
_IMAGE = re.compile(rf"(\S+)({'|'.join(map(re.escape, ENDINGS))})\s*[|:]", re.IGNORECASE)
_VALUE = re.compile(r"([A-Za-z][\w+-]*)\s*[:=]\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.:]| ?(?:sec|s|ms)\b)")


@dataclass(frozen=True)
class PublishedLog:
    """Values that a log states."""

    images: dict[str, dict[str, float]]
    """Values of every image, by name without ending and by column."""
    means: dict[str, str]
    """Means as printed, by column; also values that all images have together, such as FID."""


def read_log(path: Path) -> PublishedLog:
    """Read a log. Raises ReproduceError if it cannot be read, or states no value of an image."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ReproduceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    images: dict[str, dict[str, float]] = {}
    means: dict[str, str] = {}
    for line in lines:
        if found := _IMAGE.search(line):
            values = {name: float(number) for name, number in _VALUE.findall(line[found.end() :])}
            if values:
                images[PurePosixPath(found[1]).name] = values
        elif images and (found := _VALUE.match(line)):
            means |= dict(_VALUE.findall(line))
    if not images:
        raise ReproduceError(f"{path}: no line with the values of an image (NAME.png | PSNR: 25.79; ...)")
    return PublishedLog(images, means)


@dataclass(frozen=True)
class LoggedOutputs:
    """Outputs that were published with a log of their values."""

    source: str
    page: str
    """Repository that has them."""
    folder: str
    """Folder of HR, LR, outputs and log in a clone of it."""
    data: str
    """Benchmark set that they are of."""
    label: str
    results: str
    """Folder of the outputs."""
    log: str
    """Pattern of the log's path."""
    scale: int
    suite: str
    columns: dict[str, tuple[str, ...]]
    """Columns of the log -> metrics, of which the first that can be loaded is measured."""

    @property
    def needs(self) -> str:
        """All that it needs, in words."""
        return f"git clone {self.page}, and name its folder"

    def located(self, given: Path) -> Path:
        """The folder of HR, LR and outputs: the given one, or that of a clone. Raises ReproduceError."""
        wanted = (*STABLESR, self.results)
        for folder in (given / self.folder, given):
            if all((folder / name).is_dir() for name in wanted):
                return folder
        raise ReproduceError(
            f"{given.resolve()}: has neither {self.folder} nor {', '.join(wanted)}; git clone {self.page}, and name "
            "its folder: srbench reproduce NAME DIR"
        )

    def read_log(self, folder: Path) -> PublishedLog:
        """Read the log; the last one if there are several. Raises ReproduceError."""
        found = sorted(folder.glob(self.log))
        if not found:
            raise ReproduceError(f"{folder / self.log}: no such log; restore it: git -C {folder} checkout .")
        return read_log(found[-1])

    def check_pixels(self, folder: Path) -> str:
        """A sentence on how the pairs are known. Raises ReproduceError if they are not those of the benchmark set."""
        entry = find_set(self.data)
        hr, lr = (images_in(folder / name) for name in STABLESR)
        if entry.pixels is None:
            return f"{folder}: assumed to be {self.data}, whose pixels are not known"
        if hr.keys() != lr.keys() or pixels_digest(hr, lr) != entry.pixels:
            raise ReproduceError(
                f"{folder}: its images are not those of {self.data} pixel for pixel, so the log does not apply; "
                f"restore them: git -C {folder} checkout ."
            )
        return f"{folder}: {self.data}, {entry.contents}, pixel for pixel"

    def spec(self, folder: Path, metrics: tuple[str, ...], out: Path) -> RunSpec:
        """Request for the run that measures the outputs."""
        return RunSpec(
            (f"{self.label}={folder / self.results}",),
            self.scale,
            str(folder),
            suite=self.suite,
            metrics=metrics,
            out=str(out),
        )


@dataclass(frozen=True)
class Columns:
    """Columns of a log that can be measured, and what the others lack."""

    metrics: dict[str, MetricFacts]
    """Metric of every column of images."""
    sets: dict[str, str]
    """Metric of every column that compares the folders as sets."""
    missing: dict[str, str]
    """One sentence for every other column."""


def log_columns(asked: LoggedOutputs, log: PublishedLog) -> Columns:
    """Open the metrics of a log's columns."""
    suite = read_suite(asked.suite)
    columns = Columns({}, {}, {})
    for name in dict.fromkeys([*next(iter(log.images.values())), *log.means]):
        faults = []
        for text in asked.columns.get(name, ()):
            if text in OF_SETS:
                columns.sets[name] = text
                break
            try:
                [metric] = open_metrics((text,), suite.columns + asked.columns[name], suite.quantize)
            except SRBenchError as error:
                faults.append(str(error))
            else:
                columns.metrics[name] = metric.facts
                break
        else:
            columns.missing[name] = "; ".join(faults) or "no metric of srbench"
    return columns


def logs() -> dict[str, LoggedOutputs]:
    """Everything that was published with a log, by name."""
    return load_toml(LOGS, dict[str, LoggedOutputs])


@dataclass(frozen=True)
class Beside:
    """Values of one column and those of the log: of every image, or of the folders as sets."""

    column: str
    metric: MetricFacts
    mean: str
    """Mean as printed in the log; empty if it prints none."""
    values: dict[str, tuple[float, float]]
    """Published and measured value of every image that both have."""

    @property
    def worst(self) -> str:
        """Image with the largest difference. Raises ValueError without values."""
        return max(self.values, key=lambda image: abs(self.difference(image)))

    def difference(self, image: str) -> float:
        """Measured minus published value of an image."""
        published, measured = self.values[image]
        return measured - published

    @property
    def measured(self) -> float:
        """Mean of the measured values."""
        return fmean(measured for _, measured in self.values.values())


def beside(asked: LoggedOutputs, log: PublishedLog, columns: Columns, out: Path) -> list[Beside]:
    """Every column of a log that a run folder has values of, for the published outputs."""
    rows = {row.image: row for row in read_runs([out]).rows if row.setting.model == asked.label}
    manifest = read_manifest(out)
    found = []
    for column, facts in columns.metrics.items():
        metric = manifest.metric(facts.name)
        values = {
            image: (published[column], mean_of(rows[image], metric))
            for image, published in log.images.items()
            if image in rows and column in published
        }
        measured = {image: pair for image, pair in values.items() if math.isfinite(pair[1])}
        if measured:
            found.append(Beside(column, metric, log.means.get(column, ""), measured))
    if not found:
        raise ReproduceError(f"{out}: holds no value for an image in the log; is it a run of other outputs?")
    return found


def summary(found: list[Beside]) -> Table:
    """A line per column: means, and the image with the largest difference."""
    headers = ("column", "metric", "images", "log", "measured", "largest difference", "of")
    table = Table(*headers, box=SIMPLE_HEAD, pad_edge=False, header_style="")
    for one in found:
        mean = f"{one.measured:.4f}"
        count, largest = str(len(one.values)), f"{one.difference(one.worst):+.1e}"
        table.add_row(one.column, one.metric.signature, count, one.mean or "–", mean, largest, one.worst)
    return table


def write_beside(found: list[Beside], out: Path) -> Path:
    """Write every value beside the published one, as CSV into the run folder; returns the file."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["column", "metric", "signature", "image", "published", "measured", "difference"])
    for one in found:
        for image, (published, measured) in one.values.items():
            facts = (one.column, one.metric.name, one.metric.signature, image)
            lines.writerow([*facts, published, measured, one.difference(image)])
    write_whole(out / BESIDE, text.getvalue().encode())
    return out / BESIDE


def set_values(asked: LoggedOutputs, folder: Path, columns: Columns) -> dict[str, float | str]:
    """Values of the columns that compare the folders as sets, or what they lack."""
    found: dict[str, float | str] = {}
    for column, name in columns.sets.items():
        try:
            measured = measure_folder(folder / asked.results, folder / STABLESR[0], names=(name,), suite=asked.suite)
            found[column] = measured.sets.get(name, "; ".join(measured.failures))
        except SRBenchError as error:
            found[column] = str(error)
    return found
