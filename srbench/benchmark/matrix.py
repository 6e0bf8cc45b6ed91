"""A matrix of runs: every combination of several datasets, scales, suites and degradations, in one folder of runs.

A cell that fails does not stop the remaining cells. Two commands may add to one folder at once, because each run has
its own lock.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.benchmark import BenchmarkError
from srbench.benchmark.checkpoints import stated_scale
from srbench.benchmark.engines import WorkerCount
from srbench.benchmark.estimate import estimate
from srbench.benchmark.run import Outcome, run, score_run
from srbench.data.degradations import DEFAULT as BICUBIC
from srbench.data.degradations.read import read_degradation
from srbench.files.atomic import disk_faults_named
from srbench.files.paths import occupied
from srbench.interfaces import SRBenchError
from srbench.metrics.suite import read_suite
from srbench.run_folder import RunFolderError
from srbench.run_folder.location import began_with, dated_folder, is_begun, runs_below
from srbench.run_folder.manifest import is_run
from srbench.run_folder.merge import merge
from srbench.run_folder.request import RunSpec, dataset_titles
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import number_of

Finished = Callable[[Outcome], None]
"""Called with the outcome of each cell once it is finished."""


def cells_of(specs: Sequence[RunSpec]) -> dict[str, RunSpec]:
    """Return the requests of a matrix by the names of their run folders, such as ``set5-x4-classic-y``.

    The requests name no folder yet. The suite is no part of a name if the user named the metrics, nor is MATLAB's
    bicubic downscaling. ``{data}`` and ``{scale}`` in names of models are replaced by those of the cell. Models of
    another scale are left out of a cell, with a warning. Raises BenchmarkError if two cells have the same name, or a
    cell has no model.
    """
    sources = [str(spec.data or spec.hr or spec.lr) for spec in specs]
    titles = dataset_titles(list(dict.fromkeys(sources)))
    several = len({spec.suite for spec in specs}) > 1
    cells: dict[str, RunSpec] = {}
    for spec, source in zip(specs, sources, strict=True):
        suite = read_suite(spec.suite).name
        suite = suite if several or not spec.metrics else ""  # metrics named by the user say more than the suite
        degrade = "" if spec.degrade in (None, BICUBIC) else read_degradation(str(spec.degrade)).name
        name = "-".join(filter(None, [titles[source], f"x{spec.scale}", suite, degrade]))
        if name in cells:
            raise BenchmarkError(f"two runs would share the folder {name}; name datasets and suites once")
        cells[name] = replace(spec, out=None, models=_fitting(spec, titles[source]))
    return cells


def _fitting(spec: RunSpec, data: str) -> tuple[str, ...]:
    """Return the models of the scale of a request, with ``{data}`` and ``{scale}`` replaced."""
    models = [text.replace("{data}", data).replace("{scale}", str(spec.scale)) for text in spec.models]
    fitting = tuple(text for text in models if stated_scale(text) in (None, spec.scale))
    if not fitting:
        raise BenchmarkError(f"x{spec.scale}: no model has this scale; leave it out of --scale")
    for text in models:
        if text not in fitting:
            warnings.warn(f"{text} has another scale; it is left out of x{spec.scale}", stacklevel=4)
    return fitting


def run_matrix(
    specs: Sequence[RunSpec],
    progress: Progress = silent,
    workers: WorkerCount = 1,
    engine: str | None = None,
    finished: Finished = lambda outcome: None,
) -> Outcome:
    """Run the cells of a matrix one after the other, each in a subfolder.

    Raises BenchmarkError if the folder has content but no run, or is itself a run, and if all cells fail.
    """
    path, runs = _placed(specs)

    def run_cell(folder: Path) -> Outcome:
        return run(runs[folder], progress, workers, engine)

    return _one_by_one(path, runs, run_cell, finished, progress)


def score_runs(
    path: Path,
    metrics: Sequence[str],
    device: str = "auto",
    progress: Progress = silent,
    workers: WorkerCount = 1,
    engine: str | None = None,
    finished: Finished = lambda outcome: None,
) -> Outcome:
    """Add metrics to all runs below a folder. Raises RunFolderError if there is none, BenchmarkError if all fail."""

    def score_one(folder: Path) -> Outcome:
        return score_run(folder, metrics, device, progress, workers=workers, engine=engine)

    return _one_by_one(path, runs_below(path), score_one, finished, progress)


def _one_by_one(
    path: Path, folders: Collection[Path], work: Callable[[Path], Outcome], finished: Finished, progress: Progress
) -> Outcome:
    """Do ``work`` on all runs below ``path`` and return their joint outcome. Raises BenchmarkError if all fail.

    ``progress`` gets the faults of the runs that did not start, if others did.
    """
    outcomes: list[Outcome] = []
    failures: list[str] = []
    not_started: list[str] = []
    for folder in folders:
        name = folder.relative_to(path).as_posix()
        try:
            outcome = work(folder)
            outcomes.append(outcome)
            failures += [f"{name}: {failure}" for failure in outcome.failures]
            finished(outcome)
        except SRBenchError as error:
            not_started.append(f"{name}: {str(error).removeprefix(f'{folder}: ')}")
    if not outcomes:
        raise BenchmarkError("; ".join(not_started))
    for fault in not_started:
        progress(Step(0, 0, "", fault))
    return Outcome(
        folder=path,
        items=sum(outcome.items for outcome in outcomes),
        sampled=sum(outcome.sampled for outcome in outcomes),
        scored=sum(outcome.scored for outcome in outcomes),
        usable=any(outcome.usable for outcome in outcomes),
        failures=(*failures, *not_started),
    )


def estimate_matrix(specs: Sequence[RunSpec]) -> Iterator[str]:
    """Yield the lines of ``--dry-run`` for every cell. Raises SRBenchError if a cell could not start."""
    path, runs = _placed(specs)
    yield f"matrix: {path}, {number_of(len(runs), 'run')}"
    for spec in runs.values():
        yield from estimate(spec)


def merge_folders(paths: Sequence[Path], out: Path) -> list[Path]:
    """Merge folders of runs, such as shards of a matrix, run by run; return the new run folders.

    Raises RunFolderError if ``out`` is neither empty nor the merge of these folders, if the folders have different
    runs, and as ``srbench.run_folder.merge.merge`` does.
    """
    below = [{run.relative_to(path): run for run in runs_below(path)} for path in paths]
    names = [*below[0]]
    for path, runs in zip(paths, below, strict=True):
        if differing := sorted(runs.keys() ^ below[0].keys()):
            raise RunFolderError(
                f"{path}: its runs differ from those of {paths[0]}, such as {differing[0]}; merge folders with the "
                "same runs"
            )
    if occupied(out):
        if not all(is_run(out / name) for name in names):
            raise RunFolderError(f"{out}: already exists, and is not the merge of these folders; choose another --out")
        return [merge([runs[name] for runs in below], out / name) for name in names]
    out.parent.mkdir(parents=True, exist_ok=True)
    with disk_faults_named(out), TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        whole = Path(temporary) / "runs"  # a failure must not leave some of the runs
        for name in names:
            merge([runs[name] for runs in below], whole / name)
        whole.replace(out)
    return [out / name for name in names]


def _placed(specs: Sequence[RunSpec]) -> tuple[Path, Mapping[Path, RunSpec]]:
    """Return the folder of a matrix, and the requests of its cells by their run folders.

    The folder is ``--out``, else the newest dated folder in which the same commands began these runs, as far as they
    have begun, else a new one. Raises BenchmarkError if it has content but no run, or is itself a run.
    """
    cells = cells_of(specs)

    def placed(path: Path) -> dict[Path, RunSpec]:
        return {path / name: replace(spec, out=str(path / name)) for name, spec in cells.items()}

    def is_same(path: Path) -> bool:
        begun = [began_with(run, spec.command()) for run, spec in placed(path).items() if is_begun(run)]
        return bool(begun) and all(begun)

    path = Path(specs[0].out) if specs[0].out else dated_folder("matrix", is_same, lambda path: not path.exists())
    if is_begun(path):
        raise BenchmarkError(f"{path}: is a run, and several runs need a folder around them; choose another --out")
    content = [path] if path.is_file() else list(filter(_is_content, path.iterdir() if path.is_dir() else ()))
    if content and not any(map(is_begun, content)):
        raise BenchmarkError(f"{path}: already exists and has no runs in it; choose another --out")
    return path, placed(path)


def _is_content(entry: Path) -> bool:
    """Return whether an entry is content: no hidden file, nor a run that another command begins,
    which has only a lock.
    """
    is_beginning = entry.is_dir() and all(inside.name.startswith(".") for inside in entry.iterdir())
    return not (is_beginning or entry.name.startswith("."))
