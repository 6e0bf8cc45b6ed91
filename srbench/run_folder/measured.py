"""Results of ``srbench measure``: values of a folder of images, outside any run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from srbench.interfaces import MetricFacts
from srbench.run_folder.records import Value


@dataclass(frozen=True)
class Measured:
    """Values of every image of a folder, and their means."""

    label: str
    """Name of the folder of images."""
    suite: str
    """``name@version``."""
    metrics: tuple[MetricFacts, ...]
    values: dict[str, dict[str, Value]]
    failures: tuple[str, ...]
    set_metrics: tuple[MetricFacts, ...] = ()
    """FID and KID, if requested."""
    sets: dict[str, float] = field(default_factory=dict)
    """Values of FID and KID by name; empty if any image could not be measured."""

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
        """Return the mean over images with a finite value, as in the table of a run; infinite if no value is finite."""
        values = [value for image in self.values if not math.isnan(value := self.of_image(image, metric))]
        finite = [value for value in values if math.isfinite(value)]
        return fmean(finite) if finite else values[0] if values else math.nan

    def csv(self) -> str:
        """Return the values in the format of a run's ``rows.csv``; ``image`` is empty for FID and KID."""
        from srbench.run_folder.results import ResultTable, rows_csv  # pandas takes a third of a second to import

        by_image: dict[str, Mapping[str, Value]] = {**self.values, "": self.sets}
        rows = [(self.label, None, image, values) for image, values in by_image.items()]
        metrics = self.metrics + self.set_metrics
        table = ResultTable.from_values(rows, tuple(metric.name for metric in metrics))
        return rows_csv(table, metrics, self.suite).rstrip("\n")

    def facts(self) -> dict[str, object]:
        """Return signatures, means, counts of finite values and all values, for JSON."""
        return {
            "suite": self.suite,
            "signatures": {metric.name: metric.signature for metric in self.metrics + self.set_metrics},
            "sets": self.sets,
            "mean": {metric.name: self.mean(metric.name) for metric in self.metrics},
            "finite": {metric.name: self.count(metric.name) for metric in self.metrics},
            "images": self.values,
            "failures": self.failures,
        }
