"""Commands that run, score and verify benchmarks. Imports that load torch are inside them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli.options import (
    DEVICES,
    ENGINE,
    PUBLISHED,
    SEEDS,
    TILES,
    WORKERS,
    data_sets,
    names,
    scales,
    temperatures,
)
from srbench.cli.progress import shown_progress

if TYPE_CHECKING:
    from srbench.benchmark.engines.choice import Workers
    from srbench.benchmark.request import RunSpec
    from srbench.benchmark.run import Outcome
    from srbench.interfaces import Progress
    from srbench.matrix.request import MatrixSpec

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bench", required=False, type=_PATH, metavar="[BENCH.TOML]")
@click.option("--models", callback=names, metavar="A,B", help="Models: NAME, NAME:WEIGHTS, LABEL=FOLDER of "
              "results, any.pth, any.onnx, file.py:Name or package.module:Name. Append +consistent to project outputs "
              "onto the LR constraint.")  # fmt: skip
@click.option("--scale", callback=scales, metavar="S,S", help="Upscaling factors. [default: that of the weights]")
@click.option("--data", callback=data_sets, metavar="NAME|DIR,...", help="Datasets, or folders of HR images. "
              "[default: photos]")  # fmt: skip
@click.option("--hr", metavar="DIR", help="Folder of HR images, paired with --lr by file name.")
@click.option("--lr", metavar="DIR", help="Folder of LR images.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first N images.", metavar="N")
@click.option(
    "--crop", metavar="PX", type=click.IntRange(min=1), help="Use only the central crop of this size, in HR pixels."
)
@click.option("--degrade", callback=names, metavar="NAME|FILE,...", help="How LR is made from HR; see srbench list "
              "degradations. "
              "[default: bicubic]")  # fmt: skip
@click.option("--suite", callback=names, metavar="NAME|FILE,...", help="Protocols; see srbench list suites. "
              "[default: srflow]")  # fmt: skip
@click.option("--metrics", callback=names, metavar="A,B", help="Metrics: NAME, pyiqa:NAME or file.py:Name. [default: "
              "those of the suite]")  # fmt: skip
@click.option("--temperature", "temperatures", callback=temperatures, metavar="T,T", help="Sampling temperatures. "
              "[default: 0.8]")  # fmt: skip
@click.option("--samples", metavar="N", type=click.IntRange(min=1), help="Samples per image. [default: 5]")
@click.option("--seed", type=SEEDS, help="Random seed for sampling. [default: 0]")
@click.option("--device", type=DEVICES, help="Device to run on. [default: auto]")
@click.option("--tile", metavar="PX", type=TILES, help="Upscale in tiles of this size (LR pixels) to save memory.")
@click.option("--out", metavar="DIR", help="Run folder. [default: runs/DATE-MODELS-xSCALE; runs/DATE-matrix for "
              "several]")  # fmt: skip
@WORKERS
@click.option("--engine", metavar="NAME", help="dask or dask:ADDRESS, as in srbench score; slurm or "
              "slurm:KEY=VALUE,...: as many jobs as --workers, with settings of submitit.")  # fmt: skip
@click.option("--shard", metavar="I/N", help="Process shard I of N, into its own --out folder. Combine the shards "
              "with srbench merge.")  # fmt: skip
@PUBLISHED
@click.option("--dry-run", is_flag=True, help="Print what would be done, with estimated time and disk space.")
@click.pass_context
def run(
    context: click.Context, /, bench: Path | None, workers: Workers, engine: str | None, published: bool, dry_run: bool,
    **options: Any,  # noqa: ANN401 - click's values
) -> None:  # fmt: skip
    """Measure models and write a report.

    Options come from BENCH.TOML (see srbench init), the command line, or both. If interrupted, rerun the same command
    to resume. More models, temperatures, metrics or images are added to the same run folder.

    Several datasets, scales, suites or degradations make a matrix: a run folder for every combination, and one table
    of all.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if ("hr" in given) != ("lr" in given):
        raise click.UsageError("--hr and --lr go together.")
    if "hr" in given and "data" in given:
        raise click.UsageError("--data and --hr/--lr exclude each other.")
    if bench is None and "models" not in given:
        raise click.UsageError("Give --models, or a bench.toml.")
    from srbench.benchmark.run import run as run_spec
    from srbench.matrix.bench_file import MissingError, read_spec
    from srbench.matrix.request import MatrixSpec
    from srbench.system.terminal import warn_in_one_line

    warn_in_one_line()

    try:
        spec = read_spec(bench, given)
    except MissingError as error:
        raise click.UsageError(f"{error}.") from None
    if dry_run:
        from srbench.benchmark.estimate import estimate
        from srbench.matrix.run import estimate_matrix
        from srbench.system.terminal import show

        for line in estimate_matrix(spec) if isinstance(spec, MatrixSpec) else estimate(spec):
            show(line)
        return
    if isinstance(spec, MatrixSpec):
        _run_matrix(context, spec, workers, engine, published=published)
        return
    with shown_progress() as progress:
        if engine is not None and engine.partition(":")[0] == "slurm":
            outcome = _on_slurm(spec, engine, workers, progress)
        else:
            outcome = run_spec(spec, progress, workers, engine)
    _tell_outcome(context, outcome, spec.shard, published=published)


