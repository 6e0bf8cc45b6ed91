"""The command that asks people: srbench vote. Imports that load torch are inside it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from srbench.cli import options
from srbench.terminal.output import show
from srbench.terminal.progress import shown_progress
from srbench.words import number_of

if TYPE_CHECKING:
    from rich.table import Table

    from srbench.voting.tally import Tally


Action = Literal["tally", "plan"]


def _half_width(text: str | float) -> float:
    if not 0.01 <= (width := float(text)) <= 0.3:  # not a number either, which click's ranges let pass
        raise click.BadParameter(f"{text} is not a half width; give a number from 0.01 to 0.3.")
    return width


@click.command()
@click.argument("run", type=options.PATH)
@options.models(help="Models or rows to vote on, such as esrgan,srflow-t0.8. [default: all]")
@click.option(
    "--reference",
    metavar="hr|lr",
    type=click.Choice(["hr", "lr"]),
    help="Reference shown between the outputs. [default: hr if the run has HR images]",
)
@click.option(
    "--votes",
    default=60,
    type=options.COUNT,
    metavar="N",
    help="Questions that count, per rater; obvious and repeated ones come on top.",
)
@click.option("--tally", "action", flag_value="tally", help="Print what the votes say.")
@click.option("--plan", "action", flag_value="plan", help="Estimate how many votes are needed.")
@click.option(
    "--half-width",
    default=0.05,
    type=_half_width,
    metavar="W",
    help="With --plan, half width wanted for the 95 % intervals of the preferences.",
)
@options.file("--export", help="Write a page that opens offline, for people elsewhere, instead of serving one.")
@click.option(
    "--add",
    multiple=True,
    type=options.PATH,
    metavar="FILE",
    help="Add votes that an offline page has saved; may be repeated.",
)
@options.seed(default=0, help="Random seed of the ballots.")
@click.option(
    "--host",
    metavar="ADDRESS",
    help="Address of this machine at which others can vote, such as 0.0.0.0 for "
    "all; asks for a token. [default: this machine alone]",
)
@options.page
def vote(
    run: Path,
    action: Action | None,
    half_width: float,
    export: Path | None,
    add: tuple[Path, ...],
    **values: Any,  # noqa: ANN401 - click's
) -> None:
    """Ask people which outputs they prefer, in a browser.

    Images are shown blind, in pairs, beside HR or LR. Votes are kept in RUN; reports show them. Press Ctrl-C to stop.
    """
    if sum(map(bool, (action, export, add))) > 1:
        raise click.UsageError("Give one of --tally, --plan, --export and --add.")
    if action == "tally":
        from srbench.voting.tally import tally

        with shown_progress(f"reading {run}"):
            found = tally(run)
        show_tally(found)
    elif add:
        _add(run, add)
    else:
        _ask(run, action, half_width, export, **values)


def _ask(
    run: Path,
    action: Action | None,
    half_width: float,
    export: Path | None,
    models: tuple[str, ...] | None,
    reference: Literal["hr", "lr"] | None,
    votes: int,
    seed: int,
    host: str | None,
    port: int,
    no_browser: bool,
) -> None:
    from srbench.voting.ballot import open_candidates

    candidates = open_candidates(run, models or (), reference)
    if action == "plan":
        from srbench.voting.plan import plan

        with shown_progress(f"simulating votes on {run}"):
            found = plan(candidates, half_width, votes, seed)
        show(found.sentence)
    elif export is not None:
        from srbench.voting.page import export as write_page

        with shown_progress(f"writing {export}") as progress:
            size = write_page(candidates, export, votes, seed, progress)
        show(
            f"{export}  {size / 2**20:.1f} MB; add the votes it saves: srbench vote {shlex.quote(str(run))} --add FILE"
        )
    else:
        from srbench.pages.server import HOST
        from srbench.voting.poll import Poll
        from srbench.voting.server import vote as serve

        serve(Poll(candidates, votes, seed), host=host or HOST, port=port, browser=not no_browser)


def _add(run: Path, saved: Sequence[Path]) -> None:
    from srbench.run_folder.folder import RunFolder
    from srbench.voting.page import read_saved
    from srbench.voting.records import add_votes

    folder = RunFolder.read(run)
    for path in saved:
        votes = read_saved(path)
        added = add_votes(folder, votes)
        known = f", {len(votes) - added} were there already" if added < len(votes) else ""
        show(f"{path}: {number_of(added, 'vote')} added{known}")


def show_tally(tally: Tally) -> None:
    """Print models, metrics and remarks of a tally."""
    from srbench.voting.words import metric_sentence, remarks, sentence

    show(sentence(tally))
    show(_strengths(tally))
    for line in (*map(metric_sentence, tally.metrics), *remarks(tally)):
        show(line)


def _strengths(tally: Tally) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, header_style="")
    columns = ["model", "preferred", "95 % interval", "votes", *(["with flagged raters"] if tally.flagged else [])]
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    of_all = {one.name: one.text for one in tally.by_all}
    for one in tally.strengths:
        more = [of_all[one.name]] if tally.flagged else []
        table.add_row(one.label, one.text, one.between, str(one.answers), *more)
    return table
