"""``srbench list`` and ``srbench show``. Imports that load torch are inside the functions."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srbench.cli import completion, options
from srbench.interfaces import SRBenchError
from srbench.terminal.output import say, show
from srbench.words import listed, number_of, unknown

if TYPE_CHECKING:
    from srbench.run_folder.overview import Overview

_KINDS = ("models", "metrics", "datasets", "suites", "degradations", "presets", "weights", "runs")
_INDENT = 14
"""Column where the values of ``srbench show`` begin."""


@click.command("list", epilog=options.examples("srbench list models", "srbench list runs"))
@click.argument("kind", metavar="KIND", type=options.Choice(_KINDS))
@click.argument("folder", metavar="[DIR]", required=False, type=options.PATH)
def list_command(kind: str, folder: Path | None) -> None:
    """List models, metrics, datasets, suites, or your runs.

    \b
    models        ready to run by name, and the scales of their packaged weights
    metrics       columns of the table
    datasets      packaged photographs, and benchmark sets by name
    suites        protocols: which metrics, computed how
    degradations  ways to make LR from HR
    presets       network sizes and schedules for srbench train
    weights       released by the authors; whether they are on this machine
    runs          run folders below DIR: images done, date [default: runs]

    srbench show NAME describes any of them.
    """  # noqa: D301 - click's mark
    if folder is not None and kind != "runs":
        raise click.UsageError("DIR goes with srbench list runs.")
    lines = [*(_runs(folder or Path("runs")) if kind == "runs" else _rows(kind))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    for *cells, last in lines:
        show("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last]).rstrip())


def _rows(group: str) -> Iterator[tuple[str, ...]]:
    from srbench.cli.catalogue import CATALOGUE

    for kind in CATALOGUE:
        if kind.group == group:
            yield from kind.rows()


def _runs(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield path, models, dataset, scale, images done and requested, samples if there are several, and start of every
    run below a folder.

    Names damaged runs on stderr. Raises SRBenchError if the folder has no run.
    """
    from srbench.run_folder.location import runs_below
    from srbench.run_folder.overview import overview

    if not folder.is_dir():
        raise SRBenchError(f"{folder}: no such folder; name the folder of your runs: srbench list runs DIR")
    for run in runs_below(folder):
        try:
            yield str(run), *_run_cells(overview(run))
        except (SRBenchError, OSError) as error:
            say(str(error))


def _run_cells(run: Overview) -> tuple[str, ...]:
    protocol = run.manifest.protocol
    models = ",".join(dict.fromkeys(model.joint_label for model in run.manifest.models))
    samples = number_of(run.samples, "sample") if run.samples > 1 else ""
    done = f"{run.done}/{run.requested} images" + (f" without {listed(run.missing)}" if run.missing else "")
    return models, protocol.dataset, f"x{protocol.scale}", done, samples, run.begun


@click.command("show", epilog=options.examples("srbench show psnr", "srbench show runs/mine"))
@click.argument("name", metavar="NAME|RUN|DIR", shell_complete=completion.NAMES)
def show_command(name: str) -> None:
    """Describe a model, metric, dataset or suite, or a run.

    NAME is anything that srbench list shows, or a model or metric such as file.py:Name. Of a RUN, or of each run below
    a DIR, the head of report.md is printed, as Markdown for a README: conclusions, tables and notes.
    """
    from srbench.cli.catalogue import CATALOGUE, kind_of_plugin

    kinds = [kind for kind in CATALOGUE if name in kind.names()]
    if not kinds and Path(name).is_dir():
        _show_runs(Path(name))
        return
    if not kinds and (":" in name or name.endswith(".py")):
        kinds = [kind_of_plugin(name)]
    if not kinds:
        raise SRBenchError(unknown("name", name, set().union(*(kind.names() for kind in CATALOGUE))))
    for number, kind in enumerate(kinds):
        show(f"{'' if number == 0 else chr(10)}{kind.title} {name}")
        for label, value in kind.details(name):
            show(_wrapped(label, value))


def _show_runs(folder: Path) -> None:
    """Print the head of the report of every run below a folder, or of the run that it is.

    Names runs that cannot be shown on stderr. Raises SRBenchError if none can.
    """
    from srbench.reporting.writers.report import head
    from srbench.run_folder.location import runs_below

    heads: list[str] = []
    faults: list[str] = []
    for run in runs_below(folder):
        try:
            heads.append(head(run))
        except (SRBenchError, OSError) as error:
            faults.append(str(error))
    if not heads:
        raise SRBenchError("; ".join(faults))
    for fault in faults:
        say(fault)
    click.echo("\n\n".join(heads))


def _wrapped(label: str, value: str) -> str:
    """Wrap a labelled value to the width of the terminal, but never inside a word, such as an address."""
    return textwrap.fill(
        value,
        max(shutil.get_terminal_size().columns, 2 * _INDENT),
        initial_indent=f"  {label:{_INDENT - 3}} ",
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