def _on_slurm(spec: RunSpec, engine: str, jobs: Workers, progress: Progress) -> Outcome:
    from srbench.matrix.slurm import run_on_slurm

    if not isinstance(jobs, int):
        raise click.UsageError("--engine slurm needs --workers N: how many jobs.")
    return run_on_slurm(spec, engine, jobs, progress)


@click.command()
@click.argument("folder", metavar="RUN", type=_PATH)
@click.option("--metrics", required=True, callback=names, metavar="A,B", help="Metrics to add.")
@click.option("--device", default="auto", show_default=True, type=DEVICES, help="Device for outputs not saved.")
@WORKERS
@ENGINE
@click.pass_context
def score(
    context: click.Context, folder: Path, metrics: tuple[str, ...], device: str, workers: Workers, engine: str | None
) -> None:  # fmt: skip
    """Add metrics to RUN, computed from its saved images.

    Models run again only for outputs that were not saved.
    """
    from srbench.benchmark.run import score_run
    from srbench.matrix.folder import is_matrix, runs_in
    from srbench.system.terminal import say

    outcomes = []
    for run_folder in runs_in(folder):
        with shown_progress() as progress:
            outcomes.append(score_run(run_folder, metrics, device, progress, workers=workers, engine=engine))
    if not is_matrix(folder):
        _tell_outcome(context, outcomes[0])
        return
    for outcome in outcomes:
        say(f"{outcome.folder}: {outcome.scored} values measured now")
        _write_report(outcome)
    faults = [f"{outcome.folder.name}: {fault}" for outcome in outcomes for fault in outcome.failures]
    _tell(context, folder, faults, any(outcome.usable for outcome in outcomes))


@click.command()
@click.argument("folder", metavar="RUN", type=_PATH)
@click.option("--resample", default=0, show_default=True, type=click.IntRange(min=0), metavar="K",
              help="Also sample K outputs again and compare them.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--device", default="auto", show_default=True, type=DEVICES, help="Device for --resample.")
@click.pass_context
def verify(context: click.Context, folder: Path, resample: int, as_json: bool, device: str) -> None:
    """Verify RUN: hash every file and measure every saved image again. Exit code 1 if anything differs."""
    import json

    from srbench.benchmark.verify import verify as verify_run
    from srbench.matrix.folder import is_matrix, runs_in
    from srbench.system.terminal import show

    found = []
    for run_folder in runs_in(folder):
        with shown_progress() as progress:
            found.append(verify_run(run_folder, resample=resample, device=device, progress=progress))
        if not as_json:
            show(found[-1].text())
    if as_json:
        facts = [findings.facts() for findings in found]
        show(json.dumps(facts if is_matrix(folder) else facts[0], indent=1))
    if not all(findings.proven for findings in found):
        context.exit(1)


