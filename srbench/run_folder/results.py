"""Results of a run folder: rows, tidy values, and the table with a line per model and temperature."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from srbench.interfaces import MetricFacts
from srbench.metrics.loading import parse_metric
from srbench.metrics.suite import of_several_samples
from srbench.run_folder import NothingMeasuredError, RunFolderError
from srbench.run_folder.folder import RunFolder, folder_key
from srbench.run_folder.protocol import Protocol, Setting
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value
from srbench.run_folder.statistics import mean_intervals

if TYPE_CHECKING:
    from pandas.core.groupby import DataFrameGroupBy


@dataclass(frozen=True)
class Row:
    """A model at one temperature on one image: its samples and their values."""

    sample: SampleRecord
    setting: Setting
    """Row of the table. In a table of several runs, its label may differ from the record's."""
    values: dict[str, Value]
    """Values by metric: one number per sample, or one number for all samples."""
    metric_seconds: float
    invocations: frozenset[int]
    """Indices of the invocations that sampled and measured it."""
    measured_in: frozenset[str] = frozenset()
    """Keys of the environments in which its values were measured; the sample record has the key for its outputs."""

    @property
    def image(self) -> str:
        """Name of the image."""
        return self.sample.image

    @property
    def samples(self) -> int:
        """Number of outputs measured."""
        return len(self.sample.outputs)


def rows_of(folder: RunFolder) -> list[Row]:
    """Return the rows of all current outputs of a run folder, setting by setting in the order of the manifest.

    Missing and failed values are left out, as are values of precomputed results whose signature states a different
    number of samples than they have. Raises NothingMeasuredError if there is no row.
    """
    rows = [_row(folder, sample) for sample in folder.planned_samples() if not sample.failed]
    if not rows:
        raise NothingMeasuredError(f"{folder.path}: nothing is measured yet; run its command again")
    return rows


def _row(folder: RunFolder, sample: SampleRecord) -> Row:
    """Return the row of a successful record. Raises RunFolderError if a metric lacks a value for some sample."""
    scores = folder.scores(sample)
    values = {score.metric: score.value for score in scores if score.value is not None}
    requested = folder.manifest.protocol.samples
    if len(sample.outputs) not in (1, requested):
        of_samples = {metric.name for metric in folder.manifest.metrics if is_of_samples(metric, requested)}
        values = {name: value for name, value in values.items() if name not in of_samples}
    for name, value in values.items():
        if isinstance(value, list) and len(value) != len(sample.outputs):
            raise RunFolderError(
                f"{folder.path / ScoreRecord.FILE}: {name} of {sample.model} on {sample.image} has {len(value)} values "
                f"for {len(sample.outputs)} samples; run again with another --out"
            )
    made_by = frozenset((sample.invocation, *(score.invocation for score in scores)))
    measured_in = frozenset(score.environment for score in scores)
    return Row(sample, sample.setting, values, sum(score.seconds for score in scores), made_by, measured_in)


FolderValues = Mapping[Setting, Mapping[str, float]]
"""Values of metrics of all images together by setting; every setting has the same metrics, NaN for a missing value."""


def folder_values(
    rows: Iterable[Row],
    metrics: Sequence[MetricFacts],
    scores: Mapping[tuple[str, Setting], ScoreRecord],
    hr_pixels: Callable[[str], str],
) -> FolderValues:
    """Return the values of metrics of all images together that were measured on exactly the images of the rows.

    ``scores`` are records by key and setting; ``hr_pixels`` maps an image to the SHA-256 of its HR pixels.
    """
    samples: dict[Setting, list[SampleRecord]] = {}
    for row in rows if metrics else ():
        samples.setdefault(row.setting, []).append(row.sample)
    values: dict[Setting, dict[str, float]] = {setting: {} for setting in samples}
    for setting, metric in product(samples, metrics):
        own = samples[setting]
        score = scores.get((folder_key(metric, own, hr_pixels), own[0].setting))
        values[setting][metric.name] = math.nan if score is None or score.value is None else float(np.mean(score.value))
    return values


def is_of_samples(metric: MetricFacts, samples: int) -> bool:
    """Return whether a metric computes one value from ``samples`` samples, according to its signature."""
    return metric.signature.endswith(f"|n{samples}")


