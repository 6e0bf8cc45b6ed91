"""``srbench run`` and ``srbench score``: do the work that a run folder lacks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from srbench.benchmark.bench import Bench, open_bench, without_hr, without_samples
from srbench.benchmark.dataset import with_absolute_paths
from srbench.benchmark.engines import Engine, Opening, WorkerCount, choose_engine
from srbench.benchmark.outcome import Outcome
from srbench.benchmark.plan import Task, plan
from srbench.benchmark.sampler import Sampler, source_of
from srbench.benchmark.scorer import Scorer
from srbench.benchmark.work import TaskResult, Worker
from srbench.interfaces import Dataset, SRBenchError
from srbench.machine.facts import software
from srbench.machine.workers import WorkerDied
from srbench.metrics.loading import LoadedMetric, image_and_folder_metrics, reopened
from srbench.metrics.suite import open_metrics
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import SUMS, RunFolder
from srbench.run_folder.journal import Journal, writing
from srbench.run_folder.location import folder_of
from srbench.run_folder.manifest import is_run, is_written, now, read_manifest
from srbench.run_folder.merge import joined
from srbench.run_folder.protocol import Invocation, Manifest, Setting
from srbench.run_folder.records import SampleRecord, ScoreRecord
from srbench.run_folder.request import RunSpec
from srbench.terminal.progress import Progress, Step, silent


def run(
    request: RunSpec | Bench,
    progress: Progress = silent,
    workers: WorkerCount = 1,
    engine: str | None = None,
    command: str | None = None,
) -> Outcome:
    """Sample and measure everything that is requested and missing in the run folder.

    Models, temperatures, metrics and images are added to those in the folder. Failures are recorded, reported, and
    tried again by the next command.

    Args:
        request: The request, opened or not.
        progress: Called before every item.
        workers: Number of worker processes; 1 means this process alone. Each has one thread, because the last bit of
            an output may depend on the number of threads.
        engine: ``dask`` for a cluster of ``workers`` on this machine, or ``dask:ADDRESS`` for the cluster of a running
            scheduler, which excludes ``workers``.
        command: Text to record as the command, for requests that no command line can express.

    Raises:
        SRBenchError: The run cannot start: unknown names, unusable weights or folders, or a run folder that has another
            protocol or is in use.
    """
    bench = request if isinstance(request, Bench) else open_bench(request)
    path = folder_of(bench.spec, tuple(bench.models), bench.manifest())
    with writing(path):
        folder, metrics = extended(bench, path)
        image_metrics, folder_metrics = image_and_folder_metrics(metrics)
        if bench.spec.shard is not None:
            folder_metrics = ()  # measured on all images, after merging
        worker = Worker(
            folder,
            Sampler(folder.manifest, bench.device, dict(bench.models)),
            Scorer(image_metrics, bench.device),
            bench.dataset,
            len(folder.manifest.invocations),
        )
        invocation = Invocation(
            command=command or bench.spec.command(),
            settings=bench.settings,
            images=bench.images,
            metrics=tuple(metric.facts.name for metric in metrics),
            started=now(),
            finished=None,
            device=bench.device,
            software={},
            hardware={},
            request=with_absolute_paths(bench.spec) if bench.spec.names_data else None,
        )
        tasks = plan(folder, [metric.facts for metric in image_metrics], bench.digests)
        data = bench.spec if bench.spec.names_data else bench.dataset
        chosen = choose_engine(engine, workers, bench.device, len(tasks))
        execution = _Execution(worker, invocation, tasks, chosen, data, progress, folder_metrics)
        return execution.do(bench.items)


def score_run(
    path: Path,
    names: Sequence[str],
    device: str = "auto",
    progress: Progress = silent,
    models: Mapping[str, LoadedModel] | None = None,
    workers: WorkerCount = 1,
    engine: str | None = None,
) -> Outcome:
    """Add metrics to a run, measured on its saved images; outputs that were not saved are sampled again from the seed.

    Args:
        path: The run folder.
        names: Names of metrics.
        device: Device of the models, and of the metrics that can use it.
        progress: Called before every item.
        models: Opened models by label; all other models are loaded by name when needed.
        workers: As in ``run``.
        engine: As in ``run``.

    Raises:
        SRBenchError: The folder is no run or is in use, or a metric is unknown.
    """
    protocol = read_manifest(path).protocol
    added = open_metrics(tuple(names), protocol.columns, protocol.quantize, samples=protocol.samples)
    if protocol.samples == 1:
        added = without_samples(added, None)
    device = choose_device(device)
    with writing(path):
        folder = RunFolder.read(path)
        if not folder.has_hr:
            added = without_hr(added, None, f"{path} has none")
        known = folder.manifest
        folder.manifest = joined(path, known, replace(known, metrics=tuple(metric.facts for metric in added)))
        metrics = _with_known(added, folder.manifest)
        image_metrics, folder_metrics = image_and_folder_metrics(metrics)
        worker = Worker(
            folder,
            Sampler(folder.manifest, device, dict(models or {})),
            Scorer(image_metrics, device),
            None,
            len(folder.manifest.invocations),
        )
        invocation = Invocation(
            command=shlex.join(["srbench", "score", str(path), "--metrics", ",".join(names)]),
            settings=(),
            images=(),
            metrics=tuple(metric.facts.name for metric in metrics),
            started=now(),
            finished=None,
            device=device,
            software={},
            hardware={},
        )
        tasks = plan(folder, [metric.facts for metric in image_metrics])
        chosen = choose_engine(engine, workers, device, len(tasks))
        execution = _Execution(worker, invocation, tasks, chosen, None, progress, folder_metrics)
        return execution.do(sum(task.size for task in tasks))


@dataclass
class _Execution:
    """The tasks of a command: an engine does them, the journal writes their results."""

    worker: Worker
    invocation: Invocation
    tasks: Sequence[Task]
    engine: Engine
    data: RunSpec | Dataset | None
    """Source of pairs for worker processes: the request, the dataset, or None if all pairs are saved."""
    progress: Progress
    folder_metrics: Sequence[LoadedMetric]
    """Metrics of all images together, which are measured after all tasks."""
    done: int = 0
    sampled: set[tuple[str, float | None, str]] = field(default_factory=set)
    scored: set[tuple[str, float | None, str, str]] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def do(self, items: int) -> Outcome:
        """Do all tasks. If there are none and the manifest on disk is current, the command is not recorded."""
        folder = self.worker.folder
        manifest = folder.manifest
        journal = Journal(folder)
        requested = self.invocation
        # A command that was killed after its last record is marked finished by one that requests at least as much.
        was_killed = any(map(requested.covers, manifest.unfinished()))
        if self.tasks or was_killed or self._lacking() or not is_written(folder.path, manifest):
            invocation = replace(requested, software=software(), hardware=self.engine.facts(self.worker.sampler.device))
            if not manifest.invocations:
                journal.clear()
            journal.extend(replace(manifest, invocations=(*manifest.invocations, invocation)))
            self._work(journal)
            self._measure_folder(journal)
            self.progress(Step(self.done, self._total, ""))
            manifest = replace(manifest, invocations=(*manifest.invocations, replace(invocation, finished=now())))
            journal.finish(manifest)
        elif not (folder.path / SUMS).is_file():
            journal.finish(manifest)
        return Outcome(
            folder.path, items, len(self.sampled), len(self.scored), folder.has_outputs, tuple(self.failures)
        )

    @cached_property
    def _total(self) -> int:
        return sum(task.size for task in self.tasks)

    def _work(self, journal: Journal) -> None:
        here = replace(self.worker, begin=lambda item: self.progress(Step(self.done, self._total, item)))
        dead: list[tuple[Task, WorkerDied]] = []
        for task, made in self.engine.do(self.tasks, here, self._opening):
            if isinstance(made, WorkerDied):
                dead.append((task, made))
                continue
            self._take(task.image, made, journal, self.done + task.size)
        for task, death in dead:
            self._again(task, death, journal)

    def _lacking(self) -> dict[Setting, list[LoadedMetric]]:
        """Return the metrics of all images together without a value for the present images, by setting."""
        folder, lacking = self.worker.folder, {}
        for setting in folder.manifest.settings if self.folder_metrics else ():
            scores = [(metric, folder.folder_score(setting, metric.facts)) for metric in self.folder_metrics]
            lacking[setting] = [metric for metric, score in scores if score is None or score.failed]
        return {setting: metrics for setting, metrics in lacking.items() if metrics and folder.sampled(setting)}

    def _measure_folder(self, journal: Journal) -> None:
        """Measure what ``_lacking`` returns."""
        references: dict[tuple[object, ...], Any] = {}
        for setting, metrics in self._lacking().items():
            what = f"{', '.join(metric.facts.title for metric in metrics)} of {setting.label}"
            self.progress(Step(self.done, self._total, what))
            self._take(
                what, [self.worker.score_folder(journal.folder, setting, metrics, references)], journal, self.done
            )

    def _take(self, what: str, made: Iterable[TaskResult], journal: Journal, done: int) -> None:
        """Write the results of a task; ``what`` names it, and ``done`` is the number of items done after it."""
        for result in made:
            journal.add(result.lines, result.files)
            for line in result.lines:
                if isinstance(line, SampleRecord):
                    self.done += 1
                    if not line.failed:
                        self.sampled.add((line.model, line.temperature, line.image))
                elif isinstance(line, ScoreRecord):
                    self.scored.add((line.model, line.temperature, line.image, line.metric))
            self._fail(result.faults)
        self.done = done
        self.progress(Step(self.done, self._total, what))

    def _again(self, task: Task, death: WorkerDied, journal: Journal) -> None:
        """Redo a task that killed its workers part by part, so that only the part at fault is recorded as failed."""
        parts = task.parts()
        end = self.done + task.size
        while parts:
            part = parts.pop(0)
            if part.pair is None and part.items:
                part = replace(part, pair=journal.folder.of(part.image).pair)
            if len(task.parts()) > 1:
                [(_, made)] = self.engine.do([part], self.worker, self._opening)
            else:
                made = death
            done = end - sum(len(later.items) for later in parts)
            if not isinstance(made, WorkerDied):
                self._take(task.image, made, journal, done)
                continue
            error = f"{task.image}: {made}; if memory is short, use fewer --workers"
            if part.items:
                self._take(task.image, [self.worker.failed_item(part.items[0], task.image, error)], journal, done)
            else:
                self._take(task.image, [self.worker.failed_pair(task, error)], journal, end)
                return

    def _fail(self, faults: Iterable[str]) -> None:
        for fault in faults:
            self.failures.append(fault)
            self.progress(Step(self.done, self._total, "", fault))

    def _opening(self) -> Opening:
        folder = self.worker.folder
        return Opening(
            folder=folder.path.resolve(),
            manifest=folder.manifest,
            metrics=tuple(metric.facts.name for metric in self.worker.scorer.metrics),
            data=self.data,
            models={label: model for label, model in self.worker.sampler.models.items() if model.given},
            device=self.worker.sampler.device,
            invocation=self.worker.invocation,
        )


def extended(bench: Bench, path: Path) -> tuple[RunFolder, tuple[LoadedMetric, ...]]:
    """Return the run folder with its manifest extended by a request, in memory only, and the metrics to measure.

    Raises RunFolderError if the folder has outputs and another protocol, or another model or metric of the same name.
    """
    requested = bench.manifest()
    folder = RunFolder.read(path) if is_run(path) else RunFolder(path, requested)
    try:
        folder.manifest = joined(path, folder.manifest, requested)
    except RunFolderError:
        if folder.has_outputs:
            raise
        folder = RunFolder(path, joined(path, requested, requested))  # everything failed there: begin anew
    _require_one_source(folder, bench)
    return folder, _with_known(bench.metrics, folder.manifest)


def _require_one_source(folder: RunFolder, bench: Bench) -> None:
    """Refuse precomputed results if the folder keeps results of the same label from other files."""
    requested = set(bench.images)
    for setting in bench.settings:
        if setting.model not in bench.elsewhere:
            continue
        for image in folder.manifest.planned(setting):
            record = None if image in requested else folder.sample(setting, image)
            if record is None or record.failed:
                continue
            try:
                same = source_of(bench.models[setting.model].model, image) == record.source
            except SRBenchError:
                same = False
            if not same:
                raise RunFolderError(
                    f"{folder.path}: holds results of {setting.model} from other files, such as {image}; leave out "
                    "--limit and --shard, or give another label"
                )


def _with_known(metrics: Sequence[LoadedMetric], manifest: Manifest) -> tuple[LoadedMetric, ...]:
    """Return the metrics, plus all metrics of the manifest that can still be loaded and are unchanged."""
    known = {metric.facts.name: metric for metric in metrics}
    for facts in manifest.metrics:
        if facts.name not in known:
            try:
                metric = reopened(facts, manifest.protocol.quantize, manifest.protocol.samples)
            except SRBenchError:
                continue  # a plug-in that is not installed: its values stay, but none are added
            if metric.facts.digest == facts.digest:
                known[facts.name] = metric
    return tuple(known[facts.name] for facts in manifest.metrics if facts.name in known)
