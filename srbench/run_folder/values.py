"""Values of metrics, by setting and image: what a table, a comparison and a plot are computed from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from srbench.interfaces import MetricInfo
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import Value
from srbench.words import number_of

COLUMNS = ("model", "temperature", "image", "sample", "metric", "value")
"""Columns of tidy values: one row per number."""
TOLERANCE = 1e-5
"""Relative difference up to which two values count as equal, across processors and library versions."""
FOLDER_TOLERANCE = 1e-3
"""Like ``TOLERANCE``, for FID and KID; FID needs the root of a matrix that is singular for fewer images than features."""


@dataclass(frozen=True)
class Values:
    """Values of metrics for the settings of a table, in the order of its rows."""

    by_setting: Mapping[Setting, Mapping[str, Mapping[str, Value]]]
    """Values by setting, image and metric: one number per sample, or one number for all samples. A value that is missing
    has no entry."""
    of_folders: Mapping[Setting, Mapping[str, float]] = field(default_factory=dict)
    """Values of metrics of all images together, such as FID, by setting and metric; NaN for a missing value."""
    unit_of: Mapping[str, str] = field(default_factory=dict)
    """Folder of every image, if means, intervals and tests are over folders; empty if they are over images."""

    @property
    def unit(self) -> str:
        """What means, intervals and tests are over: ``image`` or ``folder``."""
        return "folder" if self.unit_of else "image"

    @property
    def units(self) -> str:
        """The same in the plural: ``images``, ``folders of 10 images``, ``folders of 7 to 10 images``."""
        if not self.unit_of:
            return "images"
        images = {image for values in self.by_setting.values() for image in values}
        sizes = Counter(self.unit_of[image] for image in images).values()
        least, most = min(sizes, default=0), max(sizes, default=0)
        return f"folders of {number_of(most, 'image') if least == most else f'{least} to {most} images'}"

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Settings, in the order of the table."""
        return tuple(self.by_setting)

    def count(self, setting: Setting) -> int:
        """Return the number of images of a setting, or of their folders if means are over folders."""
        return len({self.unit_of.get(image, image) for image in self.by_setting[setting]})

    def of_images(self, setting: Setting, metric: str) -> dict[str, float]:
        """Return the mean over samples by image; NaN for a missing value. A NaN sample makes the mean NaN."""
        return {image: mean(values.get(metric)) for image, values in self.by_setting[setting].items()}

    def of_units(self, setting: Setting, metric: str) -> dict[str, float]:
        """Return the values of ``of_images``, averaged by folder if means are over folders."""
        return by_unit(self.of_images(setting, metric), self.unit_of)

    def worst(self, setting: Setting, metric: MetricInfo) -> dict[str, float]:
        """Return the value of the worst sample by image, without images that have no number."""
        worst = {}
        for image, values in self.by_setting[setting].items():
            value = values.get(metric.name, math.nan)
            samples = [number for number in (value if isinstance(value, list) else [value]) if not math.isnan(number)]
            if samples:
                worst[image] = min(samples) if metric.direction > 0 else max(samples)
        return worst

    def numbers(self, metrics: Sequence[str]) -> Iterator[tuple[str, float | None, str, int, str, float]]:
        """Yield all numbers as rows of COLUMNS, with NaN for missing values of ``metrics``, those of single images.

        ``temperature`` is None for a model with a single output, ``sample`` is -1 for a value of all samples, ``image``
        is empty for a value of all images.
        """
        for setting, by_image in self.by_setting.items():
            for image, values in by_image.items():
                for metric in metrics:
                    value = values.get(metric, math.nan)
                    numbered = enumerate(value) if isinstance(value, list) else [(-1, value)]
                    for sample, number in numbered:
                        yield setting.model, setting.temperature, image, sample, metric, number
        for setting, of_folder in self.of_folders.items():
            for metric, number in of_folder.items():
                yield setting.model, setting.temperature, "", -1, metric, number


def by_unit(values: Mapping[str, float], unit_of: Mapping[str, str]) -> dict[str, float]:
    """Return the means of the values of each folder, as by ``mean_of_images``; the values if ``unit_of`` is empty."""
    if not unit_of:
        return dict(values)
    folders: dict[str, dict[str, float]] = {}
    for image, value in values.items():
        folders.setdefault(unit_of[image], {})[image] = value
    return {folder: mean_of_images(of_folder) for folder, of_folder in folders.items()}


def mean(value: Value | None) -> float:
    """Return the mean over samples; NaN for None."""
    if value is None:
        return math.nan
    return _mean(value) if isinstance(value, list) else value


def is_close(value: float, other: float, tolerance: float = TOLERANCE) -> bool:
    """Return whether two values are equal up to a relative difference, or an absolute one near 0; NaN equals NaN."""
    both_nan = math.isnan(value) and math.isnan(other)
    return both_nan or math.isclose(value, other, rel_tol=tolerance, abs_tol=tolerance)


def are_close(value: Value, other: Value, tolerance: float = TOLERANCE) -> bool:
    """Return whether two values have equally many numbers that are close by ``is_close``, one by one."""
    numbers, others = (each if isinstance(each, list) else [each] for each in (value, other))
    same_shape = isinstance(value, list) == isinstance(other, list) and len(numbers) == len(others)
    return same_shape and all(is_close(*pair, tolerance) for pair in zip(numbers, others, strict=True))


def mean_of_images(values: Mapping[str, float]) -> float:
    """Return the mean of the finite values of some images; if no value is finite, the first that is not NaN, or NaN."""
    finite = [value for value in values.values() if math.isfinite(value)]
    if finite:
        return fmean(finite)
    return next((value for value in values.values() if not math.isnan(value)), math.nan)


def averaged_images(values: Mapping[str, float]) -> int:
    """Return the number of images in the mean: those with a finite value, or with any value if none is finite."""
    return sum(map(math.isfinite, values.values())) or sum(not math.isnan(value) for value in values.values())


def _mean(numbers: Sequence[float]) -> float:
    """Return the mean of some numbers; infinite or NaN like a sum of floats, where ``fmean`` would raise."""
    return fmean(numbers) if all(map(math.isfinite, numbers)) else sum(numbers) / len(numbers)