@click.command()
@click.argument("folders", metavar="DIR...", type=_PATH, nargs=-1, required=True)
@click.option("--out", required=True, type=_PATH, metavar="DIR", help="Run folder to write.")
def merge(folders: tuple[Path, ...], out: Path) -> None:
    """Merge runs of one protocol, such as shards.

    Writes one run folder and its report.
    """
    from srbench.matrix.folder import is_matrix
    from srbench.run_folder.merge import merge as merge_runs

    if not all(map(is_matrix, folders)):
        show_report([merge_runs(folders, out)])
        return
    from srbench.matrix.run import merge_matrices
    from srbench.reporting.report import write_report

    for run_folder in merge_matrices(folders, out):
        write_report([run_folder])
    show_report([out])


@click.command()
@click.argument("images", metavar="DIR", type=_PATH)
@click.option("--ref", required=True, type=_PATH, metavar="DIR", help="Folder of HR images, paired by file name.")
@click.option("--lr", type=_PATH, metavar="DIR", help="Folder of LR images, for metrics that need them.")
@click.option("--suite", default="srflow", show_default=True, metavar="NAME|FILE", help="Protocol.")
@click.option("--metrics", callback=names, metavar="A,B", help="Metrics; fid and kid compare the folders as sets. "
              "[default: those of the suite that apply]")  # fmt: skip
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "csv", "json"]),
              help="Output format.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Worker processes, one thread each. [default: "
              "one per core, at most 8 and one per 32 images]")  # fmt: skip
@click.pass_context
def measure(
    context: click.Context, images: Path, ref: Path, lr: Path | None, suite: str, metrics: tuple[str, ...] | None,
    form: str, workers: int | None,
) -> None:  # fmt: skip
    """Measure the images in DIR against HR images. Prints one row per image, and the mean.

    Name several samples of an image NAME_sample0.png, NAME_sample1.png and so on.
    """
    from srbench.benchmark.measure import measure_folder
    from srbench.system.terminal import show

    with shown_progress() as progress:
        found = measure_folder(images, ref, lr, metrics, progress, suite, workers)
    show(found.table() if form == "table" else found.csv() if form == "csv" else found.json())
    if found.failures:
        click.echo(f"srbench: {len(found.failures)} could not be measured, see above", err=True)
        context.exit(1)


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--out", type=_PATH, metavar="DIR", help="Run folder. [default: runs/NAME]")
@WORKERS
@click.pass_context
def reproduce(context: click.Context, name: str, out: Path | None, workers: int | None) -> None:
    """Run a published table, such as srflow-celeba-x8: paper, measured and difference side by side.

    Data and weights that are missing are listed, with where they go; then the exit code is 1.
    """
    from srbench.cli.reproduce import find_reproduction, side_by_side
    from srbench.cli.reproduce import reproduce as reproduce_run
    from srbench.system.terminal import show

    asked = find_reproduction(name)
    if missing := asked.missing():
        for line in missing:
            show(line)
        click.echo(f"srbench: {name}: {len(missing)} of what it needs are missing; see above", err=True)
        context.exit(1)
    folder = out or Path("runs") / name
    with shown_progress() as progress:
        outcome = reproduce_run(asked, folder, progress, workers)
    if outcome.usable:
        show(side_by_side(asked, folder))
    if outcome.failures:
        click.echo(f"srbench: {len(outcome.failures)} could not be measured: {'; '.join(outcome.failures)}", err=True)
        context.exit(1)


@click.command()
@click.argument("file", default="bench.toml", type=_PATH)
def init(file: Path) -> None:
    """Write a commented bench.toml to edit, for srbench run."""
    from srbench.matrix.bench_file import write_template
    from srbench.system.terminal import show

    write_template(file)
    show(f"{file}: edit it, then srbench run {file}")


