"""``srbench run`` and ``srbench score``: do the work that a run folder lacks. Torch is not imported without work.

A command has three steps: it plans its tasks (``plan``), an engine does them part by part (``engines``, ``worker``),
and the journal records parts as soon as the engine returns them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from srbench.benchmark.checkpoints import require_memory
from srbench.benchmark.engines import WorkerCount, choose_engine, open_team, runs_here
from srbench.benchmark.opened import OpenedRequest, lacking_in, open_request, usable
from srbench.benchmark.plan import AnyTask, Plan, planned_run, planned_score
from srbench.benchmark.sampler import Sampler
from srbench.benchmark.worker import TaskResult, reopened_metrics
from srbench.machine.environment import software
from srbench.metrics.suite import open_metrics
from srbench.models import LoadedModel
from srbench.run_folder.folder import SUMS, RunFolder, check_folder
from srbench.run_folder.journal import Journal, writing
from srbench.run_folder.location import folder_of
from srbench.run_folder.manifest import is_written, now, read_manifest
from srbench.run_folder.records import SampleRecord, ScoreRecord
from srbench.run_folder.request import RunSpec
from srbench.terminal.progress import Progress, Step, silent


@dataclass(frozen=True)
class Outcome:
    """What a command did in a run folder."""

    folder: Path
    items: int
    """Number of items (setting and image) requested; a command that only measures requests all outputs
    in the folder."""
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
        progress: Called before every item, and after every result with its image.
        workers: Number of worker processes; 1 means this process alone. Each has one thread, because the last bit of
            an output may depend on the number of threads.
        engine: ``dask`` for a cluster of ``workers`` on this machine, or ``dask:ADDRESS`` for the cluster of a running
            scheduler, which excludes ``workers``.
        command: Text to record as the command, for requests that no command line can express.

    Raises:
        SRBenchError: The run cannot start: unknown names, unusable weights or folders, or a run folder that has another
            protocol or is in use.
    """
    if isinstance(request, RunSpec) and request.out is not None:
        check_folder(Path(request.out))  # before models are loaded
    is_here = runs_here(engine, workers)
    opened = request if isinstance(request, OpenedRequest) else open_request(request, runs_here=is_here)
    for fault in opened.faults:
        progress(Step(0, 0, "", fault))
    path = folder_of(opened.spec, opened.joint_labels, opened.manifest())
    with writing(path):
        plan = planned_run(opened, path)
        outcome = _do(plan, command or opened.spec.command(), progress, workers, engine)
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
        progress: Called before every item, and after every result with its image.
        models: Opened models by label; all other models are loaded by name when needed.
        workers: As in ``run``.
        engine: As in ``run``.

    Raises:
        SRBenchError: The folder is no run or is in use, or a metric is unknown.
    """
    protocol = read_manifest(path).protocol
    added = open_metrics(tuple(names), protocol.columns, protocol.quantize, samples=protocol.samples)
    with writing(path):
        folder = RunFolder.read(path)
        of_run = folder.manifest.images, folder.manifest.groups, protocol.samples, protocol.scale
        usable(added, lacking_in(path, *of_run, has_hr=folder.has_hr), None)
        plan = planned_score(folder, added, models or {}, device)
        command = shlex.join(["srbench", "score", str(path), "--metrics", ",".join(names)])
        return _do(plan, command, progress, workers, engine)


def _do(plan: Plan, command: str, progress: Progress, workers: WorkerCount, engine: str | None) -> Outcome:
    """Do and record what is planned. If that is nothing and the manifest on the disk is current, nothing is loaded."""
    folder, manifest = plan.folder, plan.folder.manifest
    journal = Journal(folder)
    recorder = _Recorder(journal, progress, plan.size)
    invocation = plan.invocation(command)
    # A command that was killed after its last record is marked finished by one that requests at least as much.
    was_killed = any(map(invocation.covers, manifest.unfinished()))
    if plan.tasks or was_killed or plan.tasks_of_many or not is_written(folder.path, manifest):
        sampler = _open_sampler(plan, is_here=runs_here(engine, workers))
        missing = [metric.name for metric in plan.measured if metric.name not in plan.loaded_metrics]
        reopened = {metric.info.name: metric for metric in reopened_metrics(manifest, missing)}
        chosen = choose_engine(engine, workers, sampler.device, plan.images)
        if chosen.shares_memory(sampler.device):
            require_memory(plan.sampled_checkpoints(), sampler.device, chosen.workers)
        invocation = replace(
            invocation, device=sampler.device, software=software(), hardware=chosen.description(sampler.device)
        )
        if not manifest.invocations:
            journal.clear()
        journal.extend(replace(manifest, invocations=(*manifest.invocations, invocation)))
        team = open_team(plan, chosen, sampler, {**plan.loaded_metrics, **reopened}, recorder.show)
        for task, result in team.do(plan.tasks):
            recorder.take(task, result)
        for task, result in team.do_alone(plan.tasks_of_many):  # now that all images are sampled
            recorder.take(task, result)
        recorder.show("")
        journal.finish(replace(manifest, invocations=(*manifest.invocations, replace(invocation, finished=now()))))
    elif not (folder.path / SUMS).is_file():
        journal.finish(manifest)
    return recorder.outcome(plan.requested)


def _open_sampler(plan: Plan, *, is_here: bool) -> Sampler:
    """Load the models that sample: if one cannot be loaded, the command ends before it is recorded."""
    from srbench.models.inference import choose_device  # imports torch

    sampler = Sampler(plan.folder.manifest, choose_device(plan.device), dict(plan.loaded_models), is_here)
    require_memory(plan.sampled_checkpoints(but=plan.loaded_models), sampler.device)
    for label in plan.sampled:
        sampler.model(label)
    return sampler


@dataclass
class _Recorder:
    """Records the parts of tasks in the run folder, and counts them."""

    journal: Journal
    progress: Progress
    total: int
    """Number of items to do."""
    done: int = 0
    sampled: set[tuple[str, float | None, str]] = field(default_factory=set)
    scored: set[tuple[str, float | None, str, str]] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def take(self, task: AnyTask, result: TaskResult) -> None:
        """Record the first parts of what was left of a task."""
        self.journal.add(result.lines, result.files)
        for line in result.lines:
            if isinstance(line, SampleRecord) and not line.failed:
                self.sampled.add((line.model, line.temperature, line.image))
            elif isinstance(line, ScoreRecord):
                self.scored.add((line.model, line.temperature, line.subject, line.metric))
        self.done += task.size - (result.left.size if result.left else 0)
        for fault in result.faults:
            self.failures.append(fault)
            self.show("", fault)
        self.show(task.words)

    def show(self, what: str, fault: str = "") -> None:
        """Show an item that begins or has ended, or a fault."""
        self.progress(Step(self.done, self.total, what, fault))

    def outcome(self, requested: int) -> Outcome:
        """Return what was done of the items requested."""
        folder = self.journal.folder
        sampled, scored = len(self.sampled), len(self.scored)
        return Outcome(folder.path, requested, sampled, scored, folder.has_outputs, tuple(self.failures))