def failures_of(folder: RunFolder, label: Callable[[Setting], str]) -> list[str]:
    """Return one line for each pair, item or value whose last attempt failed; ``label`` names a setting."""
    faults = []
    for image, known in folder.known.items():
        if known.pair is not None and known.pair.failed:
            faults.append(known.pair.error)
        for setting, sample in known.samples.items():
            if sample.failed:
                faults.append(f"{label(setting)}: {sample.error}")
            elif any(score.failed for score in known.scores.values()) and folder.sample(setting, image) is sample:
                faults += [f"{label(setting)}: {score.error}" for score in folder.scores(sample) if score.failed]
    for setting, metric in product(folder.manifest.settings, folder.manifest.folder_metrics):
        folder_score = folder.folder_score(setting, metric)
        if folder_score is not None and folder_score.failed:
            faults.append(f"{label(setting)}: {folder_score.error}")
    return list(dict.fromkeys(faults))


@dataclass(frozen=True)
class ResultTable:
    """Tidy values, one row per number, in columns model, temperature, image, sample, metric and value."""

    values: pd.DataFrame
    """``temperature`` is NaN for a model with a single output, ``sample`` is -1 for a value of all samples, ``image`` is
    empty for a value of all images."""
    metrics: tuple[str, ...]
    """Metrics of single images."""
    folder_metrics: tuple[str, ...]
    """Metrics of all images together."""
    images: pd.DataFrame
    """Model, temperature and image of all rows as the index, without columns."""

    @classmethod
    def from_rows(
        cls, rows: Sequence[Row], metrics: tuple[str, ...], folder_values: FolderValues = MappingProxyType({})
    ) -> ResultTable:
        """Tabulate rows in their order, with NaN for missing values."""
        missing: dict[str, Value] = dict.fromkeys(metrics, math.nan)
        values = ((row.setting.model, row.setting.temperature, row.image, missing | row.values) for row in rows)
        return cls.from_values(values, metrics, folder_values)

    @classmethod
    def from_values(
        cls,
        rows: Iterable[tuple[str, float | None, str, Mapping[str, Value]]],
        metrics: tuple[str, ...],
        folder_values: FolderValues = MappingProxyType({}),
    ) -> ResultTable:
        """Tabulate tuples of model, temperature, image and values by metric.

        ``folder_values`` has the settings of the rows, in their order.
        """
        rows = list(rows)
        of_folders = [(setting.model, setting.temperature, "", values) for setting, values in folder_values.items()]
        records = [
            (model, temperature, image, sample, metric, value)
            for model, temperature, image, values in (*rows, *of_folders)
            for metric, samples in values.items()
            for sample, value in _numbered(samples)
        ]
        columns = ["model", "temperature", "image", "sample", "metric", "value"]
        frame = pd.DataFrame.from_records(records, columns=columns).astype({"temperature": float, "value": float})
        images = pd.DataFrame.from_records([row[:3] for row in rows], columns=columns[:3]).astype(
            {"temperature": float}
        )
        folder_metrics = tuple(next(iter(folder_values.values()), ()))
        return cls(frame, metrics, folder_metrics, images.set_index(columns[:3]))

    @cached_property
    def per_image(self) -> pd.DataFrame:
        """Means over samples, with a column per metric, indexed by model, temperature and image.

        A NaN sample makes the mean NaN.
        """
        if not self.metrics:
            return self.images
        keys = ["model", "temperature", "image", "metric"]
        values = self.values[self.values["image"] != ""] if self.folder_metrics else self.values
        groups = values.groupby(keys, sort=False, dropna=False)["value"]
        means = groups.mean().mask(groups.size() > groups.count())
        return means.unstack("metric", sort=False)[list(self.metrics)]

    def columns(self, metric: str) -> list[pd.Series[float]]:
        """Return a series of values by image (means over samples) for every model and temperature."""
        groups = self.per_image[metric].groupby(level=["model", "temperature"], sort=False, dropna=False)
        return [values.droplevel(["model", "temperature"]) for _, values in groups]

    def worst(self, metric: MetricFacts) -> list[pd.Series[float]]:
        """Return a series of the worst sample's value by image for every model and temperature."""
        keys: list[Hashable] = ["model", "temperature", "image"]
        samples = self.values[self.values["metric"] == metric.name].set_index(keys)["value"] * metric.direction
        images = samples.groupby(level=keys, sort=False, dropna=False).min() * metric.direction
        groups = images.groupby(level=keys[:2], sort=False, dropna=False)
        return [values.droplevel(keys[:2]) for _, values in groups]

    def means(self) -> pd.DataFrame:
        """Return means over images, the image count ``n``, and values of all images, by model and temperature.

        Means leave out non-finite values, such as the PSNR of equal images, unless no value is finite. Column
        ``not_finite`` counts the images with a non-finite value.
        """
        images = self.per_image
        finite = images.map(math.isfinite)
        means = _by_setting(images.where(finite)).mean()
        means = means.where(_by_setting(finite).any(), _by_setting(images).first())
        means["n"] = _by_setting(images).size()
        means["not_finite"] = _by_setting((~finite).any(axis=1).to_frame("any"))["any"].sum()
        for metric in self.folder_metrics:
            means[metric] = self.values.loc[self.values["metric"] == metric, "value"].to_numpy()
        means.columns.name = None
        return means

    def summary(self) -> pd.DataFrame:
        """Return means and 95 % intervals, in columns such as ``psnr_low``; NaN for fewer than six images."""
        means = self.means()
        summary = means[[*self.metrics]].copy()
        columns = [values.sort_index() for metric in self.metrics for values in self.columns(metric)]
        intervals = iter(mean_intervals(columns))
        for metric in self.metrics:
            summary[[f"{metric}_low", f"{metric}_high"]] = [next(intervals) for _ in range(len(means))]
        return summary.assign(**means[["n", "not_finite", *self.folder_metrics]])