def _run_matrix(
    context: click.Context, spec: MatrixSpec, workers: Workers, engine: str | None, *, published: bool
) -> None:
    """Run all cells, write the report of each as soon as it is done, and that of all."""
    from srbench.matrix.run import run_matrix
    from srbench.system.terminal import say

    def finished(outcome: Outcome) -> None:
        say(f"{outcome.folder}: {outcome.sampled} items sampled now, {outcome.scored} values measured now")
        if sharded is None:
            _write_report(outcome, published=published)

    sharded = next(iter(spec.runs.values())).shard
    with shown_progress() as progress:
        faults = run_matrix(spec, progress, workers, engine, finished)
    _tell(context, faults.path, faults.lines, faults.usable, sharded)


def show_report(
    runs: Sequence[Path],
    formats: Sequence[str] | None = None,
    out: Path | None = None,
    single_file: bool = False,
    images: int | None = None,
    baseline: str | None = None,
    *,
    published: bool = False,
) -> None:
    """Write the report of some runs, or of a matrix; print its table, what it says, and how to open it."""
    from srbench.matrix.folder import is_matrix
    from srbench.reporting.published import read_tables
    from srbench.reporting.report import FORMATS, write_report
    from srbench.reporting.scores import terminal_table
    from srbench.system.terminal import say, show

    if len(runs) == 1 and is_matrix(runs[0]):
        _show_matrix(runs[0], formats or FORMATS, out)
        return
    with shown_progress() as progress:
        report = write_report(
            runs, formats or FORMATS, out, single_file=single_file, most=images, baseline=baseline,
            published=read_tables() if published else None, progress=progress,
        )  # fmt: skip
    for before, now in report.moved:
        say(f"{before}: was not written by srbench, or changed since; kept as {now.name}")
    show(terminal_table(report.scores))
    for sentence in (*report.scores.published.notes, *report.answer):
        show(sentence)
    show(f"Report: {report.files[0]}")
    if out is None and "html" in (formats or FORMATS):
        show(f"Open it: srbench view {shlex.quote(str(runs[0]))}")


def _show_matrix(path: Path, formats: Sequence[str], out: Path | None) -> None:
    from srbench.reporting.matrix.report import terminal_tables, write_matrix_report
    from srbench.system.terminal import say, show

    report = write_matrix_report(path, formats, out)
    for before, now in report.moved:
        say(f"{before}: was not written by srbench, or changed since; kept as {now.name}")
    for table in terminal_tables(report.parts):
        show(table)
    for note in report.notes:
        show(note)
    show(f"Report: {report.files[0]}")
    if out is None and "html" in formats:
        show(f"Open it: srbench view {shlex.quote(str(path))}")


def _tell_outcome(
    context: click.Context, outcome: Outcome, shard: str | None = None, *, published: bool = False
) -> None:
    """Say what was done in a run folder, write the report (not of a shard), and exit 1 where something failed."""
    from srbench.system.terminal import say

    if not outcome.sampled and not outcome.scored and not outcome.failures:
        say(f"nothing to do: all {outcome.items} items are measured in {outcome.folder}")
    _tell(context, outcome.folder, outcome.failures, outcome.usable, shard, published=published)


def _tell(
    context: click.Context, folder: Path, failures: Sequence[str], usable: bool, shard: str | None = None,
    *, published: bool = False,
) -> None:  # fmt: skip
    from srbench.system.terminal import show

    if shard is not None:
        show(f"{folder}: shard {shard}; srbench merge makes one run of all")
    elif usable:
        show_report([folder], published=published)
    if failures:
        listed = "; ".join(failures)
        others = "all others were" if usable else "nothing else was there"
        click.echo(f"srbench: {len(failures)} could not be measured, {others}: {listed}", err=True)
        context.exit(1)


def _write_report(outcome: Outcome, *, published: bool = False) -> None:
    """Of a cell; that of the matrix is what is shown."""
    from srbench.reporting.published import read_tables
    from srbench.reporting.report import write_report

    if outcome.usable:
        write_report([outcome.folder], published=read_tables() if published else None)
