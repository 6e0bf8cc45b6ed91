"""``srbench run`` and ``srbench score``: do what a run folder still lacks, and keep what it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from srbench.benchmark.engines.choice import Workers, choose_engine
from srbench.benchmark.engines.worker import Opening
from srbench.benchmark.first_calls import identified, identified_metrics, kept_pairs
from srbench.benchmark.request import Bench, RunSpec, open_bench, without_hr
from srbench.benchmark.sampling import source_of
from srbench.benchmark.tasks import Session, plan_tasks
from srbench.benchmark.tile_check import tile_checks
from srbench.interfaces import Progress, SRBenchError, Step, silent
from srbench.machine.facts import software
from srbench.metrics.suite import open_metrics
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel
from srbench.plugins.registry import LoadedMetric, open_metric
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder, writing
from srbench.run_folder.manifest import is_run, is_written, now, read_manifest
from srbench.run_folder.merge import joined
from srbench.run_folder.protocol import Invocation, Manifest, TileCheck


@dataclass(frozen=True)
class Outcome:
    """Result of an invocation."""

    folder: Path
    items: int
    """Number of settings and images that the command asked for."""
    sampled: int
    """Number of items sampled now, without those that the folder already held."""
    scored: int
    usable: bool
    """True if the folder holds anything that a report can show."""
    failures: tuple[str, ...]
    """One line for everything that could not be read, sampled or measured now."""


def run(
    request: RunSpec | Bench,
    progress: Progress = silent,
    workers: Workers = 1,
    engine: str | None = None,
    command: str | None = None,
    tiles_checked: Callable[[TileCheck], None] | None = None,
) -> Outcome:
    """Sample and measure all that is asked for and the run folder lacks.

    ``workers`` processes share the work, this one alone if 1. Each has one thread, as the last bit of an output may
    depend on the number of threads. ``engine`` is ``dask`` for a cluster of so many workers on this machine, or
    ``dask:ADDRESS`` for that of a scheduler, without ``workers``. ``command`` is recorded in place of the command line
    of the request. With ``tiles_checked``, the tiles of every model are first compared with a whole image; it is called
    with each result.
    Models, temperatures, metrics and images are added to what the folder holds. Failures are recorded, named and tried
    again the next time. Raises SRBenchError if the run cannot start: unknown names, unusable weights or folders, a
    folder that holds another protocol or is in use.
    """
    bench = request if isinstance(request, Bench) else open_bench(request)
    path = folder_of(bench)
    with writing(path):
        bench, folder, metrics = extended(bench, path)
        if tiles_checked is not None:
            for check in tile_checks(bench, progress):
                tiles_checked(check)
                folder.manifest = folder.manifest.with_checks([check])
        session = Session(folder, metrics, dict(bench.models), bench.dataset, bench.device, progress)
        return _work(session, command or bench.spec.command(), workers, engine, bench)


def extended(bench: Bench, path: Path) -> tuple[Bench, RunFolder, tuple[LoadedMetric, ...]]:
    """A request with its digests complete, the folder it is added to, nothing of it written yet, and its metrics."""
    known = RunFolder.read(path) if is_run(path) else None
    bench = identified(bench, known.manifest if known else None)
    asked = bench.manifest()
    folder = known or RunFolder(path, asked)
    folder.manifest = joined(path, folder.manifest, asked)
    _require_one_source(folder, bench)
    return bench, folder, _with_others(bench.metrics, folder.manifest)


def _require_one_source(folder: RunFolder, bench: Bench) -> None:
    """Refuse results made elsewhere if the table would keep results of other files of the same label beside them."""
    asked = set(bench.images)
    for setting in (one for one in bench.settings if one.model in bench.elsewhere):
        for image in folder.manifest.planned(setting):
            record = None if image in asked else folder.sample(setting, image)
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


def score_run(
    path: Path,
    names: Sequence[str],
    device: str = "auto",
    progress: Progress = silent,
    models: Mapping[str, LoadedModel] | None = None,
    workers: Workers = 1,
    engine: str | None = None,
) -> Outcome:
    """Add metrics to a run from the images it keeps; only what was not kept is sampled again, from its seed.

    ``workers`` and ``engine`` are those of ``run``. ``models`` are by label and already open; others are loaded by
    their names if they are needed. Raises SRBenchError for a folder that holds no run or is in use, and for unknown
    metrics.
    """
    protocol = read_manifest(path).protocol
    added = open_metrics(tuple(names), protocol.columns, protocol.quantize, samples=protocol.samples)
    with writing(path):
        folder = RunFolder.read(path)
        if not folder.has_hr:
            added = without_hr(added, None, f"{path} has none")
        known = folder.manifest
        added = identified_metrics(added, known, lambda: kept_pairs(folder), protocol.scale)
        folder.manifest = joined(path, known, replace(known, metrics=tuple(one.facts for one in added)))
        metrics = _with_others(added, folder.manifest)
        session = Session(folder, metrics, dict(models or {}), None, choose_device(device), progress)
        command = shlex.join(["srbench", "score", str(path), "--metrics", ",".join(names)])
        return _work(session, command, workers, engine)


def _work(session: Session, command: str, workers: Workers, engine: str | None, bench: Bench | None = None) -> Outcome:
    """Do all tasks as a new invocation. None is recorded if there are no tasks and the manifest stays the same."""
    folder, manifest = session.folder, session.folder.manifest
    tasks = plan_tasks(folder, session.metrics, bench)
    chosen = choose_engine(engine, workers, session.device, len(tasks))
    session.invocation = len(manifest.invocations)
    session.plan(tasks)
    last = manifest.invocations[-1] if manifest.invocations else None
    settings, images = (set(), set()) if bench is None else (set(bench.settings), set(bench.images))
    # Killed after its last line: a command that asks for as much can say that all of it is there.
    stopped = last and last.finished is None and settings >= set(last.settings) and images >= set(last.images)
    if tasks or stopped or not is_written(folder.path, manifest):
        invocation = Invocation(
            command=command,
            settings=() if bench is None else bench.settings,
            images=() if bench is None else bench.images,
            metrics=tuple(metric.facts.name for metric in session.metrics),
            started=now(),
            finished=None,
            device=session.device,
            software=software(),
            hardware=chosen.facts(session.device),
        )
        folder.extend(replace(manifest, invocations=(*manifest.invocations, invocation)))
        if tasks:
            chosen.work(session, tasks, _opening(session, bench))
        session.progress(Step(session.done, session.total, ""))
        manifest = replace(manifest, invocations=(*manifest.invocations, replace(invocation, finished=now())))
    folder.finish(manifest)
    usable = any(not sample.failed for known in folder.known.values() for sample in known.samples.values())
    items = session.total if bench is None else bench.items
    return Outcome(folder.path, items, len(session.sampled), len(session.scored), usable, tuple(session.failures))


def _opening(session: Session, bench: Bench | None) -> Opening:
    named = bench is not None and (bench.spec.data is not None or bench.spec.lr is not None)
    return Opening(
        folder=session.folder.path.resolve(),
        manifest=session.folder.manifest,
        metrics=tuple(metric.facts.name for metric in session.metrics),
        data=bench.spec if bench is not None and named else session.dataset,
        models={label: replace(model, identity=None) for label, model in session.models.items() if model.given},
        device=session.device,
        invocation=session.invocation,
    )


def _with_others(metrics: Sequence[LoadedMetric], manifest: Manifest) -> tuple[LoadedMetric, ...]:
    """Some metrics, and those others of the manifest that can still be loaded and are known to be unchanged."""
    found = {metric.facts.name: metric for metric in metrics}
    for facts in manifest.metrics:
        if facts.name not in found:
            try:
                metric = open_metric(facts.spec, manifest.protocol.quantize, manifest.protocol.samples, facts)
            except SRBenchError:
                continue  # a plug-in that is not installed: its values stay, and no others are added
            if metric.facts.digest == facts.digest and (
                facts.evidence is None or facts.evidence.digest == facts.digest
            ):
                found[facts.name] = metric
    return tuple(found[facts.name] for facts in manifest.metrics if facts.name in found)


def folder_of(bench: Bench) -> Path:
    """``--out``, else the newest folder of the same command, else one named after today.

    Today's folder of the same models is taken if the run can be added to it, otherwise the next number.
    """
    spec = bench.spec
    if spec.out:
        return Path(spec.out)
    runs, suffix = Path("runs"), f"-{'-'.join(bench.models)}-x{spec.scale}"
    pattern = re.compile(rf"\d{{4}}(-\d\d){{2}}{re.escape(suffix)}(-\d+)?")
    for folder in newest_first(one for one in runs.glob("*-x*") if pattern.fullmatch(one.name)):
        with suppress(RunFolderError):
            if any(one.command == spec.command() for one in read_manifest(folder).invocations[:1]):
                return folder
    name, number = f"{date.today().isoformat()}{suffix}", 2
    path = runs / name
    while is_run(path) and not _can_be_added(bench, path):
        path, number = runs / f"{name}-{number}", number + 1
    return path


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """Folders of equal names but for date and number, such as ``2026-01-31-srflow-x8-2``, from the newest on."""
    return sorted(folders, key=lambda path: (path.name[:10], len(path.name), path.name), reverse=True)


def _can_be_added(bench: Bench, path: Path) -> bool:
    try:
        joined(path, read_manifest(path), bench.manifest())
    except RunFolderError:
        return False
    return True