def csv_texts(
    table: ResultTable,
    summary: pd.DataFrame,
    metrics: Sequence[MetricFacts],
    protocol: Protocol,
    families: Mapping[str, list[str] | list[bool]],
) -> dict[str, str]:
    """Return the texts of table.csv (means and intervals) and rows.csv (all values), by file name.

    In table.csv, metrics of the suite come first, measured or not, and intervals follow all means. If there is one
    sample per image, those that need several are no columns.
    """
    unusable = of_several_samples(protocol.columns) if protocol.samples == 1 else []
    names = dict.fromkeys(parse_metric(column)[0] for column in protocol.columns)
    suite = [name for name in names if name not in {metric.name for metric in unusable}]
    return {
        "table.csv": summary_csv(table, summary, metrics, protocol.suite, families, suite),
        "rows.csv": rows_csv(table, metrics, protocol.suite),
    }


def summary_csv(
    table: ResultTable,
    summary: pd.DataFrame,
    metrics: Sequence[MetricFacts],
    suite: str,
    families: Mapping[str, list[str] | list[bool]],
    first: Sequence[str] = (),
) -> str:
    """Return the CSV of means and intervals, one line per model and temperature.

    ``families`` are additional columns. The metrics ``first``, measured or not, precede the number of images. FID and
    KID have no intervals.
    """
    lines = summary.reset_index()
    for name, column in families.items():
        lines[name] = column
    measured = (*table.metrics, *table.folder_metrics)
    signatures = {metric.name: metric.signature for metric in metrics}
    lines = lines.assign(**{f"{name}_signature": signature for name, signature in signatures.items()})
    lines["suite"] = suite
    intervals = [f"{name}_{end}" for name in table.metrics for end in ("low", "high")]
    columns = ["model", "temperature", *families, *first, "n", *(name for name in measured if name not in first)]
    columns += [*intervals, "not_finite", *(f"{name}_signature" for name in measured), "suite"]
    return lines.reindex(columns=columns).to_csv(index=False, lineterminator="\n")


def rows_csv(table: ResultTable, metrics: Sequence[MetricFacts], suite: str) -> str:
    """Return the CSV of all values, one line per number.

    ``sample`` is empty for a value of all samples, and ``image`` for a value of all images.
    """
    rows = table.values.assign(
        sample=table.values["sample"].replace(-1, pd.NA).astype("Int64"),
        signature=table.values["metric"].map({metric.name: metric.signature for metric in metrics}),
        suite=suite,
    )
    return rows.to_csv(index=False, lineterminator="\n")


def settings_of(table: pd.DataFrame) -> list[Setting]:
    """Return the settings of the rows of a table that is indexed by model and temperature."""
    return [Setting(model, None if math.isnan(temperature) else temperature) for model, temperature in table.index]


def _by_setting(images: pd.DataFrame) -> DataFrameGroupBy[Any, Any]:
    return images.groupby(level=["model", "temperature"], sort=False, dropna=False)


def _numbered(value: list[float] | float) -> list[tuple[int, float]]:
    return list(enumerate(value)) if isinstance(value, list) else [(-1, value)]
