"""Results of ``srbench measure``: values of a folder of images, outside any run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from srbench.interfaces import MetricFacts
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import Value
from srbench.run_folder.values import Values


@dataclass(frozen=True)
class Measured:
    """Values of every image of a folder, and their means."""

    label: str
    """Name of the folder of images."""
    suite: str
    """``name@version``."""
    metrics: tuple[MetricFacts, ...]
    """Metrics of single images, then those of all images together."""
    values: dict[str, dict[str, Value]]
    failures: tuple[str, ...]
    folder_values: Mapping[str, float] = field(default_factory=dict)
    """Values of metrics of all images together, by name; empty if any image could not be measured."""

    @property
    def image_metrics(self) -> tuple[MetricFacts, ...]:
        """Metrics of single images."""
        return tuple(metric for metric in self.metrics if metric.per != "folder")

    @property
    def folder_metrics(self) -> tuple[MetricFacts, ...]:
        """Metrics of all images together."""
        return tuple(metric for metric in self.metrics if metric.per == "folder")

    def of_image(self, image: str, metric: str) -> float:
        """Return the mean over the samples of an image; NaN if it could not be measured."""
        value = self.values[image].get(metric, math.nan)
        return fmean(value) if isinstance(value, list) else value

    def count(self, metric: str) -> int:
        """Return the number of images with a finite value."""
        return sum(math.isfinite(self.of_image(image, metric)) for image in self.values)

    def averaged(self, metric: str) -> int:
        """Return the number of images in the mean: those with a finite value, or with any value if none is finite."""
        measured = [not math.isnan(self.of_image(image, metric)) for image in self.values]
        return self.count(metric) or sum(measured)

    def mean(self, metric: str) -> float:
        """Return the mean over images with a finite value, as in the table of a run; infinite if no value is finite.

        For a metric of all images together, return its value.
        """
        if metric in self.folder_values:
            return self.folder_values[metric]
        values = [value for image in self.values if not math.isnan(value := self.of_image(image, metric))]
        finite = [value for value in values if math.isfinite(value)]
        return fmean(finite) if finite else values[0] if values else math.nan

    @property
    def as_values(self) -> Values:
        """The values as those of a table with a single line."""
        setting = Setting(self.label, None)
        return Values({setting: self.values}, {setting: self.folder_values})

    def facts(self) -> dict[str, object]:
        """Return signatures, means, counts of finite values and all values, for JSON."""
        return {
            "suite": self.suite,
            "signatures": {metric.name: metric.signature for metric in self.metrics},
            "folder": dict(self.folder_values),
            "mean": {metric.name: self.mean(metric.name) for metric in self.image_metrics},
            "finite": {metric.name: self.count(metric.name) for metric in self.image_metrics},
            "images": self.values,
            "failures": self.failures,
        }
