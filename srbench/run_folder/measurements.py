"""The current measurements of a run folder: the outputs of every setting on every image,
with their values; failures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from srbench.interfaces import MetricInfo
from srbench.run_folder import NothingMeasuredError, RunFolderError
from srbench.run_folder.folder import RunFolder, subjects
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value
from srbench.run_folder.values import Values


@dataclass(frozen=True)
class Measurement:
    """A model at one temperature on one image: its samples and their values."""

    sample: SampleRecord
    setting: Setting
    """Line of the table. In a table of several runs, its label may differ from the record's."""
    values: dict[str, Value | None]
    """Values by metric: one number per sample, or one number for all samples; None for a metric that does not apply."""
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


def measurements_of(folder: RunFolder) -> list[Measurement]:
    """Return the measurements of all current outputs of a run folder, setting by setting in the order of the manifest.

    Missing and failed values are left out, as are values of precomputed results whose signature states a different
    number of samples than they have. Raises NothingMeasuredError if there are none.
    """
    measurements = [
        _measurement(folder, sample) for setting in folder.manifest.settings for sample in folder.sampled(setting)
    ]
    if not measurements:
        raise NothingMeasuredError(f"{folder.path}: nothing is measured yet; run its command again")
    return measurements


def _measurement(folder: RunFolder, sample: SampleRecord) -> Measurement:
    """Return the measurement of a successful record. Raises RunFolderError if a metric lacks a value
    for some sample.
    """
    scores = folder.scores_on(sample)
    values = {score.metric: score.value for score in scores if not score.failed}
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
    return Measurement(sample, sample.setting, values, sum(score.seconds for score in scores), made_by, measured_in)


OfMany = Callable[[MetricInfo, Sequence[Measurement]], dict[str, Value | None]]
"""Maps a metric of groups, of all images or of the model, and the measurements of a setting,
to its values by subject."""


def values_of(
    measurements: Iterable[Measurement],
    metrics: Sequence[MetricInfo],
    of_many: OfMany,
    unit_of: Mapping[str, str] = MappingProxyType({}),
    ungrouped: Mapping[str, str] = MappingProxyType({}),
) -> Values:
    """Return the values of measurements, setting by setting; ``unit_of`` and ``ungrouped`` as in ``Values``."""
    by_setting: dict[Setting, list[Measurement]] = {}
    for measurement in measurements:
        by_setting.setdefault(measurement.setting, []).append(measurement)
    values: dict[tuple[Setting, str], dict[str, Value | None]] = {}
    for (setting, own), metric in product(by_setting.items(), metrics):
        values[setting, metric.name] = (
            {each.image: each.values.get(metric.name, math.nan) for each in own}
            if metric.is_of_images
            else of_many(metric, own)
        )
    images = {setting: tuple(each.image for each in own) for setting, own in by_setting.items()}
    return Values(values, images, unit_of, ungrouped)


def recorded_of_many(folder: RunFolder, metric: MetricInfo, samples: Sequence[SampleRecord]) -> dict[str, Value | None]:
    """Return the recorded values of a metric of many images, such as FID, by subject, given the outputs of a setting.

    A value counts only if it was computed from exactly these outputs; it is NaN if there is none.
    """
    setting = samples[0].setting
    model = folder.manifest.model(setting.model).digest
    values: dict[str, Value | None] = {}
    for subject in subjects(metric, model, samples, folder.manifest.groups, folder.hr_pixels):
        score = folder.scores.get(subject.name, {}).get((subject.key, setting, metric.name))
        values[subject.name] = math.nan if score is None or score.failed else score.value
    return values


def is_of_samples(metric: MetricInfo, samples: int) -> bool:
    """Return whether a metric computes one value from ``samples`` samples, according to its signature."""
    return metric.signature.endswith(f"|n{samples}")


def failures_of(folder: RunFolder, label: Callable[[Setting], str]) -> list[str]:
    """Return one line for each pair, item or value whose last attempt failed; ``label`` names a setting."""
    faults = []
    for image, current in folder.by_image.items():
        if current.pair is not None and current.pair.failed:
            faults.append(current.pair.error)
        for setting, sample in current.samples.items():
            if sample.failed:
                faults.append(f"{label(setting)}: {sample.error}")
            elif folder.sample(setting, image) is sample:
                faults += [f"{label(setting)}: {score.error}" for score in folder.scores_on(sample) if score.failed]
    for setting, metric in product(folder.manifest.settings, folder.manifest.of_many):
        of_many = [score for _, score in folder.scores_of_many(setting, metric) if score is not None]
        faults += [f"{label(setting)}: {score.error}" for score in of_many if score.failed]
    return list(dict.fromkeys(faults))
