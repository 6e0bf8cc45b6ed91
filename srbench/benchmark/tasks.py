"""Planning and doing what is left to do in a run folder, image by image.

A task is one image with all its settings, so that whatever a metric computes from an HR image serves all models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import dropwhile
from math import prod
from pathlib import Path

from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.benchmark.costs import Costs
from srbench.benchmark.request import Bench
from srbench.benchmark.sampling import (
    Item,
    failed_sample,
    keep_again,
    keep_pair,
    keep_sample,
    kept_outputs,
    kept_pair,
    read_pair,
    same_outputs,
    sample,
    source_of,
)
from srbench.benchmark.scoring import measure, measure_model, one_thread, score
from srbench.images.io import header_size, quantize
from srbench.interfaces import Dataset, ImagePair, Progress, SRBenchError, Step, silent
from srbench.models.inference import Output
from srbench.models.loading import LoadedModel, load_model
from srbench.plugins.registry import LoadedMetric
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import AnyRecord, PairRecord, SampleRecord, ScoreRecord, Value, digest


@dataclass(frozen=True, slots=True)
class Task:
    """One image: what has to be read, sampled and scored, in this order."""

    image: str
    pair_key: str
    fresh: bool
    """True if the folder lacks the pair, or holds another one."""
    items: tuple[Item, ...] = ()
    fault: str = ""
    """Reason why the pair cannot be read."""

    @property
    def size(self) -> int:
        """Number of items, at least 1."""
        return max(len(self.items), 1)

    def after(self, setting: Setting | None) -> tuple[Item, ...]:
        """The items from a setting on; all if there is no setting."""
        return tuple(dropwhile(lambda one: setting is not None and one.setting != setting, self.items))


def plan_tasks(folder: RunFolder, metrics: Sequence[LoadedMetric], bench: Bench | None = None) -> list[Task]:
    """Tasks left to do until all that ``bench`` asks for is sampled, and all of the folder scored."""
    asked = set() if bench is None else set(bench.images)
    tasks = [_task(folder, image, metrics, bench if image in asked else None) for image in folder.manifest.images]
    return [task for task in tasks if task.fault or task.fresh or task.items]


def _task(folder: RunFolder, image: str, metrics: Sequence[LoadedMetric], bench: Bench | None) -> Task:
    known = folder.of(image).pair
    fresh, key = False, "" if known is None else known.key
    items: tuple[Item, ...] = ()
    if bench is not None:
        try:
            key = bench.pair_key(image)
        except SRBenchError as error:
            return Task(image, "", fresh=True, fault=str(error))
        fresh = known is None or known.failed or known.key != key or folder.lacks_pair(image)
        items = tuple(_samplings(folder, bench, image, key))
    new = {one.setting for one in items}
    records = [folder.sample(one, image, key) for one in folder.manifest.settings if one not in new]
    sampled = [one for one in records if one is not None and not one.failed and lacking(folder, one, metrics)]
    return Task(image, key, fresh, (*items, *(Item(one.setting) for one in sampled)))


def _samplings(folder: RunFolder, bench: Bench, image: str, pair_key: str) -> Iterator[Item]:
    for setting in bench.settings:
        source, fault = "", ""
        try:
            source = source_of(bench.models[setting.model].model, image) if setting.model in bench.elsewhere else ""
        except SRBenchError as error:
            fault = str(error)
        key, record = folder.sample_key(setting, pair_key, source), folder.of(image).samples.get(setting)
        if fault or record is None or record.failed or record.key != key or folder.lacks_outputs(record):
            yield Item(setting, key, source, fault)


def lacking(folder: RunFolder, record: SampleRecord, metrics: Sequence[LoadedMetric]) -> list[LoadedMetric]:
    """The metrics of which a record has no value, or a failure in its place."""
    scores = zip(metrics, folder.scores_of(record, [metric.facts for metric in metrics]), strict=True)
    return [metric for metric, score in scores if score is None or score.failed]


def _failures(record: PairRecord | SampleRecord | None) -> int:
    return record.tries if record is not None and record.failed else 0


@dataclass
class Session:
    """One invocation at work on a run folder, which nobody else writes into."""

    folder: RunFolder
    metrics: Sequence[LoadedMetric]
    models: dict[str, LoadedModel]
    """Models by label. Others of the folder are loaded if something has to be sampled again."""
    dataset: Dataset | None
    device: str
    progress: Progress = silent
    invocation: int = 0
    """Index in the manifest."""
    total: int = 0
    done: int = 0
    costs: Costs = field(default_factory=Costs)
    """Time that the items have taken, from which the finished share of the work follows."""
    sampled: set[int] = field(default_factory=set)
    scored: set[int] = field(default_factory=set)
    """Hashes of the items that were sampled, and of the values that were measured."""
    failures: list[str] = field(default_factory=list)

    def do(self, task: Task) -> None:
        """Do a task; failures are recorded and named, and the rest is done."""
        before, pair = self.done, self._pair(task)
        if pair is not None:
            for item in task.items:
                self.begin(item.setting, task.image)
                if item.key:
                    self._sample(item, pair)
                else:
                    self._score(item.setting, pair)
                self.done += 1
        self.image_done(before + task.size)

    def rest(self, task: Task, begun: Setting | None) -> Task:
        """The rest of a task from a setting on; pairs and samples already kept are neither read nor sampled again."""
        known = self.folder.of(task.image)
        fresh = task.fresh and (known.pair is None or known.pair.failed or known.pair.key != task.pair_key)
        items = task.after(begun)
        record = None if begun is None else known.samples.get(begun)
        if begun and record and not record.failed and record.invocation == self.invocation:
            items = (Item(begun), *items[1:])
        return replace(task, fresh=fresh, items=items)

    def give_up(self, task: Task, setting: Setting | None, error: str, tries: int) -> None:
        """Record that a setting of a task failed so often, or its pair if there is no setting."""
        if setting is None:
            self._fail_pair(task, error, tries)
        elif item := next((one for one in task.items if one.setting == setting and one.key), None):
            self._fail_sample(item, task.image, error, tries)
        elif record := self.folder.sample(setting, task.image):

            def failed() -> Value:
                raise BenchmarkError(error)

            metrics = lacking(self.folder, record, self.metrics)
            self.folder.append(*(score(one.facts, record, failed, self.invocation, tries) for one in metrics))
            self.fail(f"{setting.folder}: {error}")

    def _pair(self, task: Task) -> ImagePair | None:
        """The pair of a task, from the folder or read and kept; None if it cannot be read."""
        try:
            if task.fault:
                raise BenchmarkError(task.fault)
            if not task.fresh and (pair := kept_pair(self.folder, task.image)) is not None:
                return pair
            if self.dataset is None or not (task.fresh or task.image in set(self.dataset)):
                raise BenchmarkError(
                    f"{task.image}: LR or HR is no longer in {self.folder.path}; run its command again, with the data"
                )
            pair = read_pair(self.dataset, task.image)
        except SRBenchError as error:
            self._fail_pair(task, str(error))
            return None
        keep_pair(self.folder, pair, task.pair_key, self.invocation, 1 + _failures(self.folder.of(task.image).pair))
        return pair

    def _fail_pair(self, task: Task, error: str, tries: int = 1) -> None:
        if task.fresh:
            tries += _failures(self.folder.of(task.image).pair)
            key = task.pair_key or digest("unreadable", task.image)
            here = self.folder.environment
            self.folder.append(PairRecord(key, task.image, self.invocation, tries, error, None, None, here))
        self.fail(error)

    def _sample(self, item: Item, pair: ImagePair) -> None:
        setting = item.setting
        try:
            if item.fault:
                raise BenchmarkError(item.fault)
            output = sample(self.folder, self.model(setting.model).model, pair, setting.temperature, self.device)
        except SRBenchError as error:
            self._fail_sample(item, pair.name, str(error))
            return
        before = self.folder.sample(setting, pair.name)
        if before is not None and not before.failed and before.source == item.source:
            again = quantize(output.images, self.folder.manifest.protocol.quantize)
            if same_outputs(before, again):  # only files were lost
                record = keep_again(self.folder, before, again, output, self.invocation)
                self.count(record)
                if metrics := lacking(self.folder, record, self.metrics):
                    self.score_images(record, pair, metrics, again, output.images)
                return
        self._keep_and_score(item, pair, output)

    def _sample_failures(self, item: Item, image: str) -> int:
        known = self.folder.of(image).samples.get(item.setting)
        return _failures(known) if known is not None and known.key == item.key else 0

    def _fail_sample(self, item: Item, image: str, error: str, tries: int = 1) -> None:
        tries += self._sample_failures(item, image)
        self.folder.append(failed_sample(item, image, error, self.invocation, tries, self.folder.environment))
        self.fail(f"{item.setting.folder}: {error}")

    def _keep_and_score(self, item: Item, pair: ImagePair, output: Output) -> None:
        tries = 1 + self._sample_failures(item, pair.name)
        record, images = keep_sample(self.folder, item, pair.name, output, self.invocation, tries)
        self.count(record)
        self.score_images(record, pair, self.metrics, images, output.images)

    def _score(self, setting: Setting, pair: ImagePair) -> None:
        """Measure what the record of a setting lacks, from its files if they were kept."""
        record = self.folder.sample(setting, pair.name)
        assert record is not None
        metrics = lacking(self.folder, record, self.metrics)
        images = None if any(one.facts.sees == "returned" for one in metrics) else kept_outputs(self.folder, record)
        if images is not None:
            self.score_images(record, pair, metrics, images, images)
            return
        try:
            model = self.model(setting.model).model
            if source_of(model, pair.name) != record.source:
                raise BenchmarkError(f"{pair.name}: its result files have changed; run its command again")
            output = sample(self.folder, model, pair, setting.temperature, self.device)
        except SRBenchError as error:
            self.fail(f"{setting.folder}: {error}")
            return
        again = quantize(output.images, self.folder.manifest.protocol.quantize)
        if same_outputs(record, again):
            self.score_images(record, pair, metrics, again, output.images)
        elif (facts := self.folder.manifest.model(setting.model)).evidence and facts.evidence.digest != facts.digest:
            self.fail(f"{setting.folder}: makes a different image of {pair.name} than before; run its command again")
        else:  # on another machine the last bit may differ: then all values are measured of the new images
            self._keep_and_score(Item(setting, record.key, record.source), pair, output)

    def score_images(
        self, record: SampleRecord, pair: ImagePair, metrics: Sequence[LoadedMetric], images: Tensor, exact: Tensor
    ) -> None:
        """Measure the outputs of a record (n, 3, H, W): ``images`` as uint8, ``exact`` as the model returned them."""
        lines = []
        for metric in metrics:
            before = self.folder.score(record, metric.facts)

            def measured(metric: LoadedMetric = metric) -> Value:
                if metric.facts.sees == "model":
                    return measure_model(metric, self.model(record.model).model, self.device, record)
                return measure(metric.metric, exact if metric.facts.sees == "returned" else images, pair)

            with one_thread() if self.device == "cpu" else nullcontext():
                tries = 1 if before is None else before.tries + 1
                line = score(metric.facts, record, measured, self.invocation, tries, self.folder.environment)
            lines.append(line)
            if line.failed:
                self.fail(f"{record.setting.folder}: {line.error}")
        self.count(*lines)
        self.folder.append(*lines)

    def model(self, label: str) -> LoadedModel:
        """A model of the folder, loaded if the command did not name it. Raises SRBenchError."""
        facts = self.folder.manifest.model(label)
        if label not in self.models:
            scale = self.folder.manifest.protocol.scale
            self.models[label] = load_model(facts.spec, scale, self.device, facts)
        if self.models[label].digest != facts.digest:
            path = self.folder.path
            raise BenchmarkError(f"the code or weights of {label} are not those in {path}; run its command again")
        return self.models[label]

    def plan(self, tasks: Sequence[Task]) -> None:
        """Count what the tasks consist of."""
        self.total = sum(task.size for task in tasks)
        items = [((item.setting, bool(item.key)), task.image) for task in tasks for item in task.items]
        files = {task.image: self._file(task.image) for task in tasks}
        self.costs = Costs(items, {name: prod(header_size(file)) or 1 for name, file in files.items() if file})

    def _file(self, image: str) -> Path | None:
        """A file of the pair of an image, whose size tells its cost; None if there is none."""
        names = getattr(getattr(self.dataset, "whole", self.dataset), "names", None)
        file = names.get(image) if isinstance(names, Mapping) else self.folder.pair_files(image)[0]
        return file if isinstance(file, Path) and file.is_file() else None

    def count(self, *lines: AnyRecord) -> None:
        """Count what was sampled and measured; what is made twice, after the loss of a process, counts once."""
        for line in lines:
            self.costs.add(line)
        samples = [line for line in lines if isinstance(line, SampleRecord) and not line.failed]
        scores = [line for line in lines if isinstance(line, ScoreRecord)]
        self.sampled |= {hash((one.setting, one.image)) for one in samples}
        self.scored |= {hash((one.key, one.image, one.model, one.metric)) for one in scores}

    def image_done(self, done: int) -> None:
        """Note how many items are done after an image."""
        self.done = done
        self.costs.is_known = True

    @property
    def share(self) -> float:
        """Finished share of the work."""
        return self.costs.share(self.done / max(self.total, 1))

    def begin(self, setting: Setting, image: str) -> None:
        """Tell which setting and image come next."""
        self.costs.begin(setting, image)
        self.progress(Step(self.done, self.total, f"{setting.folder} {image}", share=self.share))

    def fail(self, fault: str) -> None:
        """Tell what has failed, in one line."""
        self.failures.append(fault)
        self.progress(Step(self.done, self.total, "", fault, self.share))
