"""``srbench run`` and ``srbench score``: what is left to do in a run folder is done; what is there stays."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from srbench.benchmark.engines.choice import Workers, choose_engine
from srbench.benchmark.engines.worker import Opening
from srbench.benchmark.request import Bench, RunSpec, open_bench
from srbench.benchmark.tasks import Session, Task, plan_tasks
from srbench.interfaces import Progress, SRBenchError, Step, silent
from srbench.metrics.suite import open_metrics
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel
from srbench.plugins.registry import LoadedMetric, open_metric
from srbench.run_folder import RunFolderError
from srbench.run_folder.checksums import write_sums
from srbench.run_folder.folder import RunFolder, joined, writing
from srbench.run_folder.manifest import hardware, is_run, is_written, now, read_manifest, software
from srbench.run_folder.protocol import Invocation, Manifest, Setting


@dataclass(frozen=True)
class Outcome:
    """What became of an invocation."""

    folder: Path
    items: int
    """Settings and images that the command asked for."""
    sampled: int
    """Items that were sampled now; those that were there are not counted."""
    scored: int
    """Values that were measured now."""
    usable: bool
    """Does the folder hold anything that a report can be made of?"""
    failures: tuple[str, ...]
    """One line for everything that could not be read, sampled or measured now."""


def run(spec: RunSpec, progress: Progress = silent, workers: Workers = 1, engine: str | None = None) -> Outcome:
    """Sample and measure all that a command asks for and the folder of the run lacks.

    ``workers`` processes do it, this one alone if that is 1. Each has one thread: the last bit of an output may depend
    on that, and on nothing else. ``engine`` is ``dask``, for a cluster of so many workers on this machine, or
    ``dask:ADDRESS``, for that of a scheduler, where ``workers`` is None.
    Models, temperatures, metrics and images are added to what the folder holds; what fails is recorded, named and
    passed over, and tried again the next time. Raises SRBenchError where the run cannot start: unknown names, unusable
    weights or folders, a folder that holds another protocol or is in use.
    """
    return run_bench(open_bench(spec), progress, workers=workers, engine=engine)


def run_bench(
    bench: Bench, progress: Progress = silent, command: str | None = None, workers: Workers = 1,
    engine: str | None = None,
) -> Outcome:  # fmt: skip
    """The same of what is already open; ``command`` is noted in place of the command line of its spec."""
    path = folder_of(bench)
    with writing(path):
        folder, tasks, metrics = planned(bench, path)
        session = Session(folder, metrics, dict(bench.models), bench.dataset, bench.device, progress)
        request = _Request(command or bench.spec.command(), bench.manifest().settings, workers, engine, bench)
        _work(session, tasks, request)
    return _outcome(session, bench.items)


def planned(bench: Bench, path: Path) -> tuple[RunFolder, list[Task], tuple[LoadedMetric, ...]]:
    """The folder of a run with a command added, of which nothing is written yet; what is left to do; its metrics."""
    asked = bench.manifest()
    if is_run(path):
        folder = RunFolder.read(path)
        folder.manifest = joined(path, folder.manifest, asked)
    else:
        folder = RunFolder(path, joined(path, asked, asked))
    metrics = _with_others(bench.metrics, folder.manifest)
    names = list(bench.dataset)
    return (
        folder,
        plan_tasks(folder, names, bench.pair_key, bench.models, asked.settings, metrics, bench.shard),
        metrics,
    )


def score_run(
    path: Path, names: Sequence[str], device: str = "auto", progress: Progress = silent,
    models: Mapping[str, LoadedModel] | None = None, workers: Workers = 1, engine: str | None = None,
) -> Outcome:  # fmt: skip
    """Add metrics to a run from the images it keeps; only what was not kept is sampled again, from its seed.

    ``workers`` and ``engine`` are as of ``run``; ``models`` are those by label that are open already; others are loaded
    by their names where they are needed.
    Raises SRBenchError for a folder that holds no run or is in use, and for unknown metrics.
    """
    protocol = read_manifest(path).protocol
    added = open_metrics(tuple(names), protocol.columns, protocol.quantize)
    with writing(path):
        folder = RunFolder.read(path)
        known = folder.manifest
        folder.manifest = joined(path, known, replace(known, settings=(), metrics=tuple(one.facts for one in added)))
        metrics = _with_others(added, folder.manifest)
        tasks = plan_tasks(folder, (), lambda image: "", {}, (), metrics)
        session = Session(folder, metrics, dict(models or {}), None, choose_device(device), progress)
        command = shlex.join(["srbench", "score", str(path), "--metrics", ",".join(names)])
        _work(session, tasks, _Request(command, (), workers, engine, None))
    return _outcome(session, sum(task.items for task in tasks))


@dataclass(frozen=True)
class _Request:
    """What an invocation was asked."""

    command: str
    settings: tuple[Setting, ...]
    workers: Workers
    engine: str | None
    bench: Bench | None


def _work(session: Session, tasks: Sequence[Task], request: _Request) -> None:
    """Do tasks, and all else that changes the manifest, as a new invocation; without any of these, none is noted.

    While it is not finished, the sums are not believed: they are written just before that is noted.
    """
    folder, manifest, device = session.folder, session.folder.manifest, session.device
    engine = choose_engine(request.engine, request.workers, device, len(tasks))
    if not tasks and is_written(folder.path, manifest):
        write_sums(folder, manifest)
        return
    session.invocation = len(manifest.invocations)
    metrics = tuple(metric.facts.name for metric in session.metrics)
    machine = hardware(device) | engine.facts()
    shard = None if request.bench is None else request.bench.shard
    invocation = Invocation(
        request.command, request.settings, metrics, now(), None, device, software(), machine, shard
    )  # fmt: skip
    folder.extend(replace(manifest, invocations=(*manifest.invocations, invocation)))
    session.total = sum(task.items for task in tasks)
    if tasks:
        engine.work(session, tasks, _opening(session, request.bench))
    session.progress(Step(session.done, session.total, ""))
    done = replace(manifest, invocations=(*manifest.invocations, replace(invocation, finished=now())))
    write_sums(folder, done)
    folder.extend(done)


def _opening(session: Session, bench: Bench | None) -> Opening:
    """What a worker has to open to do the tasks of a session."""
    given = {label: model for label, model in session.models.items() if model.given}
    named = bench is not None and (bench.spec.data is not None or bench.spec.hr is not None)
    return Opening(
        folder=session.folder.path.resolve(),
        manifest=session.folder.manifest,
        metrics=tuple(metric.facts.name for metric in session.metrics),
        data=bench.spec if bench is not None and named else session.dataset,
        models=given,
        device=session.device,
        invocation=session.invocation,
    )


def _outcome(session: Session, items: int) -> Outcome:
    folder = session.folder
    usable = any(not sample.failed for _, known in folder.by_image() for sample in known.samples.values())
    return Outcome(folder.path, items, session.sampled, session.scored, usable, tuple(session.failures))


def _with_others(metrics: Sequence[LoadedMetric], manifest: Manifest) -> tuple[LoadedMetric, ...]:
    """Some metrics, and those of the manifest that they leave out and that can still be loaded unchanged."""
    found = {metric.facts.name: metric for metric in metrics}
    for facts in manifest.metrics:
        if facts.name not in found:
            try:
                metric = open_metric(facts.spec, manifest.protocol.quantize)
            except SRBenchError:
                continue  # a plug-in that is not here: its values stay, others are not added
            if metric.facts.digest == facts.digest:
                found[facts.name] = metric
    return tuple(found[facts.name] for facts in manifest.metrics if facts.name in found)


def folder_of(bench: Bench) -> Path:
    """``--out``; else the newest folder of the same command, whatever its day, else one of today."""
    spec = bench.spec
    if spec.out:
        return Path(spec.out)
    suffix = f"-{'-'.join(bench.models)}-x{spec.scale}"
    runs = Path("runs")
    for folder in sorted(runs.glob("*") if runs.is_dir() else [], reverse=True):
        if re.fullmatch(r"\d{4}-\d\d-\d\d" + re.escape(suffix), folder.name):
            try:
                manifest = read_manifest(folder)
            except RunFolderError:
                continue
            if manifest.invocations and manifest.invocations[0].command == spec.command():
                return folder
    return runs / f"{date.today().isoformat()}{suffix}"
