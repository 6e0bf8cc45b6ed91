"""Commands that run, score and verify benchmarks. Imports that load torch are inside them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli.options import DEVICES, PUBLISHED, SEEDS, WORKERS, names, temperatures
from srbench.cli.progress import shown_progress

if TYPE_CHECKING:
    from srbench.run import Outcome

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bench", required=False, type=_PATH, metavar="[BENCH.TOML]")
@click.option("--models", callback=names, metavar="A,B", help="Models: NAME, NAME:WEIGHTS, LABEL=FOLDER of "
              "results, any.pth, any.onnx, file.py:Name or package.module:Name. Append +consistent to project outputs "
              "onto the LR constraint.")  # fmt: skip
@click.option("--scale", type=click.IntRange(min=2), help="Upscaling factor. [default: that of "
              "the weights]")  # fmt: skip
@click.option("--data", metavar="NAME|DIR", help="Dataset, or folder of HR images. [default: photos]")
@click.option("--hr", metavar="DIR", help="Folder of HR images, paired with --lr by file name.")
@click.option("--lr", metavar="DIR", help="Folder of LR images.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first N images.", metavar="N")
@click.option("--crop", type=click.IntRange(min=1), help="Use only the central crop of this size, in HR pixels.")
@click.option("--suite", metavar="NAME|FILE", help="Protocol; see srbench list suites. [default: srflow]")
@click.option("--metrics", callback=names, metavar="A,B", help="Metrics: NAME, pyiqa:NAME or file.py:Name. [default: "
              "those of the suite]")  # fmt: skip
@click.option("--temperature", "temperatures", callback=temperatures, metavar="T,T", help="Sampling temperatures. "
              "[default: 0.8]")  # fmt: skip
@click.option("--samples", type=click.IntRange(min=1), help="Samples per image. [default: 5]")
@click.option("--seed", type=SEEDS, help="Random seed for sampling. [default: 0]")
@click.option("--device", type=DEVICES, help="Device to run on. [default: auto]")
@click.option("--tile", type=click.IntRange(min=16), help="Upscale in tiles of this size (LR pixels) to save memory.")
@click.option("--out", metavar="DIR", help="Run folder. [default: runs/DATE-MODELS-xSCALE]")
@WORKERS
@click.option("--shard", metavar="I/N", help="Process shard I of N, into its own --out folder. Combine the shards "
              "with srbench merge.")  # fmt: skip
@PUBLISHED
@click.option("--dry-run", is_flag=True, help="Print what would be done, with estimated time and disk space.")
@click.pass_context
def run(
    context: click.Context, /, bench: Path | None, workers: int | None, published: bool, dry_run: bool,
    **options: Any,  # noqa: ANN401 - click's values
) -> None:  # fmt: skip
    """Measure models and write a report.

    Options come from BENCH.TOML (see srbench init), the command line, or both. If interrupted, rerun the same command
    to resume. More models, temperatures, metrics or images are added to the same run folder.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if ("hr" in given) != ("lr" in given):
        raise click.UsageError("--hr and --lr go together.")
    if "hr" in given and "data" in given:
        raise click.UsageError("--data and --hr/--lr exclude each other.")
    if bench is None and "models" not in given:
        raise click.UsageError("Give --models, or a bench.toml.")
    from srbench.bench_file import MissingError, read_spec
    from srbench.run import run as run_spec

    try:
        spec = read_spec(bench, given)
    except MissingError as error:
        raise click.UsageError(f"{error}.") from None
    if dry_run:
        from srbench.console import show, warn_in_one_line
        from srbench.estimate import estimate

        warn_in_one_line()
        for line in estimate(spec):
            show(line)
        return
    with shown_progress() as progress:
        outcome = run_spec(spec, progress, workers)
    _tell(context, outcome, spec.shard, published=published)


@click.command()
@click.argument("folder", metavar="RUN", type=_PATH)
@click.option("--metrics", required=True, callback=names, metavar="A,B", help="Metrics to add.")
@click.option("--device", default="auto", show_default=True, type=DEVICES, help="Device for outputs not saved.")
@WORKERS
@click.pass_context
def score(context: click.Context, folder: Path, metrics: tuple[str, ...], device: str, workers: int | None) -> None:
    """Add metrics to RUN, computed from its saved images.

    Models run again only for outputs that were not saved.
    """
    from srbench.run import score_run

    with shown_progress() as progress:
        outcome = score_run(folder, metrics, device, progress, workers=workers)
    _tell(context, outcome)


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

    from srbench.console import show
    from srbench.verify import verify as verify_run

    with shown_progress() as progress:
        findings = verify_run(folder, resample=resample, device=device, progress=progress)
    show(json.dumps(findings.facts(), indent=1) if as_json else findings.text())
    if not findings.proven:
        context.exit(1)


@click.command()
@click.argument("folders", metavar="DIR...", type=_PATH, nargs=-1, required=True)
@click.option("--out", required=True, type=_PATH, metavar="DIR", help="Run folder to write.")
def merge(folders: tuple[Path, ...], out: Path) -> None:
    """Merge runs of the same protocol, such as shards, into one run folder, and write its report."""
    from srbench.merging import merge as merge_runs

    show_report([merge_runs(folders, out)])


@click.command()
@click.argument("images", metavar="DIR", type=_PATH)
@click.option("--ref", required=True, type=_PATH, metavar="DIR", help="Folder of HR images, paired by file name.")
@click.option("--lr", type=_PATH, metavar="DIR", help="Folder of LR images, for metrics that need them.")
@click.option("--suite", default="srflow", show_default=True, metavar="NAME|FILE", help="Protocol.")
@click.option("--metrics", callback=names, metavar="A,B", help="Metrics. [default: those of the suite that apply]")
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
    from srbench.console import show
    from srbench.measure import measure_folder

    with shown_progress() as progress:
        found = measure_folder(images, ref, lr, metrics, progress, suite, workers)
    show(found.table() if form == "table" else found.csv() if form == "csv" else found.json())
    if found.failures:
        click.echo(f"srbench: {len(found.failures)} could not be measured, see above", err=True)
        context.exit(1)


@click.command()
@click.argument("file", default="bench.toml", type=_PATH)
def init(file: Path) -> None:
    """Write a commented bench.toml to edit, for srbench run."""
    from srbench.bench_file import write_template
    from srbench.console import show

    write_template(file)
    show(f"{file}: edit it, then srbench run {file}")


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
    """Write the report of some runs; print its table, what it says, and how to open it."""
    from srbench.console import say, show
    from srbench.reporting.published import read_tables
    from srbench.reporting.report import FORMATS, write_report
    from srbench.reporting.scores import terminal_table

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


def _tell(context: click.Context, outcome: Outcome, shard: str | None = None, *, published: bool = False) -> None:
    """Say what was done, write the report (not of a shard), and exit 1 where something failed."""
    from srbench.console import say, show

    if not outcome.sampled and not outcome.scored and not outcome.failures:
        say(f"nothing to do: all {outcome.items} items are measured in {outcome.folder}")
    if shard is not None:
        show(f"{outcome.folder}: shard {shard}; srbench merge makes one run of all")
    elif outcome.usable:
        show_report([outcome.folder], published=published)
    if outcome.failures:
        listed = "; ".join(outcome.failures)
        others = "all others were" if outcome.usable else "nothing else was there"
        click.echo(f"srbench: {len(outcome.failures)} could not be measured, {others}: {listed}", err=True)
        context.exit(1)
