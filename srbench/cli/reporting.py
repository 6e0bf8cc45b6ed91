"""Commands that show results: report, compare, view. Imports that load torch are inside them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli import completion, options
from srbench.interfaces import SRBenchError
from srbench.machine.trackers import require_tracker
from srbench.terminal.output import say, show
from srbench.terminal.progress import Progress, shown_progress
from srbench.words import number_of

if TYPE_CHECKING:
    from rich.table import Table

    from srbench.benchmark.run import Outcome
    from srbench.explaining.claims import Judgement
    from srbench.reporting.writers.report import Report


@click.command(
    epilog=options.examples(
        "srbench report runs/mine",
        "srbench report runs/mine runs/other --format tex,csv --out tables",
        "srbench report runs --out site",
        "srbench report runs/mine --log-with tensorboard",
    )
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN|DIR...", type=options.PATH)
@options.names(
    "--format",
    "formats",
    metavar="md|html|tex|csv,...",
    shell_complete=completion.words("md", "html", "tex", "csv"),
    help="Formats to write. [default: all]",
)
@click.option("--single-file", is_flag=True, help="Embed the images in report.html: one file of at most 8 MB, to mail.")
@click.option(
    "--images",
    "most",
    type=options.COUNT,
    metavar="N",
    help="With --single-file, embed only the N images where the leading models differ most. [default: as many as fit]",
)
@options.folder(
    "--out", help="Folder of the report. [default: RUN/report or DIR/report; runs/joint-report for several RUNs]"
)
@click.option(
    "--baseline",
    metavar="SETTING",
    shell_complete=completion.ROWS,
    help="Row that the plots subtract from every row, such as bicubic or srflow-t0.8. [default: the first row]",
)
@click.option("--intervals", is_flag=True, help="Print 95 % intervals below the means of table.tex.")
@click.option(
    "--pairs",
    is_flag=True,
    help="Write pairs.csv: difference, 95 % interval and p of every two models. In table.tex and report.md, "
    "superscripts name the models that are significantly worse.",
)
@click.option(
    "--caption", metavar="TEXT", help="Caption of table.tex, in LaTeX. [default: states protocol, means and marks]"
)
@click.option("--label", metavar="LABEL", help="Label of table.tex. [default: tab: with dataset and scale]")
@options.log_with(
    help="Also log means, intervals, the table and a strip as a run of a tracker, which must be installed. TensorBoard "
    "writes into runs/tensorboard. [default: none]"
)
def report(runs: tuple[Path, ...], **values: Any) -> None:  # noqa: ANN401 - click's
    """Write the report of one or several runs, or of a folder of runs.

    RUNs share a table if their images, scale and protocol are equal. Several RUNs are one table, or an error that names
    the difference; the runs below a DIR, which is no run itself, are as many tables as needed. Runs need not be
    finished. An existing report folder is replaced as a whole, unless a file in it was added or changed since srbench
    wrote it.
    """
    if values["most"] is not None and not values["single_file"]:
        raise click.UsageError("--images goes with --single-file.")
    tracker = values.pop("log_with")
    folders = folders_of_runs(runs)
    if folders and tracker is not None:
        raise click.UsageError(f"--log-with goes with runs; {folders[0]} is a folder of runs.")
    if tracker is not None:
        require_tracker(tracker)
    if folders and (
        option := next((name for name in ("single_file", "baseline", "caption", "label") if values[name]), None)
    ):
        raise click.UsageError(f"--{option.replace('_', '-')} goes with runs; {folders[0]} is a folder of runs.")
    if len(runs) > 1 and values["out"] is None:
        if folders:
            raise click.UsageError("the report of several folders needs --out.")
        values["out"] = Path("runs/joint-report")
    with shown_progress(reading(runs)) as progress:
        written = written_report(runs, progress, **values)
    show_report(written)
    if tracker is not None:
        from srbench.reporting.writers.trackers import log_report

        say(f"logged to {tracker}: {log_report(runs, tracker)}")
    if written.damaged:
        raise SRBenchError("; ".join(written.damaged))


@click.command(
    epilog=options.examples(
        "srbench compare srflow-t0.85 esrgan --run runs/mine",
        "srbench compare runs/mine runs/other",
        "srbench compare runs/released runs/new --fail-if-worse psnr,lpips",
    )
)
@click.argument("a", shell_complete=completion.ROWS)
@click.argument("b", shell_complete=completion.ROWS)
@click.option(
    "--run",
    type=options.PATH,
    metavar="RUN",
    help="Run that contains the models A and B. Without it, A and B are runs.",
)
@options.names(
    "--fail-if-worse",
    "guarded",
    metavar="METRIC,...",
    shell_complete=completion.MEASURED,
    help=(
        "End with exit code 1 if B is significantly worse than A in one of these metrics (docs/gate.md). [default: "
        "none]"
    ),
)
def compare(a: str, b: str, run: Path | None, guarded: tuple[str, ...] | None) -> None:
    """Compare two models or two runs, image by image.

    Append the temperature to the name of a model that samples: srflow-t0.8. The result is written into RUN, or into B.
    """
    verdict = None
    with shown_progress(reading([run] if run else [a, b])):
        from srbench.reporting.results import read_results
        from srbench.reporting.writers import compare as comparing

        if run:
            comparisons = [comparing.compare_models(read_results([run]), a, b)]
        else:
            comparisons = comparing.compare_runs(Path(a), Path(b))
        if guarded:
            from srbench.reporting.writers.gate import gate

            try:
                verdict = gate(comparisons, guarded)
            except ValueError as error:
                raise click.UsageError(f"--fail-if-worse: {error}.") from None
    for comparison in comparisons:
        path = comparing.write_comparison(comparison)
        show(f"A = {comparison.labels[0]}, B = {comparison.labels[1]}")
        show(comparing.terminal_table(comparison))
        if comparison is comparisons[0]:
            show(comparison.explanation)
        show(comparison.sentence)
        show(path)
    if verdict is not None:
        show(verdict.text)
        if verdict.fails:
            raise click.exceptions.Exit(1)


@click.command(epilog=options.examples("srbench view runs/mine"))
@click.argument("run", metavar="RUN|DIR", type=options.PATH)
@options.page
def view(run: Path, port: int, no_browser: bool) -> None:
    """Open the report of a run, or of a folder of runs, in a browser.

    The report of a run is written first if it is missing or older than the records, that of a folder always. The page
    is only reachable from this machine; press Ctrl-C to stop.
    """
    with shown_progress(reading([run])) as progress:
        from srbench.reporting.page.view import view as view_folder
        from srbench.reporting.writers.leaderboard import renew
        from srbench.run_folder.location import is_folder_of_runs, runs_below

        for each in runs_below(run) if is_folder_of_runs(run) else []:
            try:
                renew(each, progress)
            except SRBenchError as error:
                say(str(error))
        renew(run, progress)
    view_folder(run, port=port, browser=not no_browser)


def folders_of_runs(paths: Sequence[Path]) -> list[Path]:
    """Return these paths if they are folders of runs, and nothing if they are runs.

    Raises click.UsageError for runs beside folders, RunFolderError for a folder without runs.
    """
    from srbench.run_folder.location import is_folder_of_runs, runs_below

    folders = [path for path in paths if is_folder_of_runs(path)]
    for folder in folders:
        runs_below(folder)
    if folders and len(folders) < len(paths):
        run = next(path for path in paths if path not in folders)
        raise click.UsageError(f"{run} is a run, and {folders[0]} a folder of runs; give either runs or folders.")
    return folders


def reading(folders: Sequence[str | Path]) -> str:
    """Return the first progress message of a command that reads folders."""
    return f"reading {', '.join(map(str, folders))}"


def written_report(
    runs: Sequence[Path],
    progress: Progress,
    formats: Sequence[str] | None = None,
    out: Path | None = None,
    **settings: Any,  # noqa: ANN401 - those of write_report
) -> Report:
    """Write the report of runs that share a protocol, or of all runs below some folders."""
    from srbench.reporting.generated_folder import Choices
    from srbench.reporting.writers.leaderboard import write_leaderboard
    from srbench.reporting.writers.report import FORMATS, write_report
    from srbench.run_folder.location import is_folder_of_runs

    formats = formats or tuple(FORMATS)
    if is_folder_of_runs(runs[0]):
        choices = Choices(intervals=settings.get("intervals", False), pairs=settings.get("pairs", False))
        return write_leaderboard(runs, formats, out, progress, choices)
    return write_report(runs, formats, out, progress=progress, **settings)


def show_report(report: Report, *, has_protocols: bool = False) -> None:
    """Show the tables of a report, remarks on them, their protocols if wanted, and the files to open,
    the page first.
    """
    from srbench.reporting.tables.terminal import terminal_table

    for table in report.tables:
        show(terminal_table(table))
    for line in [*report.remarks, *(report.protocols if has_protocols else [])]:
        show(line)
    for page in (file for file in report.files if file.suffix == ".html"):
        show(f"Page: {page}")
        if report.subject is not None:
            show(f"Open it: srbench view {shlex.quote(str(report.subject))}")
    for file in [file for file in report.files if file.suffix != ".html"][:1]:
        show(f"Report: {file}")


def report_cell(outcome: Outcome, shard: str | None = None) -> None:
    """Print what the command did in one of several runs, and write the report of that run; for a shard, do nothing."""
    from srbench.reporting.writers.report import write_report

    if shard is not None:
        return
    sampled, scored = number_of(outcome.sampled, "item"), number_of(outcome.scored, "value")
    say(f"{outcome.folder}: {sampled} sampled and {scored} measured by this command")
    if outcome.usable:
        write_report([outcome.folder], runs_code=True)


def end_of_claims(judgement: Judgement) -> None:
    """End a command whose claims are about other data (SRBenchError), or not all reproduced, with exit code 1."""
    if judgement.refused:
        raise SRBenchError(judgement.refused)
    if judgement.contradicts:
        raise click.exceptions.Exit(1)


def show_outcome(
    outcome: Outcome,
    written: Report | None,
    shard: str | None = None,
    verdicts: Sequence[str | Table] = (),
    *,
    has_protocols: bool = False,
) -> None:
    """Show what a command did, its report, and verdicts on claims.

    Raises SRBenchError that counts the failures, which are shown already.
    """
    if not outcome.sampled and not outcome.scored and not outcome.failures:
        items = f"all {outcome.items} items are" if outcome.items != 1 else "the only item is"
        say(f"nothing to do: {items} measured in {outcome.folder}")
    if shard is not None:
        show(f"{outcome.folder}: shard {shard}; combine all shards with srbench merge")
    if written is not None:
        show_report(written, has_protocols=has_protocols)
    for line in verdicts:
        show(line)
    if outcome.failures:
        rest = "all others were" if outcome.usable else "there are no others"
        failed = number_of(len(outcome.failures), "result")
        raise SRBenchError(f"{failed} could not be measured ({rest}), see above")
    if written is not None and written.damaged:
        raise SRBenchError("; ".join(written.damaged))
