"""The plan of a run: what a folder lacks, image by image. Nothing is loaded to find out.

A task is one image with all its settings, so that whatever a metric computes from an HR image serves all models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from srbench.interfaces import MetricFacts, SRBenchError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import PairRecord, SampleRecord


@dataclass(frozen=True)
class RequestDigests:
    """What a command asks of a run folder, by digests."""

    settings: tuple[Setting, ...]
    images: tuple[str, ...]
    pair_key: Callable[[str], str]
    """Key of the pair of an image. Raises SRBenchError if its files cannot be read."""
    source: Callable[[str, str], str]
    """Digest of the result of a model, by label, for an image, if it was made elsewhere; else empty. Raises
    SRBenchError if it is missing."""
    again: tuple[str, ...] = ()
    """Labels of models whose outputs are made again."""


@dataclass(frozen=True, slots=True)
class Item:
    """A setting to be sampled and measured for an image, or a sampled one that lacks values."""

    setting: Setting
    key: str = ""
    """Key of the sample record to make; empty if only values are lacking."""
    source: str = ""
    """Digest of the files of results made elsewhere; empty for a model that computes."""
    fault: str = ""
    """Reason why it cannot be sampled: such a file is missing."""
    record: SampleRecord | None = None
    """Record that lacks values, or files."""
    metrics: Mapping[str, int] = field(default_factory=dict)
    """Names of the values that the record lacks, each with the number of attempts that failed before."""
    tries: int = 0
    """Number of attempts that failed before."""


@dataclass(frozen=True, slots=True)
class Task:
    """One image: what has to be read, sampled and measured."""

    image: str
    pair_key: str
    pair: PairRecord | None
    """Record of the pair in the folder; None if the pair has to be read."""
    items: tuple[Item, ...] = ()
    fault: str = ""
    """Reason why the pair cannot be read."""
    tries: int = 0
    """Number of attempts to read the pair that failed before."""

    @property
    def size(self) -> int:
        """Number of items, at least 1."""
        return max(len(self.items), 1)

    def parts(self) -> list[Task]:
        """The task in parts: its pair, if that has to be read, and each of its items."""
        pair = [] if self.pair is not None else [replace(self, items=())]
        return [*pair, *(replace(self, items=(item,)) for item in self.items)]


def plan(folder: RunFolder, metrics: Sequence[MetricFacts], request: RequestDigests | None = None) -> list[Task]:
    """Tasks that are left until everything requested is sampled, and every sample of the folder is measured.

    Args:
        folder: The run folder, with the manifest that it will have.
        metrics: Metrics that can be measured.
        request: The request; None: nothing is sampled, only measured.
    """
    asked = set() if request is None else set(request.images)
    tasks = [_task(folder, image, metrics, request if image in asked else None) for image in folder.manifest.images]
    return [task for task in tasks if task.fault or task.items or (task.pair is None and task.image in asked)]


def _task(folder: RunFolder, image: str, metrics: Sequence[MetricFacts], request: RequestDigests | None) -> Task:
    pair = folder.of(image).pair
    key = "" if pair is None else pair.key
    tries = pair.tries if pair is not None and pair.failed else 0
    sampled: list[Item] = []
    if request is not None:
        try:
            key = request.pair_key(image)
        except SRBenchError as error:
            return Task(image, "", None, fault=str(error), tries=tries)
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
        if names := lacking(folder, record, metrics):
            measured.append(Item(setting, record=record, metrics=names))
    return Task(image, key, pair, (*sampled, *measured), tries=tries)


def _samplings(
    folder: RunFolder, request: RequestDigests, image: str, pair_key: str, metrics: Sequence[MetricFacts]
) -> Iterator[Item]:
    """Items that have to be sampled: new ones, those that failed, and those whose files are lost."""
    for setting in request.settings:
        source = fault = ""
        try:
            source = request.source(setting.model, image)
        except SRBenchError as error:
            fault = str(error)
        key = folder.sample_key(setting, pair_key, source)
        record = folder.of(image).samples.get(setting)
        is_current = record is not None and record.key == key
        if record is None or not is_current or record.failed or fault or setting.model in request.again:
            tries = record.tries if record is not None and is_current and record.failed else 0
            yield Item(setting, key, source, fault, tries=tries)
        elif folder.lacks_outputs(record):
            yield Item(setting, key, source, record=record, metrics=lacking(folder, record, metrics))


def lacking(folder: RunFolder, record: SampleRecord, metrics: Sequence[MetricFacts]) -> dict[str, int]:
    """Names of the metrics of which a record has no value, each with the number of attempts that failed before."""
    scores = zip(metrics, folder.scores_of(record, metrics), strict=True)
    return {metric.name: score.tries if score else 0 for metric, score in scores if score is None or score.failed}
