"""The worker: does a task, identically in every process of every engine, and returns results for the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from srbench.benchmark import BenchmarkError
from srbench.benchmark.dataset import open_dataset
from srbench.benchmark.plan import AnyTask, Item, Task, TaskOfMany
from srbench.benchmark.sampler import Sampler, outliers, read_pair, source_of
from srbench.files.hashes import sha256_bytes
from srbench.images.io import encode_png, pixels_sha256, quantize, quantize_floor
from srbench.interfaces import (
    Dataset,
    ImageMetric,
    ImagePair,
    Model,
    ModelMetric,
    ModelPairMetric,
    SetMetric,
    SRBenchError,
)
from srbench.machine.environment import environment
from srbench.machine.workers import WorkerDied
from srbench.metrics.loading import LoadedMetric, reopened
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.kept_images import kept_outputs, kept_pair, same_outputs
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import (
    EnvironmentRecord,
    ImageDigest,
    Line,
    PairRecord,
    SampleRecord,
    ScoreRecord,
    digest,
)
from srbench.run_folder.request import RunSpec

if TYPE_CHECKING:
    from torch import Tensor

    from srbench.benchmark.scorer import SavedSets, Scored, Scorer

Files = list[tuple[Path, bytes]]
"""Contents of image files, each with its path in the run folder."""


@dataclass(frozen=True)
class TaskResult:
    """Results of the first parts of a task: records, image files and failures."""

    lines: tuple[Line, ...] = ()
    files: tuple[tuple[Path, bytes], ...] = ()
    faults: tuple[str, ...] = ()
    """One line per failure."""
    left: Task | None = None
    """What is left of the task after it."""

    @classmethod
    def joined(cls, results: Iterable[TaskResult]) -> TaskResult:
        """Join the results of successive parts of a task."""
        whole = list(results)
        return cls(
            tuple(line for result in whole for line in result.lines),
            tuple(file for result in whole for file in result.files),
            tuple(fault for result in whole for fault in result.faults),
            whole[-1].left,
        )


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker works with. It can be sent to another process if all that it holds can be pickled."""

    folder: Path
    """The run folder."""
    sampler: Sampler
    metrics: Callable[[], Sequence[LoadedMetric]]
    """Opens the metrics that the worker measures, in its process."""
    data: RunSpec | Dataset | None
    """The dataset of the pairs, or the request that names it; None if all pairs are saved."""
    invocation: int = 0
    """Index of the command in the manifest."""


def open_worker(setup: WorkerSetup) -> Worker:
    """Open a worker. Its models are loaded on first use. Raises SRBenchError for a dataset or metric that is gone."""
    from srbench.benchmark.scorer import Scorer  # imports torch
    from srbench.models.inference import choose_device

    sampler = setup.sampler
    sampler.device = choose_device(sampler.device)
    return Worker(
        RunFolder(setup.folder, sampler.manifest),
        sampler,
        Scorer(setup.metrics(), sampler.device),
        open_dataset(setup.data) if isinstance(setup.data, RunSpec) else setup.data,
        setup.invocation,
    )


def reopened_metrics(manifest: Manifest, names: Sequence[str]) -> list[LoadedMetric]:
    """Open metrics of a run again. Raises SRBenchError if one cannot be loaded, or its code has changed."""
    protocol, metrics = manifest.protocol, []
    for recorded in map(manifest.metric, names):
        metric = reopened(recorded, protocol.quantize, protocol.samples)
        if metric.info.digest != recorded.digest:
            raise BenchmarkError(f"{recorded.title}: its code changed during the run; run the same command again")
        metrics.append(metric)
    return metrics


