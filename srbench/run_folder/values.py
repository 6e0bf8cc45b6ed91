"""Values of metrics, by setting and image: what a table, a comparison and a plot are computed from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike, NDArray

from srbench.interfaces import MetricInfo
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import Value
from srbench.words import number_of

COLUMNS = ("model", "temperature", "image", "sample", "metric", "value")
"""Columns of tidy values: one row per number."""
TOLERANCE = 1e-5
"""Relative difference up to which two values count as equal, across processors, numbers of threads and library
versions. SSE instead of AVX-512 instructions move PSNR of SRFlow by 2e-7 of itself, and LPIPS by 2e-6; a table prints
digits of 1e-4 of a value or more."""
SET_TOLERANCE = 1e-3
"""The same for FID and KID; FID needs the root of a matrix that is singular for fewer images than features."""


@dataclass(frozen=True)
class Values:
    """Values of metrics for the settings of a table, in the order of its rows."""

    of: Mapping[tuple[Setting, str], Mapping[str, Value | None]]
    """Values by setting and metric, then by subject: an image, a group of images, or "" for all images or the model.

    One number per sample, or one number; NaN for a missing value, None for a metric that does not apply to the setting.
    """
    images: Mapping[Setting, Sequence[str]]
    """Images of every setting."""
    unit_of: Mapping[str, str] = field(default_factory=dict)
    """Group of every image, if means, intervals and tests are over groups; empty if they are over images."""
    ungrouped: Mapping[str, str] = field(default_factory=dict)
    """Group of every image in one, if means are over images all the same."""

    @property
    def unit(self) -> str:
        """What means, intervals and tests are over: ``image`` or ``group``."""
        return "group" if self.unit_of else "image"

    @property
    def units(self) -> str:
        """The same in the plural: ``images``, ``groups of 10 images``, ``groups of 7 to 10 images``."""
        if not self.unit_of:
            return "images"
        images = {image for images in self.images.values() for image in images}
        sizes = Counter(self.unit_of[image] for image in images).values()
        least, most = min(sizes, default=0), max(sizes, default=0)
        return f"groups of {number_of(most, 'image') if least == most else f'{least} to {most} images'}"

    @cached_property
    def is_dependent(self) -> bool:
        """True if images of one group count one by one: no tests and no intervals,
        as frames of a clip are much alike.
        """
        images = {image for images in self.images.values() for image in images if image in self.ungrouped}
        return len({self.ungrouped[image] for image in images}) < len(images)

    def permits_test(self, metric: MetricInfo) -> bool:
        """Return whether a metric permits tests and intervals on these images."""
        return metric.permits_test and not (metric.is_of_images and self.is_dependent)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Settings, in the order of the table."""
        return tuple(self.images)

    def count(self, setting: Setting) -> int:
        """Return the number of images of a setting, or of their groups if means are over groups."""
        return len({self.unit_of.get(image, image) for image in self.images[setting]})

    def means(self, setting: Setting, metric: MetricInfo) -> dict[str, float]:
        """Return the mean over samples by subject; NaN for a missing value. A NaN sample makes the mean NaN."""
        return {subject: mean(value) for subject, value in self.of.get((setting, metric.name), {}).items()}

    def of_units(self, setting: Setting, metric: MetricInfo) -> dict[str, float]:
        """Return the ``means``, those of images averaged by group if means are over groups."""
        return by_unit(self.means(setting, metric), self.units_for(metric))

    def units_for(self, metric: MetricInfo) -> Mapping[str, str]:
        """Return ``unit_of``; empty for a metric that has a value for each group, or one value."""
        return self.unit_of if metric.is_of_images else {}

    def not_finite(self, setting: Setting, metrics: Sequence[MetricInfo]) -> int:
        """Return the number of images of which a metric that applies has a missing or non-finite value."""
        names = [metric.name for metric in metrics if metric.is_of_images and (setting, metric.name) in self.of]
        columns = [self.of[setting, name] for name in names]
        return sum(
            any(column[image] is not None and not math.isfinite(mean(column[image])) for column in columns)
            for image in self.images[setting]
        )

    def worst(self, setting: Setting, metric: MetricInfo) -> dict[str, float]:
        """Return the value of the worst sample by subject, without subjects that have no number."""
        worst = {}
        for subject, value in self.of.get((setting, metric.name), {}).items():
            samples = [number for number in _numbers(value) if not math.isnan(number)]
            if samples:
                worst[subject] = min(samples) if metric.direction > 0 else max(samples)
        return worst

    def numbers(self, metrics: Sequence[MetricInfo]) -> Iterator[tuple[str, float | None, str, int, str, float]]:
        """Yield all numbers of ``metrics`` as rows of COLUMNS, with NaN for values that are missing or do not apply.

        ``temperature`` is None for a model with a single output, ``sample`` is -1 for a value of all samples, ``image``
        is the subject.
        """
        for setting, images in self.images.items():
            columns = {metric.name: self.of.get((setting, metric.name), {}) for metric in metrics}
            others = dict.fromkeys(subject for column in columns.values() for subject in column)
            for subject in dict.fromkeys((*images, *others)):
                for metric, column in columns.items():
                    if subject in column:
                        value = column[subject]
                        numbered = enumerate(value) if isinstance(value, list) else [(-1, mean(value))]
                        for sample, number in numbered:
                            yield setting.model, setting.temperature, subject, sample, metric, number


