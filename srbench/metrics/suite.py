"""Suites: published protocols as TOML files that state the quantisation to 8 bits and the columns of the table.

srflow                      a packaged suite (``srbench list suites``)
path/to/mine.toml           your own suite
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Literal

from srbench.files.config import load_preset, preset_names
from srbench.interfaces import GROUPS, ImageMetric, MetricInfo, Need, SRBenchError
from srbench.metrics import MetricError
from srbench.metrics.loading import LoadedMetric, described, is_of_many, load_metric, open_metric, parse_metric
from srbench.plugins.registry import is_ours, registered
from srbench.words import joined

ENERGY = "lpips_energy"
"""Metric of validation that says how well several samples represent the distribution of HR images."""
BUNDLES = {"cost": ("parameters", "multiply_adds", "memory", "runtime")}
"""Names that stand for several metrics."""
_FOLDER = files("srbench.metrics") / "suites"
NEEDED: dict[Need, str] = {
    "model": "a model",
    "HR": "HR images",
    "LR": "LR images",
    "scale": "the scale",
    "downscaling": "a scale of 2 or more",
    "samples": "two or more samples per image",
    "groups": "groups of images, such as clips",
}
"""What metrics may need, in words."""
_GIVEN: dict[Need, str] = {"samples": "there is one", "downscaling": "the scale is 1"}
"""What a protocol has instead."""


@dataclass(frozen=True)
class Suite:
    """Content of a suite file."""

    name: str
    version: int
    """Incremented whenever a number of the suite would change."""
    metrics: tuple[str, ...]
    """Columns of the table, with their parameters: ``psnr+channels=Y``."""
    quantize: Literal["floor", "round"] = "round"
    """How outputs are quantised to 8 bits."""
    optional: tuple[str, ...] = ()
    """Additional columns, left out with a warning if their weights are missing."""
    samples: int | None = None
    """Default number of samples per image."""
    about: str = ""
    """Origin of the protocol, in one line."""

    @property
    def label(self) -> str:
        """``name@version``, as printed in every table."""
        return f"{self.name}@{self.version}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table, measured or not."""
        return self.metrics + self.optional


def suite_names() -> list[str]:
    """Return the names of the packaged suites, sorted."""
    return preset_names(_FOLDER)


def read_suite(text: str) -> Suite:
    """Read a packaged suite by name, or a TOML file.

    Raises MetricError for a suite without metrics, and for a file with the name of a packaged suite; ConfigError for an
    unknown name or an invalid file.
    """
    suite = load_preset(_FOLDER, text, Suite, kind="suite")
    if text.endswith(".toml") and suite.name in suite_names():
        raise MetricError(f"{text}: {suite.name} is a packaged suite; rename yours")
    if not suite.name or not suite.metrics or set(suite.name) & set("@+/\\\n"):
        raise MetricError(f"{text}: a suite needs a name without @, + and /, and at least one metric")
    return suite


def meanings(columns: Sequence[str]) -> dict[str, str]:
    """Map names without parameters to columns of a suite: an exact match, else the first column of that name."""
    return {parse_metric(column)[0]: column for column in reversed(columns)} | {column: column for column in columns}


def full_names(names: Sequence[str] | None, columns: Sequence[str]) -> list[str]:
    """Return metrics as a suite computes them: its columns, or the named metrics with its parameters.

    A name of BUNDLES stands for several metrics.
    """
    column_of = meanings(columns)
    chosen = columns if names is None else [column_of.get(name, name) for name in names]
    return _members(chosen)


def _members(names: Iterable[str]) -> list[str]:
    """Replace the names of BUNDLES by the metrics that they stand for."""
    return [member for name in names for member in BUNDLES.get(name, (name,))]


def needing(columns: Iterable[str], lacking: Collection[Need]) -> list[MetricInfo]:
    """Return the registered metrics among columns that need something that is lacking.
    Imports torch, unless nothing is.
    """
    ours = (column for column in columns if lacking and parse_metric(column)[0] in registered("metrics"))
    return [metric.info for metric in map(described, ours) if set(lacking) & set(metric.needs)]


def left_out(columns: Sequence[str], lacking: Iterable[Need]) -> str:
    """Say which columns of a suite a protocol leaves out, and why; empty if it leaves out none."""
    sentences = []
    for need in lacking:
        if titles := [metric.title for metric in needing(columns, [need])]:
            needs = "is left out: it needs" if len(titles) == 1 else "are left out: they need"
            sentences.append(f"{joined(titles)} {needs} {NEEDED[need]}, and {_GIVEN[need]}.")
    return " ".join(sentences)


def open_metrics(
    names: tuple[str, ...] | None,
    columns: tuple[str, ...],
    quantize: str,
    optional: tuple[str, ...] = (),
    samples: int | None = None,
) -> tuple[LoadedMetric, ...]:
    """Open metrics by name, or the columns of a suite.

    A name without parameters takes those of the suite; a name of BUNDLES stands for several metrics. Parameters that
    differ from the suite's become part of the metric's name (``psnr_channels_Y``), so that both fit into one table.

    Args:
        names: Names that the user typed; None: all columns.
        columns: Columns of the suite.
        quantize: How outputs are quantised to 8 bits.
        optional: Columns that are left out with a warning if they cannot be loaded.
        samples: Number of samples per image, None if unknown.

    Raises:
        PluginError: A metric cannot be loaded.
        MetricError: Two metrics share a name.
    """
    column_of = meanings(columns)
    metrics: dict[str, LoadedMetric] = {}
    for text in full_names(names, columns):
        try:
            metric = open_metric(text, quantize, samples)
        except SRBenchError as error:
            if names is not None or text not in optional:
                raise
            warnings.warn(f"left out of the table: {error}", stacklevel=2)
            continue
        if metric.info.name == parse_metric(text)[0] != text and column_of.get(metric.info.name) != text:
            metric = replace(metric, info=replace(metric.info, name=re.sub(r"\W", "_", text, flags=re.ASCII)))
        if metric.info.name in metrics:
            other = metrics[metric.info.name].info.spec
            raise MetricError(f"{text} and {other} share the name {metric.info.name}; leave one of them out")
        metrics[metric.info.name] = metric
    return tuple(metrics.values())


def fetch_weights(columns: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Load every metric once, so that missing weights are downloaded; yield its name and failure, empty if ready."""
    for column in _members(columns):
        fault = ""
        try:
            open_metric(column)
        except SRBenchError as error:
            fault = str(error)
        yield column, fault


def validation_metrics() -> tuple[ImageMetric, ...]:
    """Return the metrics of validation in training: those that represent their groups, and the energy score of samples.

    Broken metrics of other distributions are left out with a warning. Raises the error of a broken packaged metric.
    """
    metrics = []
    for name in registered("metrics"):
        try:
            if not is_of_many(name):
                metrics.append(load_metric(name))
        except SRBenchError as error:
            if is_ours("metrics", name):
                raise
            warnings.warn(f"left out of validation: {error}", stacklevel=2)
    images = (metric for metric in metrics if isinstance(metric, ImageMetric))
    used = (metric for metric in images if metric.info.is_primary or metric.info.name == ENERGY)
    return tuple(sorted(used, key=lambda metric: (-metric.info.direction, GROUPS.index(metric.info.group))))
