"""Commands that show what was measured: report, compare, view. Imports that load torch are inside them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli import options
from srbench.cli.terminal import say, show, shown_progress
from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from rich.table import Table

    from srbench.benchmark.run import Outcome


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=options.PATH)
@options.names("--format", "formats", metavar="md|html|tex|csv,...", help="Formats to write. [default: all]")
@click.option("--single-file", is_flag=True, help="Embed the images in report.html: one file below 8 MB, to mail.")
@click.option("--images", "most", type=options.COUNT, metavar="N", help="With --single-file, embed only the N "
              "images on which the leading models differ most. [default: all that fit]")  # fmt: skip
@options.folder("--out", help="Folder of the report. [default: RUN, or runs/report of several]")
@options.published
@click.option("--baseline", metavar="SETTING", help="Row from which the plots show differences, such as bicubic or "
              "srflow-t0.8. [default: the first]")  # fmt: skip
def report(runs: tuple[Path, ...], **values: Any) -> None:  # noqa: ANN401 - click's
    """Write the report of a run, or of several.

    A run need not be finished. Several runs are joined in one table if they share a protocol.
    """
    if values["most"] is not None and not values["single_file"]:
        raise click.UsageError("--images goes with --single-file.")
    if len(runs) > 1 and values["out"] is None:
        values["out"] = Path("runs/report")
    show_report(runs, **values)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--run", type=options.PATH, metavar="RUN", help="Run that has models A and B. Without it, A and B are "
              "runs.")  # fmt: skip
def compare(a: str, b: str, run: Path | None) -> None:
    """Compare two models or two runs, image by image.

    Add the temperature to the name of a model that samples: srflow-t0.8. The result is written into the run, or into A.
    """
    from srbench.reporting import compare as comparing

    found = [comparing.compare_models(run, a, b)] if run else comparing.compare_runs(Path(a), Path(b))
    for comparison in found:
        path = comparing.write_comparison(comparison)
        show(f"A = {comparison.labels[0]}, B = {comparison.labels[1]}")
        show(comparing.terminal_table(comparison))
        show(comparing.verdict_sentences(comparison))
        show(path)


@click.command()
@click.argument("run", type=options.PATH)
@options.page
def view(run: Path, port: int, no_browser: bool) -> None:
    """Open the report of a run in a browser.

    It is served on this machine alone; press Ctrl-C to stop.
    """
    from srbench.reporting.page.view import view as view_run

    view_run(run, port=port, browser=not no_browser)


def show_report(
    runs: Sequence[Path], formats: Sequence[str] | None = None, out: Path | None = None,
    **settings: Any,  # noqa: ANN401 - those of write_report
) -> None:  # fmt: skip
    """Write the report of some runs, or of a matrix; print its tables, what they say, and how to open it."""
    from srbench.matrix.folder import is_matrix
    from srbench.reporting import report as run_report
    from srbench.reporting.matrix import report as matrix_report
    from srbench.reporting.scores import terminal_table

    formats = formats or run_report.FORMATS
    lines: list[str | Table]
    if len(runs) == 1 and is_matrix(runs[0]):
        matrix = matrix_report.write_matrix_report(runs[0], formats, out)
        files, moved, lines = matrix.files, matrix.moved, [*matrix_report.terminal_tables(matrix.parts), *matrix.notes]
    else:
        with shown_progress() as progress:
            report = run_report.write_report(runs, formats, out, progress=progress, **settings)
        files, moved = report.files, report.moved
        lines = [terminal_table(report.scores), *report.scores.published.notes, *report.answer]
    for before, now in moved:
        say(f"{before}: not written by srbench, or changed since; kept as {now.name}")
    for line in lines:
        show(line)
    show(f"Report: {files[0]}")
    if out is None and "html" in formats:
        show(f"Open it: srbench view {shlex.quote(str(runs[0]))}")


def report_cell(outcome: Outcome, *, published: bool = False) -> None:
    """Say what was done in a cell of a matrix, and write its report."""
    from srbench.reporting.report import write_report

    say(f"{outcome.folder}: {outcome.sampled} items sampled now, {outcome.scored} values measured now")
    if outcome.usable:
        write_report([outcome.folder], published=published)


def report_outcome(outcome: Outcome, shard: str | None = None, *, published: bool = False) -> None:
    """Write and show the report of a run, but not of a shard. Raises SRBenchError that names what failed."""
    if not outcome.sampled and not outcome.scored and not outcome.failures:
        say(f"nothing to do: all {outcome.items} items are measured in {outcome.folder}")
    if shard is not None:
        show(f"{outcome.folder}: shard {shard}; combine all shards with srbench merge")
    elif outcome.usable:
        show_report([outcome.folder], published=published)
    if outcome.failures:
        others = "all others were" if outcome.usable else "nothing else was there"
        raise SRBenchError(f"{len(outcome.failures)} could not be measured, {others}: {'; '.join(outcome.failures)}")