def by_unit(values: Mapping[str, float], unit_of: Mapping[str, str]) -> dict[str, float]:
    """Return the means of the values of each group, as by ``mean_of_images``; the values if ``unit_of`` is empty."""
    if not unit_of:
        return dict(values)
    groups: dict[str, dict[str, float]] = {}
    for image, value in values.items():
        groups.setdefault(unit_of[image], {})[image] = value
    return {group: mean_of_images(of_group) for group, of_group in groups.items()}


def is_missing(value: Value | None) -> bool:
    """Return whether a value is missing, which NaN stands for."""
    return isinstance(value, float) and math.isnan(value)


def _numbers(value: Value | None) -> list[float]:
    return value if isinstance(value, list) else [mean(value)]


def mean(value: Value | None) -> float:
    """Return the mean over samples; NaN for None."""
    if value is None:
        return math.nan
    return _mean(value) if isinstance(value, list) else value


def is_close(
    value: ArrayLike, other: ArrayLike, metric: MetricInfo, tolerance: float | None = None
) -> NDArray[np.bool_]:
    """Return, for each of some values of a metric, whether it is equal to the other: the rule of all tables and tests.

    Equal values differ by at most ``tolerance`` of the larger or, near 0, by at most ``tolerance`` and a tenth of the
    last digit printed. By default, ``tolerance`` is TOLERANCE, or SET_TOLERANCE for a metric of all images together.
    NaN equals NaN. Closeness is not transitive: each pair is judged by itself.
    """
    relative = tolerance or (SET_TOLERANCE if metric.per == "set" else TOLERANCE)
    absolute = min(relative, 0.1 * 10.0**-metric.digits)
    value, other = np.asarray(value, np.float64), np.asarray(other, np.float64)
    largest = np.maximum(np.abs(value), np.abs(other))
    with np.errstate(invalid="ignore"):
        is_near = np.isfinite(largest) & (np.abs(value - other) <= np.maximum(relative * largest, absolute))
    close: NDArray[np.bool_] = is_near | (value == other) | (np.isnan(value) & np.isnan(other))
    return close


def agree(value: Value | None, other: Value | None, metric: MetricInfo, tolerance: float | None = None) -> bool:
    """Return whether two values of a subject are equal by ``is_close``, sample by sample."""
    if value == other:  # the usual case, decided without numpy
        return True
    if value is None or other is None:
        return False
    return np.shape(value) == np.shape(other) and bool(is_close(value, other, metric, tolerance).all())


def differences(values: ArrayLike, others: ArrayLike, metric: MetricInfo) -> NDArray[np.float64]:
    """Return finite values minus others, image by image; 0 where the two are equal by ``is_close``."""
    gaps = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    return np.where(is_close(values, others, metric), 0.0, gaps)


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
