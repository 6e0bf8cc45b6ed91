"""The plan of a command: the work that a run folder lacks, found without loading models or images.

A task is one image with all its settings, so that what a metric computes from the HR image serves all models; or, when
all images are done, a metric of many images or of a model.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import ClassVar, TypeVar

from srbench.benchmark.dataset import with_absolute_paths
from srbench.benchmark.opened import OpenedRequest
from srbench.data.datasets import has_hr, header_pixels
from srbench.images.io import header_size
from srbench.interfaces import MetricInfo, SRBenchError
from srbench.machine.processes import PIXELS
from srbench.metrics.loading import LoadedMetric, metric_digest, reopened
from srbench.models import LoadedModel, ModelInfo
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder, Subject
from srbench.run_folder.manifest import is_run, now
from srbench.run_folder.protocol import Invocation, Manifest, Setting
from srbench.run_folder.records import PairRecord, SampleRecord
from srbench.run_folder.requested import with_request

PROBED = 5
"""Number of images whose mean size is taken as the mean size of all."""
SAMPLED = 16
"""Number of outputs to measure that an output to sample counts as, because a network may take that much longer. A
process too many only costs its start, a process too few may cost much more."""
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
    def words(self) -> str:
        """The task in words: its image."""
        return self.image

    @property
    def size(self) -> int:
        """Number of items, at least 1."""
        return max(len(self.items), 1)

    @property
    def parts(self) -> int:
        """Number of parts: the pair, if it has to be read, and the items."""
        return (self.pair is None) + len(self.items)

    @property
    def rest(self) -> Task | None:
        """The task without its first part, which is done or has failed; nothing can be done without the pair."""
        return replace(self, items=self.items[1:]) if self.pair is not None and len(self.items) > 1 else None


@dataclass(frozen=True, slots=True)
class TaskOfMany:
    """A metric of a group of images, of all images or of a model, to measure for a setting."""

    setting: Setting
    metric: MetricInfo
    subject: Subject
    pairs: tuple[PairRecord, ...]
    """Records of the pairs of the subject's outputs."""
    size: ClassVar[int] = 0
    """It is no item."""
    parts: ClassVar[int] = 1
    rest: ClassVar[None] = None

    @property
    def words(self) -> str:
        """The task in words: ``FID of srflow τ=0.8``."""
        name = f" on {self.subject.name}" if self.subject.name else ""
        return f"{self.metric.title} of {self.setting.label}{name}"


AnyTask = Task | TaskOfMany


@dataclass(frozen=True)
class Plan:
    """What a command has to do in a run folder."""

    folder: RunFolder
    """The run folder, with the manifest that it will have, which is not on the disk yet."""
    metrics: tuple[MetricInfo, ...]
    """Metrics that can be measured of the outputs in the folder that lack a value."""
    loaded_metrics: Mapping[str, LoadedMetric]
    """Those that are loaded already, by name."""
    loaded_models: Mapping[str, LoadedModel]
    """Models that are loaded already, by label."""
    device: str
    """Device as requested, such as ``auto``."""
    request: OpenedRequest | None = None
    """None for a command that samples nothing."""

    @cached_property
    def tasks(self) -> list[Task]:
        """The images with work left."""
        return plan(self.folder, self.metrics, self.request)

    @property
    def size(self) -> int:
        """Number of items left."""
        return sum(task.size for task in self.tasks)

    @property
    def requested(self) -> int:
        """Number of items requested: by a command that samples nothing, all outputs in the folder."""
        if self.request is not None:
            return self.request.items
        return sum(len(self.folder.sampled(setting)) for setting in self.folder.manifest.settings)

    @property
    def images(self) -> int:
        """Number of images left as it counts for the number of processes, for which small images are fewer."""
        pixels = list(filter(None, (self.pixels(task.image) for task in probed(self.tasks))))
        if not pixels:
            return len(self.tasks)
        items = (item for task in self.tasks for item in task.items)
        outputs = sum(self.outputs(item) * (SAMPLED if item.key else 1) for item in items)
        return min(len(self.tasks), int(fmean(pixels) * outputs / PIXELS))

    @property
    def measured(self) -> list[MetricInfo]:
        """The metrics that this command measures: in a shard those of images. All others follow after merging."""
        is_shard = self.request is not None and self.request.spec.shard is not None
        return [metric for metric in self.metrics if metric.is_of_images or not is_shard]

    @property
    def metrics_of_many(self) -> list[MetricInfo]:
        """Those of them that are of many images, or of a model."""
        return [metric for metric in self.measured if not metric.is_of_images]

    @property
    def tasks_of_many(self) -> list[TaskOfMany]:
        """The values of ``metrics_of_many`` that the records in the folder lack now."""
        return plan_of_many(self.folder, self.measured)

    @cached_property
    def sampled(self) -> list[str]:
        """Labels of the models that sample."""
        return list({item.setting.model: None for task in self.tasks for item in task.items if item.key})

    def sampled_checkpoints(self, but: Collection[str] = ()) -> list[ModelInfo]:
        """Return the checkpoints that sample, except those of the labels ``but``."""
        models = self.folder.manifest.models
        return [model for model in models if model.checkpoint and model.label in set(self.sampled) - set(but)]

    def pixels(self, image: str) -> int | None:
        """Return the number of pixels of an output for an image, at most, from the header of a file;
        None if unknown.
        """
        protocol, dataset = self.folder.manifest.protocol, None if self.request is None else self.request.dataset
        pixels = None if dataset is None else header_pixels(dataset, image)
        if dataset is None or pixels is None:
            saved_lr, _ = self.folder.pair_files(image)
            return protocol.scale**2 * math.prod(header_size(saved_lr)) or None
        pixels *= 1 if has_hr(dataset) else protocol.scale**2
        return pixels if protocol.crop is None else min(pixels, protocol.crop**2)

    def outputs(self, item: Item) -> int:
        """Return the number of outputs of an item."""
        return self.folder.manifest.protocol.samples if item.setting.temperature is not None else 1

    def invocation(self, command: str) -> Invocation:
        """Return the record of the command, which begins now."""
        request = self.request
        return Invocation(
            command=command,
            settings=() if request is None else request.settings,
            images=() if request is None else request.images,
            metrics=tuple(metric.name for metric in self.measured),
            started=now(),
            finished=None,
            device=self.device,
            software={},
            hardware={},
            request=with_absolute_paths(request.with_every_model) if request and request.spec.names_data else None,
            checkpoints=tuple(label for label, model in request.models.items() if model.checkpoint) if request else (),
        )


