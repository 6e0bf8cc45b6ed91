"""``srbench run`` and ``srbench score``: do the work that a run folder lacks. Torch is not imported without work."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from srbench.benchmark.checkpoints import require_memory
from srbench.benchmark.dataset import with_absolute_paths
from srbench.benchmark.engines import Done, Engine, WorkerCount, choose_engine, runs_here
from srbench.benchmark.opened import OpenedRequest, lacking_in, open_request, usable
from srbench.benchmark.plan import Task, TaskOfMany, plan, plan_of_many
from srbench.benchmark.sampler import Sampler
from srbench.benchmark.worker import TaskResult, Worker, WorkerSetup, open_worker, reopened_metrics
from srbench.interfaces import Dataset, MetricInfo, SRBenchError
from srbench.machine.environment import software
from srbench.machine.workers import WorkerDied
from srbench.metrics.loading import LoadedMetric, metric_digest, reopened
from srbench.metrics.suite import open_metrics
from srbench.models import LoadedModel, ModelInfo
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import SUMS, RunFolder, check_folder
from srbench.run_folder.journal import Journal, writing
from srbench.run_folder.location import folder_of
from srbench.run_folder.manifest import is_run, is_written, now, read_manifest
from srbench.run_folder.merge import with_request
from srbench.run_folder.protocol import Invocation, Manifest
from srbench.run_folder.records import SampleRecord, ScoreRecord
from srbench.run_folder.request import RunSpec
from srbench.terminal.progress import Progress, Step, silent


@dataclass(frozen=True)
class Outcome:
    """What a command did in a run folder."""

    folder: Path
    items: int
    """Number of items (setting and image) requested."""
    sampled: int
    """Number of items sampled by this command."""
    scored: int
    """Number of values measured by this command."""
    usable: bool
    """True if the folder has a result that a report can show."""
    failures: tuple[str, ...]
    """One line for each checkpoint, pair, item or value that failed in this command."""


def run(
    request: RunSpec | OpenedRequest,
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
    is_here = runs_here(engine, workers)
    if isinstance(request, RunSpec) and request.out is not None:
        check_folder(Path(request.out))  # before models are loaded
    opened = request if isinstance(request, OpenedRequest) else open_request(request, runs_here=is_here)
    spec = opened.spec
    for fault in opened.faults:
        progress(Step(0, 0, "", fault))
    path = folder_of(spec, opened.joint_labels, opened.manifest())
    with writing(path):
        folder = extended(opened, path)
        loaded = {metric.info.name: metric for metric in opened.loaded_metrics}
        metrics = measurable(folder.manifest, opened.metrics, loaded)
        invocation = Invocation(
            command=command or spec.command(),
            settings=opened.settings,
            images=opened.images,
            metrics=tuple(metric.name for metric in metrics),
            started=now(),
            finished=None,
            device=spec.device,
            software={},
            hardware={},
            request=with_absolute_paths(opened.with_every_model) if spec.names_data else None,
            checkpoints=tuple(label for label, model in opened.models.items() if model.checkpoint),
        )
        if (
            spec.shard is not None
        ):  # metrics of many images are measured after merging, those of models once for all shards
            metrics = [metric for metric in metrics if metric.is_of_images]
        tasks = plan(folder, metrics, opened)

        def sampler() -> Sampler:
            loading = Sampler(folder.manifest, _device(spec.device), opened.loaded_models, is_here)
            require_memory(sampled_checkpoints(folder.manifest, tasks, but=opened.loaded_models), loading.device)
            for label in {item.setting.model: None for task in tasks for item in task.items if item.key}:
                loading.model(label)  # if a model cannot be loaded, the command ends before it is recorded
            return loading

        named = spec if spec.names_data else None
        execution = _Execution(folder, invocation, metrics, tasks, progress, sampler, loaded, opened.dataset, named)
        outcome = execution.do(opened.items, workers, engine)
        return replace(outcome, failures=(*opened.faults, *outcome.failures))


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
    device = _device(device)
    with writing(path):
        folder = RunFolder.read(path)
        of_run = folder.manifest.images, folder.manifest.groups, protocol.samples
        usable(added, lacking_in(path, *of_run, has_hr=folder.has_hr), None)
        loaded = {metric.info.name: metric for metric in added}
        requested = tuple(metric.info for metric in added)
        folder.manifest = with_request(path, folder.manifest, replace(folder.manifest, metrics=requested))
        metrics = measurable(folder.manifest, requested, loaded)
        invocation = Invocation(
            command=shlex.join(["srbench", "score", str(path), "--metrics", ",".join(names)]),
            settings=(),
            images=(),
            metrics=tuple(metric.name for metric in metrics),
            started=now(),
            finished=None,
            device=device,
            software={},
            hardware={},
        )
        tasks = plan(folder, metrics)

        def sampler() -> Sampler:
            return Sampler(folder.manifest, device, dict(models or {}))

        execution = _Execution(folder, invocation, metrics, tasks, progress, sampler, loaded)
        return execution.do(sum(task.size for task in tasks), workers, engine)


@dataclass(frozen=True)
class _Team:
    """The engine of a command, and the worker of its process."""

    engine: Engine
    worker: Worker
    setup: WorkerSetup
    """Opens a worker in another process, for metrics of images."""
    setup_of_many: WorkerSetup
    """Opens a worker in another process, for all other metrics."""

    def do(self, tasks: Sequence[Task]) -> Done[Task]:
        return self.engine.do(tasks, self.worker, self.setup)

    def do_alone(self, tasks: Sequence[TaskOfMany]) -> Done[TaskOfMany]:
        return self.engine.do_alone(tasks, self.worker, self.setup_of_many)


@dataclass
class _Execution:
    """The tasks of a command: an engine does them, the journal writes their results."""

    folder: RunFolder
    invocation: Invocation
    metrics: Sequence[MetricInfo]
    """Metrics to measure."""
    tasks: Sequence[Task]
    progress: Progress
    sampler: Callable[[], Sampler]
    """Opens the models, if there is work."""
    loaded: Mapping[str, LoadedMetric]
    """Metrics that are loaded already, by name."""
    dataset: Dataset | None = None
    """Dataset of the pairs; None if all pairs are saved."""
    request: RunSpec | None = None
    """The request that names the dataset to other processes; None if they get the dataset itself."""
    done: int = 0
    sampled: set[tuple[str, float | None, str]] = field(default_factory=set)
    scored: set[tuple[str, float | None, str, str]] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def do(self, items: int, workers: WorkerCount, engine: str | None) -> Outcome:
        """Do all tasks. If there are none and the manifest on disk is current, nothing is loaded or recorded."""
        folder, manifest = self.folder, self.folder.manifest
        journal = Journal(folder)
        # A command that was killed after its last record is marked finished by one that requests at least as much.
        was_killed = any(map(self.invocation.covers, manifest.unfinished()))
        if self.tasks or was_killed or plan_of_many(folder, self.metrics) or not is_written(folder.path, manifest):
            sampler = self.sampler()
            missing = [metric.name for metric in self.metrics if metric.name not in self.loaded]
            reopened_now = {metric.info.name: metric for metric in reopened_metrics(manifest, missing)}
            chosen = choose_engine(engine, workers, sampler.device, len(self.tasks))
            if chosen.shares_memory(sampler.device):
                require_memory(sampled_checkpoints(manifest, self.tasks), sampler.device, chosen.workers)
            hardware = chosen.facts(sampler.device)
            invocation = replace(self.invocation, device=sampler.device, software=software(), hardware=hardware)
            if not manifest.invocations:
                journal.clear()
            journal.extend(replace(manifest, invocations=(*manifest.invocations, invocation)))
            team = self._team(chosen, sampler, {**self.loaded, **reopened_now})
            self._work(team, journal)
            self._measure_many(team, journal)
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

    def _team(self, engine: Engine, sampler: Sampler, metrics: Mapping[str, LoadedMetric]) -> _Team:
        """Open the worker of this process, with what this process has loaded, and describe those of other processes."""
        folder, manifest = self.folder, self.folder.manifest
        names = [metric.name for metric in self.metrics if metric.is_of_images]
        names_of_many = [metric.name for metric in self.metrics if not metric.is_of_images]
        setup = WorkerSetup(
            folder=folder.path.resolve(),
            sampler=Sampler(
                manifest, sampler.device, {label: model for label, model in sampler.models.items() if model.is_object}
            ),
            metrics=partial(reopened_metrics, manifest, names),
            data=self.request or self.dataset,
            invocation=len(manifest.invocations) - 1,
        )
        local = replace(
            setup,
            folder=folder.path,
            sampler=replace(sampler, manifest=manifest),
            metrics=lambda: [metrics[metric.name] for metric in self.metrics],
            data=self.dataset,
        )
        worker = replace(open_worker(local), begin=lambda item: self.progress(Step(self.done, self._total, item)))
        of_many = replace(setup, metrics=partial(reopened_metrics, manifest, names_of_many), data=None)
        return _Team(engine, worker, setup, of_many)

    def _work(self, team: _Team, journal: Journal) -> None:
        dead: list[tuple[Task, WorkerDied]] = []
        for task, made in team.do(self.tasks):
            if isinstance(made, WorkerDied):
                dead.append((task, made))
                continue
            self._take(task.image, made, journal, self.done + task.size)
        for task, death in dead:
            self._again(task, death, team, journal)

    def _measure_many(self, team: _Team, journal: Journal) -> None:
        """Measure the metrics of many images and of models, now that all images are sampled."""
        tasks = plan_of_many(journal.folder, self.metrics)
        for task, made in team.do_alone(tasks):
            result = [team.worker.failed_many(task, str(made))] if isinstance(made, WorkerDied) else made
            self._take(task.words, result, journal, self.done)

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
                    self.scored.add((line.model, line.temperature, line.subject, line.metric))
            self._fail(result.faults)
        self.done = done
        self.progress(Step(self.done, self._total, what))

    def _again(self, task: Task, death: WorkerDied, team: _Team, journal: Journal) -> None:
        """Redo a task that killed its workers part by part, so that only the part at fault is recorded as failed."""
        parts = task.parts()
        end = self.done + task.size
        while parts:
            part = parts.pop(0)
            if part.pair is None and part.items:
                part = replace(part, pair=journal.folder.of(part.image).pair)
            if len(task.parts()) > 1:
                [(_, made)] = team.do([part])
            else:
                made = death
            done = end - sum(len(later.items) for later in parts)
            if not isinstance(made, WorkerDied):
                self._take(task.image, made, journal, done)
                continue
            error = f"{task.image}: {made}; if memory is short, use fewer --workers"
            if part.items:
                self._take(task.image, [team.worker.failed_item(part.items[0], task.image, error)], journal, done)
            else:
                self._take(task.image, [team.worker.failed_pair(task, error)], journal, end)
                return

    def _fail(self, faults: Iterable[str]) -> None:
        for fault in faults:
            self.failures.append(fault)
            self.progress(Step(self.done, self._total, "", fault))


def extended(request: OpenedRequest, path: Path) -> RunFolder:
    """Return the run folder with its manifest extended by a request, in memory only.

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
    return folder


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


def sampled_checkpoints(manifest: Manifest, tasks: Sequence[Task], but: Collection[str] = ()) -> list[ModelInfo]:
    """Return the checkpoints that tasks sample, except those of the labels ``but``."""
    sampled = {item.setting.model for task in tasks for item in task.items if item.key}
    return [model for model in manifest.models if model.checkpoint and model.label in sampled - set(but)]


def measurable(
    manifest: Manifest, requested: Iterable[MetricInfo], loaded: dict[str, LoadedMetric]
) -> list[MetricInfo]:
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
    return metrics


def _device(name: str) -> str:
    from srbench.models.inference import choose_device  # imports torch

    return choose_device(name)
