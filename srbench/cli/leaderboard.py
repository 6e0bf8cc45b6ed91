"""Commands of a leaderboard: index and submit. Imports that load torch are inside them."""

from __future__ import annotations

from pathlib import Path

import click

from srbench.cli import options
from srbench.cli.reporting import reading
from srbench.cli.terminal import say, show, shown_progress
from srbench.system.words import number_of


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=options.PATH)
@options.folder("--out", help="Folder of index.html, index.md, index.csv and index.json. [default: the first DIR]")
def index(folders: tuple[Path, ...], out: Path | None) -> None:
    """Make a leaderboard of all runs below some folders.

    Runs share a table only if their images, scale, protocol and signatures are equal.
    """
    with shown_progress(reading(folders)):
        from srbench.leaderboard.writing import write_index

        made, files, moved = write_index(list(folders), out)
    for before, now in moved:
        say(f"{before}: not written by srbench index; kept as {now.name}")
    for apart in made.apart:
        say(f"{apart.name}: not ranked: {apart.rule} {apart.text}".replace(":  ", ": "))
    runs, tables = number_of(len(made.runs), "run"), number_of(len(made.standings), "table")
    show(f"{runs} in {tables}; {len(made.apart)} not ranked")
    for file in files[:1]:
        show(f"Leaderboard: {file}")