def planned_run(request: OpenedRequest, path: Path) -> Plan:
    """Plan to sample and measure what a request names and its run folder lacks.

    Raises RunFolderError if the folder has outputs and another protocol, or another model or metric of the same name.
    """
    requested = request.manifest()
    folder = RunFolder.read(path) if is_run(path) else RunFolder(path, requested)
    try:
        folder.manifest = with_request(path, folder.manifest, requested)
    except RunFolderError:
        if folder.has_outputs:
            raise
        folder = RunFolder(path, with_request(path, requested, requested))  # everything failed in it: begin anew
    _require_one_source(folder, request)
    loaded = {metric.info.name: metric for metric in request.loaded_metrics}
    metrics = _measurable(folder.manifest, request.metrics, loaded)
    return Plan(folder, metrics, loaded, request.loaded_models, request.spec.device, request)


def planned_score(
    folder: RunFolder, added: Sequence[LoadedMetric], models: Mapping[str, LoadedModel], device: str
) -> Plan:
    """Plan to measure all outputs of a run with metrics added to it. Raises RunFolderError as ``planned_run``."""
    requested = tuple(metric.info for metric in added)
    folder.manifest = with_request(folder.path, folder.manifest, replace(folder.manifest, metrics=requested))
    loaded = {metric.info.name: metric for metric in added}
    return Plan(folder, _measurable(folder.manifest, requested, loaded), loaded, models, device)


def _require_one_source(folder: RunFolder, request: OpenedRequest) -> None:
    """Refuse precomputed results if the folder keeps results of the same label from other files."""
    requested = set(request.images)
    for setting in request.settings:
        if setting.model not in request.precomputed:
            continue
        for image in folder.manifest.planned(setting):
            record = None if image in requested else folder.sample(setting, image)
            if record is None or record.failed:
                continue
            try:
                same = request.source(setting.model, image) == record.source
            except SRBenchError:
                same = False
            if not same:
                raise RunFolderError(
                    f"{folder.path}: holds results of {setting.model} from other files, such as {image}; leave out "
                    "--limit and --shard, or give another label"
                )


def _measurable(
    manifest: Manifest, requested: Iterable[MetricInfo], loaded: dict[str, LoadedMetric]
) -> tuple[MetricInfo, ...]:
    """Return the requested metrics of a manifest, and those that can still be loaded and are unchanged.

    Metrics that have to be loaded to find out are added to ``loaded``, by name.
    """
    names = {metric.name for metric in requested}
    metrics = []
    for recorded in manifest.metrics:
        digest = recorded.digest if recorded.name in names else metric_digest(recorded.spec, manifest.protocol.quantize)
        if digest is None:
            try:
                metric = reopened(recorded, manifest.protocol.quantize, manifest.protocol.samples)
            except SRBenchError:
                continue  # a plug-in that is not installed: its values stay, but none are added
            loaded[recorded.name], digest = metric, metric.info.digest
        if digest == recorded.digest:
            metrics.append(recorded)
    return tuple(metrics)


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
