"""``srbench index``. Imports that load pandas are inside the function."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import options
from srbench.cli.reporting import reading
from srbench.terminal.output import say, show
from srbench.terminal.progress import shown_progress
from srbench.words import number_of


@click.command(epilog=options.examples("srbench index runs"))
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=options.PATH)
@options.folder("--out", help="Folder for index.html and index.csv. [default: index in the first DIR]")
def index(folders: tuple[Path, ...], out: Path | None) -> None:
    """List all runs below some folders on one page.

    Runs share a table only if their images, scale and protocol are equal.
    """
    with shown_progress(reading(folders)) as progress:
        from srbench.index.page import write_index

        written = write_index(folders, out or folders[0] / "index", progress)
    for reason in written.left_out:
        say(f"left out: {reason}")
    runs, tables = number_of(len(written.runs), "run"), number_of(len(written.tables), "table")
    show(f"{runs} in {tables}; {len(written.left_out)} left out")
    show(f"Index: {written.page}")
