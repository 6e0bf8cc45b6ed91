"""The plan of a run: the work that a run folder lacks, found without loading models or images.

A task is one image with all its settings, so that what a metric computes from the HR image serves all models; or, when
all images are done, a metric of many images or of a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeVar

from srbench.benchmark.opened import OpenedRequest
from srbench.interfaces import MetricInfo, SRBenchError
from srbench.run_folder.folder import RunFolder, Subject
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import PairRecord, SampleRecord

PROBED = 5
"""Number of images whose mean size is taken as the mean size of all."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Item:
    """A setting to sample and measure for an image, or a sampled setting whose values are incomplete."""

    setting: Setting
    key: str = ""
    """Key of the sample record to make; empty if only values are missing."""
    source: str = ""
    """Digest of the files of a precomputed result; empty for a model that runs."""
    fault: str = ""
    """Why the item cannot be sampled: a precomputed result is missing."""
    record: SampleRecord | None = None
    """Existing record whose values or files are incomplete."""
    metrics: tuple[str, ...] = ()
    """Names of the metrics without a value in the record."""


@dataclass(frozen=True, slots=True)
class Task:
    """The work for one image: read the pair if necessary, sample, measure."""

    image: str
    pair_key: str
    pair: PairRecord | None
    """Record of the pair in the folder; None if the pair has to be read."""
    items: tuple[Item, ...] = ()
    fault: str = ""
    """Why the pair cannot be read."""
    was_read: bool = False
    """True if the folder has a pair that was read: if it cannot be read again, no record may replace that one."""

    @property
    def size(self) -> int:
        """Number of items, at least 1."""
        return max(len(self.items), 1)

    def parts(self) -> list[Task]:
        """Split the task into its pair, if that has to be read, and its single items."""
        pair = [] if self.pair is not None else [replace(self, items=())]
        return [*pair, *(replace(self, items=(item,)) for item in self.items)]


@dataclass(frozen=True, slots=True)
class TaskOfMany:
    """A metric of a group of images, of all images or of a model, to measure for a setting."""

    setting: Setting
    metric: MetricInfo
    subject: Subject
    pairs: tuple[PairRecord, ...]
    """Records of the pairs of the subject's outputs."""

    @property
    def words(self) -> str:
        """The task in words: ``FID of srflow τ=0.8``."""
        name = f" on {self.subject.name}" if self.subject.name else ""
        return f"{self.metric.title} of {self.setting.label}{name}"


def probed(items: Sequence[_T]) -> Sequence[_T]:
    """Return about PROBED of some images or tasks, spread evenly over them."""
    return items[:: max(len(items) // PROBED, 1)]


def plan(folder: RunFolder, metrics: Sequence[MetricInfo], request: OpenedRequest | None = None) -> list[Task]:
    """Return the tasks left until the request is sampled and every sample in the folder is measured.

    Args:
        folder: The run folder, with the manifest that it will have.
        metrics: Metrics that can be measured; ``plan_of_many`` plans those that are not of images.
        request: The request; None: measure only, sample nothing.
    """
    metrics = [metric for metric in metrics if metric.is_of_images]
    requested = set() if request is None else set(request.images)
    tasks = [_task(folder, image, metrics, request if image in requested else None) for image in folder.manifest.images]
    return [task for task in tasks if task.fault or task.items or (task.pair is None and task.image in requested)]


def _task(folder: RunFolder, image: str, metrics: Sequence[MetricInfo], request: OpenedRequest | None) -> Task:
    pair = folder.of(image).pair
    key = "" if pair is None else pair.key
    was_read = pair is not None and not pair.failed
    sampled: list[Item] = []
    if request is not None:
        try:
            key = request.pair_key(image)
        except SRBenchError as error:
            return Task(image, "", None, fault=str(error), was_read=was_read)
        if pair is not None and (pair.key != key or folder.pair(image) is None):
            pair = None
        sampled = list(_samplings(folder, request, image, key, metrics))
    elif pair is not None and pair.failed:
        return Task(image, key, pair)
    measured = []
    for setting in folder.manifest.settings:
        record = folder.sample(setting, image, key)
        if record is None or record.failed or any(item.setting == setting for item in sampled):
            continue
        if names := missing_values(folder, record, metrics):
            measured.append(Item(setting, record=record, metrics=names))
    return Task(image, key, pair, (*sampled, *measured), was_read=was_read)


def _samplings(
    folder: RunFolder, request: OpenedRequest, image: str, pair_key: str, metrics: Sequence[MetricInfo]
) -> Iterator[Item]:
    """Yield the items to sample: items that are new, failed before or have lost their files."""
    for setting in request.settings:
        source = fault = ""
        try:
            source = request.source(setting.model, image)
        except SRBenchError as error:
            fault = str(error)
        key = folder.sample_key(setting, pair_key, source)
        record = folder.of(image).samples.get(setting)
        if record is None or record.key != key or record.failed or fault or setting.model in request.spec.again:
            yield Item(setting, key, source, fault)
        elif folder.lacks_outputs(record):
            yield Item(setting, key, source, record=record, metrics=missing_values(folder, record, metrics))


def missing_values(folder: RunFolder, record: SampleRecord, metrics: Sequence[MetricInfo]) -> tuple[str, ...]:
    """Return the names of the metrics without a value in a record."""
    scores = zip(metrics, folder.scores_of(record, metrics), strict=True)
    return tuple(metric.name for metric, score in scores if score is None or score.failed)


def plan_of_many(folder: RunFolder, metrics: Sequence[MetricInfo]) -> list[TaskOfMany]:
    """Return the metrics of many images and of models without a value for the present images, setting by setting."""
    tasks = []
    of_many = [metric for metric in metrics if not metric.is_of_images]
    for setting, metric in product(folder.manifest.settings, of_many):
        for subject, score in folder.scores_of_many(setting, metric):
            if score is None or score.failed:
                pairs = (folder.of(sample.image).pair for sample in subject.samples)
                tasks.append(TaskOfMany(setting, metric, subject, tuple(filter(None, pairs))))
    return sorted(tasks, key=lambda task: (folder.manifest.settings.index(task.setting), task.subject.name))