@dataclass(frozen=True)
class Worker:
    """A sampler, a scorer and a dataset that work for one command on a run folder."""

    folder: RunFolder
    """The run folder, from which saved images are read. Its records are ignored: tasks carry those they need."""
    sampler: Sampler
    scorer: Scorer
    dataset: Dataset | None
    """Dataset of the pairs; None if all pairs are saved."""
    invocation: int
    """Index of the command in the manifest."""
    begin: Callable[[str], None] = field(default=lambda item: None)
    """Called before an item is sampled or measured, with its words such as ``srflow-t0.8 dog``."""
    _last: dict[PairRecord, ImagePair] = field(default_factory=dict)
    """The pair of the last part, unless its task is done: the next part of the task shares it, with its features."""

    @cached_property
    def environment(self) -> EnvironmentRecord:
        """Record of this process: device, processor, threads, versions."""
        return EnvironmentRecord.of(environment(self.sampler.device))

    def _sampled_in(self, label: str) -> EnvironmentRecord:
        """Return the record of this process and of the library that computes a model, if it is not torch."""
        library = self.sampler.model(label).environment
        return EnvironmentRecord.of(self.environment.facts | library) if library else self.environment

    def do(self, task: AnyTask) -> Iterator[TaskResult]:
        """Do a task part by part."""
        left: AnyTask | None = task
        while left is not None:
            result = self.do_part(left)
            yield result
            left = result.left

    def do_for(self, seconds: float, task: AnyTask) -> TaskResult:
        """Do the first parts of a task, at least one, until they have taken some seconds."""
        end = time.monotonic() + seconds
        made = []
        for result in self.do(task):
            made.append(result)
            if time.monotonic() >= end:
                break
        return TaskResult.joined(made)

    def do_part(self, task: AnyTask) -> TaskResult:
        """Do the first part of a task: read the pair unless the folder has it, else sample and measure the first item.

        The result states what is left. A metric of many images is a single part.
        """
        if isinstance(task, TaskOfMany):
            self.begin(task.words)
            return self._measure_many(task)
        read = TaskResult()
        try:
            if task.fault:
                raise BenchmarkError(task.fault)
            pair = self._pair(task)
            if pair is None:
                pair = self._read(task)
                read = self._kept(task, pair)
        except SRBenchError as error:
            return self.failed_pair(task, str(error))
        if task.pair is None:
            return read
        item = task.items[0]
        self.begin(f"{item.setting.folder} {task.image}")
        result = self._sample(item, pair, task.pair) if item.key else self._score(item, pair)
        if task.rest is None:
            self._last.clear()
        return replace(TaskResult.joined([read, result]), left=task.rest)

    def failed_part(self, task: AnyTask, death: WorkerDied) -> TaskResult:
        """Return the records of a task whose first part killed the processes that worked on it."""
        if isinstance(task, TaskOfMany):
            return self._scored_many(task, None, str(death), 0.0)
        error = f"{task.image}: {death}; if memory is short, use fewer --workers"
        if task.pair is None:
            return self.failed_pair(task, error)
        return replace(self.failed_item(task.items[0], task.image, error), left=task.rest)

    def failed_pair(self, task: Task, error: str) -> TaskResult:
        """Return the record of a pair that could not be read.

        A pair that was read before keeps its record, so that its values stay in the table; its missing values failed.
        """
        environment = self.environment
        if task.was_read:
            scores = (score for item in task.items for score in self._failed_scores(item, error))
            return TaskResult((environment, *scores), faults=(error,))
        key = task.pair_key or digest("unreadable", task.image)
        record = PairRecord(key, self.invocation, error, task.image, None, None, environment.key)
        return TaskResult((environment, record), faults=(error,))

    def failed_item(self, item: Item, image: str, error: str) -> TaskResult:
        """Return the records of an item that failed.

        An item that could not be sampled gets a sample record; an item that could not be measured gets a score record
        for each missing value.
        """
        fault = f"{item.setting.folder}: {error}"
        environment = self.environment
        if item.key:
            record = self._record(item.key, item, image)
            return TaskResult((environment, structs.replace(record, error=error)), faults=(fault,))
        return TaskResult((environment, *self._failed_scores(item, error)), faults=(fault,))

    def _failed_scores(self, item: Item, error: str) -> list[ScoreRecord]:
        """Return a record for each value that an item with a sample record lacks."""
        metrics = (metric.info for metric in self.scorer.metrics if metric.info.name in item.metrics)
        return [self._score_of(item.record, (metric, None, error, 0.0)) for metric in metrics if item.record]

    def _pair(self, task: Task) -> ImagePair | None:
        """Return the pair of a task as the run folder has it; read once for successive parts.
        None if it has to be read.
        """
        if task.pair is None:
            return None
        if task.pair not in self._last:
            folder = RunFolder(self.folder.path, self.folder.manifest)
            folder.take([task.pair])
            pair = kept_pair(folder, task.image)
            if pair is None:
                return None
            self._remember(task.pair, pair)
        return self._last[task.pair]

    def _remember(self, record: PairRecord, pair: ImagePair) -> None:
        self._last.clear()
        self._last[record] = pair

    def _read(self, task: Task) -> ImagePair:
        """Read a pair from the dataset. Raises SRBenchError."""
        if self.dataset is None or (task.pair is not None and task.image not in set(self.dataset)):
            raise BenchmarkError(
                f"{task.image}: LR or HR is no longer in the run folder; run its command again, with the data"
            )
        return read_pair(self.dataset, task.image)

    def _kept(self, task: Task, pair: ImagePair) -> TaskResult:
        """Return the record and image files of a pair, after which the items of the task are left.

        Raises BenchmarkError if the record of an earlier command, whose files were lost, has other pixels.
        """
        files: Files = []
        lr_file, hr_file = self.folder.pair_files(task.image)
        lr = self._keep(quantize_floor(pair.lr), lr_file, files)
        hr = self._keep(quantize_floor(pair.hr), hr_file, files) if pair.has_hr else None
        if task.pair is not None and _pixels(lr, hr) != _pixels(task.pair.lr, task.pair.hr):
            raise BenchmarkError(
                f"{task.image}: LR or HR is no longer in the run folder, and has changed in the data; repeat the "
                "command without --limit or --shard, which samples the image again"
            )
        environment = self.environment
        record = PairRecord(
            task.pair_key, self.invocation, "", task.image, lr, hr, environment.key, pair.uncropped, pair.source_sha256
        )
        left = replace(task, pair=record) if task.items else None
        if left is not None:
            self._remember(record, pair)
        return TaskResult((environment, record), tuple(files), left=left)

    def _sample(self, item: Item, pair: ImagePair, recorded: PairRecord | None) -> TaskResult:
        """Sample an item and measure it."""
        try:
            if item.fault:
                raise BenchmarkError(item.fault)
            outputs, seconds, memory = self._outputs(item, pair)
        except SRBenchError as error:
            return self.failed_item(item, pair.name, str(error))
        images = quantize(outputs, self.folder.manifest.protocol.quantize)
        if item.record is not None and same_outputs(item.record, images):  # same pixels: only files were lost
            environment = self._sampled_in(item.setting.model)
            record = structs.replace(item.record, invocation=self.invocation, environment=environment.key)
            return self._made(record, item.metrics, pair, images, outputs)
        record = self._record(item.key, item, pair.name)
        record = structs.replace(
            record,
            source=item.source,
            error="",
            outputs=tuple(ImageDigest(pixels_sha256(image), None) for image in images),
            seconds=round(seconds, 4),
            peak_memory_mb=None if memory is None else round(memory, 1),
            outliers=outliers(outputs),
            environment=self._sampled_in(item.setting.model).key,
            in_training=self.sampler.model(item.setting.model).was_trained_on(
                recorded.whole_pixels if recorded else None
            ),
        )
        return self._made(record, self._all_metrics, pair, images, outputs)

    def _score(self, item: Item, pair: ImagePair) -> TaskResult:
        """Measure the missing values of a sampled item: from its files if they suffice, else by sampling again."""
        record = item.record
        assert record is not None
        lacking = [metric.metric for metric in self.scorer.metrics if metric.info.name in item.metrics]
        needs_model = any(
            isinstance(metric, ModelPairMetric) or (isinstance(metric, ImageMetric) and metric.sees == "returned")
            for metric in lacking
        )
        images = None if needs_model else kept_outputs(self.folder, record)
        if images is not None:
            return self._measured(record, item.metrics, pair, images, images)
        try:
            if source_of(self.sampler.model(record.model).model, pair.name) != record.source:
                raise BenchmarkError(f"{pair.name}: its result files have changed; run its command again")
            outputs, _, _ = self._outputs(item, pair)
        except SRBenchError as error:
            return TaskResult(faults=(f"{item.setting.folder}: {error}",))
        images = quantize(outputs, self.folder.manifest.protocol.quantize)
        if same_outputs(record, images):
            return self._measured(record, item.metrics, pair, images, outputs)
        # On another machine rounding may differ; then the new images replace the old, and all metrics are measured.
        record = structs.replace(
            record,
            invocation=self.invocation,
            environment=self._sampled_in(record.model).key,
            outputs=tuple(ImageDigest(pixels_sha256(image), None) for image in images),
            outliers=outliers(outputs),
        )
        return self._made(record, self._all_metrics, pair, images, outputs)

    def _outputs(self, item: Item, pair: ImagePair) -> tuple[Tensor, float, float | None]:
        """Return outputs (n, 3, H, W) of a setting, seconds and peak memory in MB. Raises SRBenchError."""
        model = self.sampler.model(item.setting.model).model
        output = self.sampler.sample(model, pair, item.setting.temperature)
        return output.images, output.seconds, output.peak_memory_mb

    def _made(
        self,
        record: SampleRecord,
        names: Collection[str],
        pair: ImagePair,
        images: Tensor,
        exact: Tensor,
    ) -> TaskResult:
        """Return the record and values of outputs, and as many image files as the protocol saves."""
        files: Files = []
        paths = self.folder.output_files(record, self.folder.manifest.protocol.kept)
        kept = [self._keep(image, path, files) for image, path in zip(images, paths, strict=False)]
        record = structs.replace(record, outputs=(*kept, *record.outputs[len(kept) :]))
        values = self._measured(record, names, pair, images, exact)
        environment, *scores = values.lines
        return TaskResult((environment, self._sampled_in(record.model), record, *scores), tuple(files), values.faults)

    def _measured(
        self, record: SampleRecord, names: Collection[str], pair: ImagePair, images: Tensor, exact: Tensor
    ) -> TaskResult:
        """Measure the metrics ``names``, and return their records."""

        def model() -> Model:
            return self.sampler.model(record.model).model

        environment = self.environment
        scores, faults = [], []
        for scored in self.scorer.score(record.setting, pair, images, exact, names, model):
            scores.append(self._score_of(record, scored))
            if error := scores[-1].error:
                faults.append(f"{record.setting.folder}: {error}")
        return TaskResult((environment, *scores), faults=tuple(faults))

    def _measure_many(self, task: TaskOfMany) -> TaskResult:
        """Measure a metric of many images, from their saved outputs, or of a model."""
        from srbench.benchmark.scorer import measure_model, measure_set

        [metric] = [metric.metric for metric in self.scorer.metrics if metric.info.name == task.metric.name]
        start, value, error = time.perf_counter(), None, ""
        try:
            if isinstance(metric, SetMetric):
                self._sets.folder.take(task.pairs)
                value = measure_set(metric, self._sets.of(task.subject.samples, metric))
            elif isinstance(metric, ModelMetric):
                model = self.sampler.model(task.setting.model).model
                value = measure_model(metric, model, task.setting.temperature, self.sampler.device)
        except SRBenchError as fault:
            error = f"{task.metric.title}: {fault}"
        return self._scored_many(task, value, error, time.perf_counter() - start)

    def _scored_many(self, task: TaskOfMany, value: float | None, error: str, seconds: float) -> TaskResult:
        scored = task.metric, value, error, seconds
        score = self._score_record(task.subject.name, task.subject.key, task.setting, scored)
        return TaskResult((self.environment, score), faults=(f"{task.setting.folder}: {error}",) if error else ())

    @cached_property
    def _sets(self) -> SavedSets:
        from srbench.benchmark.scorer import SavedSets

        return SavedSets(RunFolder(self.folder.path, self.folder.manifest), self.sampler.device)

    def _score_of(self, record: SampleRecord, scored: Scored) -> ScoreRecord:
        """Return the record of a value of an image."""
        return self._score_record(record.image, score_key(record, scored[0]), record.setting, scored, record.key)

    def _score_record(self, subject: str, key: str, setting: Setting, scored: Scored, sample: str = "") -> ScoreRecord:
        metric, value, error, seconds = scored
        return ScoreRecord(
            key=key,
            invocation=self.invocation,
            error=error,
            subject=subject,
            model=setting.model,
            temperature=setting.temperature,
            metric=metric.name,
            signature=metric.signature,
            value=value,
            sample=sample,
            seconds=round(seconds, 4),
            environment=self.environment.key,
        )

    @cached_property
    def _all_metrics(self) -> frozenset[str]:
        return frozenset(metric.info.name for metric in self.scorer.metrics if metric.info.is_of_images)

    def _record(self, key: str, item: Item, image: str) -> SampleRecord:
        """Return a sample record without outputs."""
        return SampleRecord(
            key=key,
            image=image,
            invocation=self.invocation,
            error="not sampled",
            model=item.setting.model,
            temperature=item.setting.temperature,
            source="",
            outputs=(),
            seconds=0.0,
            peak_memory_mb=None,
            environment=self.environment.key,
        )

    def _keep(self, image: Tensor, path: Path, files: Files) -> ImageDigest:
        """Encode an image (3, H, W) uint8, add it to ``files`` and return its digest."""
        content = encode_png(image)
        files.append((path.relative_to(self.folder.path), content))
        return ImageDigest(pixels_sha256(image), sha256_bytes(content))


def _pixels(*images: ImageDigest | None) -> list[str | None]:
    return [None if image is None else image.pixels for image in images]
