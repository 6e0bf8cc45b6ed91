"""The current measurements of a run folder: the outputs of every setting on every image, with their values; failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from srbench.interfaces import MetricInfo
from srbench.run_folder import NothingMeasuredError, RunFolderError
from srbench.run_folder.folder import RunFolder, folder_key
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value
from srbench.run_folder.values import Values, mean


@dataclass(frozen=True)
class Measurement:
    """A model at one temperature on one image: its samples and their values."""

    sample: SampleRecord
    setting: Setting
    """Line of the table. In a table of several runs, its label may differ from the record's."""
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
    """Return the measurement of a successful record. Raises RunFolderError if a metric lacks a value for some sample."""
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
    return Measurement(sample, sample.setting, values, sum(score.seconds for score in scores), made_by, measured_in)


def values_of(
    measurements: Iterable[Measurement],
    of_folders: Mapping[Setting, Mapping[str, float]],
    unit_of: Mapping[str, str] = MappingProxyType({}),
) -> Values:
    """Return the values of measurements, setting by setting; ``of_folders`` and ``unit_of`` as in ``Values``."""
    by_setting: dict[Setting, dict[str, dict[str, Value]]] = {}
    for measurement in measurements:
        by_setting.setdefault(measurement.setting, {})[measurement.image] = measurement.values
    return Values(by_setting, of_folders, unit_of)


def folder_values(
    measurements: Iterable[Measurement],
    metrics: Sequence[MetricInfo],
    scores: Mapping[tuple[str, Setting], ScoreRecord],
    hr_pixels: Callable[[str], str],
) -> dict[Setting, dict[str, float]]:
    """Return the values of metrics of all images together that were computed from exactly the images measured.

    A value that is missing is NaN. ``scores`` are records by key and setting; ``hr_pixels`` maps an image to the SHA-256
    of its HR pixels.
    """
    samples: dict[Setting, list[SampleRecord]] = {}
    for measurement in measurements if metrics else ():
        samples.setdefault(measurement.setting, []).append(measurement.sample)
    values: dict[Setting, dict[str, float]] = {setting: {} for setting in samples}
    for setting, metric in product(samples, metrics):
        of_setting = samples[setting]
        score = scores.get((folder_key(metric, of_setting, hr_pixels), of_setting[0].setting))
        values[setting][metric.name] = mean(None if score is None else score.value)
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
            elif any(score.failed for score in current.scores.values()) and folder.sample(setting, image) is sample:
                faults += [f"{label(setting)}: {score.error}" for score in folder.scores(sample) if score.failed]
    for setting, metric in product(folder.manifest.settings, folder.manifest.folder_metrics):
        folder_score = folder.folder_score(setting, metric)
        if folder_score is not None and folder_score.failed:
            faults.append(f"{label(setting)}: {folder_score.error}")
    return list(dict.fromkeys(faults))
