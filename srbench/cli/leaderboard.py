"""Commands of a leaderboard: index and submit. Imports that load torch are inside them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from srbench.cli import options
from srbench.cli.reporting import reading
from srbench.cli.terminal import say, show, shown_progress
from srbench.words import number_of

_resample = click.option(
    "--resample",
    type=options.resampled,
    default="0",
    metavar="K|all",
    help="Also sample K items of a run, or all, again with their models.",
)


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=options.PATH)
@options.folder("--out", help="Folder of index.html, index.md, index.csv and index.json. [default: the first DIR]")
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing, verify every run, and compare runs that name the same "
    "model or dataset. Exit code 1 if anything is contradicted.",
)
@_resample
def index(folders: tuple[Path, ...], out: Path | None, check: bool, resample: int | Literal["all"]) -> None:
    """Make a leaderboard of all runs below some folders.

    Runs share a table only if their images, scale, protocol and signatures are equal.
    """
    if check and out is not None:
        raise click.UsageError("--check writes nothing, so it does not go with --out.")
    if resample and not check:
        raise click.UsageError("--resample goes with --check.")
    if check:
        _check(folders, resample)
        return
    with shown_progress(reading(folders)) as progress:
        from srbench.leaderboard.writing import write_index

        made, files, moved = write_index(list(folders), out, progress)
    for before, now in moved:
        say(f"{before}: not written by srbench index, or changed since; kept as {now.name}")
    for apart in made.apart:
        say(": ".join(part for part in (apart.name, "not ranked", apart.rule, apart.text) if part))
    runs, tables = number_of(len(made.runs), "run"), number_of(len(made.standings), "table")
    show(f"{runs} in {tables}; {len(made.apart)} not ranked")
    show(f"Leaderboard: {files[0]}")


def _check(folders: tuple[Path, ...], resample: int | Literal["all"]) -> None:
    with shown_progress(reading(folders)) as progress:
        from srbench.leaderboard.check import check_index

        checked, faults = check_index(list(folders), resample=resample, progress=progress)
    for fault in faults:
        show(str(fault))
    values = sum(found.verified + found.unverified + found.contradicted for found in checked)
    runs = {fault.name for fault in faults} | {str(found.folder) for found in checked}
    show(
        f"{number_of(len(runs), 'run')}, {sum(found.verified for found in checked)} of {number_of(values, 'value')} "
        f"verified, {number_of(len({fault.name for fault in faults}), 'run')} contradicted"
    )
    raise click.exceptions.Exit(1 if faults else 0)


@click.command()
@click.argument("run", type=options.PATH)
@options.folder("--to", required=True, help="Folder of results, with one subfolder per run.")
@click.option(
    "--images", is_flag=True, help="Also copy the saved images; without them nobody can measure the run again."
)
@_resample
@options.device(help="Device to run on; auto takes a GPU if there is one.")
def submit(run: Path, to: Path, images: bool, resample: int | Literal["all"], device: str) -> None:
    """Add a verified run to a folder of results.

    A run that srbench verify contradicts is refused. Manifest, records, sums and the result of the check are copied,
    and the report is made again beside them.
    """
    with shown_progress(reading([run])) as progress:
        from srbench.leaderboard.submit import submit as submit_run

        target, found = submit_run(run, to, images=images, resample=resample, device=device, progress=progress)
    show(found.text())
    show(f"Submitted: {target}")
