"""``srbench vote``. Imports that load torch are inside the functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from srbench.cli import completion, options
from srbench.terminal.output import show
from srbench.terminal.progress import shown_progress

if TYPE_CHECKING:
    from rich.table import Table


@click.command(
    epilog=options.examples("srbench vote runs/mine --models esrgan,srflow-t0.85", "srbench vote runs/mine --tally")
)
@click.argument("run", type=options.PATH)
@options.models(
    shell_complete=completion.ROWS,
    help="Models or rows of the table to vote on, such as esrgan,srflow-t0.8. [default: all]",
)
@click.option(
    "--reference",
    metavar="hr|lr",
    type=options.Choice(["hr", "lr"]),
    help="Reference shown between the outputs. [default: hr; lr for a run without HR images]",
)
@click.option("--votes", default=60, type=options.COUNT, metavar="N", help="Questions per rater.")
@options.seed(default=0, help="Random seed of the questions.")
@click.option("--tally", is_flag=True, help="Print the result of the votes so far, without serving the page.")
@options.page
def vote(
    run: Path,
    models: tuple[str, ...] | None,
    reference: Literal["hr", "lr"] | None,
    votes: int,
    seed: int,
    tally: bool,
    port: int,
    no_browser: bool,
) -> None:
    """Ask people which outputs they prefer, in a browser.

    Raters see unlabelled outputs in pairs, beside HR or LR. Votes are saved in RUN; reports show them. Press Ctrl-C to
    stop.
    """
    if tally:
        _show_tally(run)
        return
    from srbench.voting.ballot import open_candidates
    from srbench.voting.poll import Poll
    from srbench.voting.server import vote as serve

    serve(Poll(open_candidates(run, models or (), reference), votes, seed), port=port, browser=not no_browser)


def _show_tally(run: Path) -> None:
    from srbench.judging.sentences import agreement_sentence
    from srbench.voting.tally import tally
    from srbench.voting.words import agreement_table, remarks, sentence, strength_table

    with shown_progress(f"counting votes on {run}"):
        result = tally(run)
    show(sentence(result))
    show(_table(strength_table(result)))
    show(_table(agreement_table(result.agreements, "votes", "Kendall's τ")))
    titles = [row.metric.title for row in result.agreements.rows]
    for remark in filter(None, [agreement_sentence(result.agreements.best, titles, "votes"), *remarks(result)]):
        show(remark)


def _table(rows: Sequence[Sequence[str]]) -> Table:
    from rich.text import Text

    from srbench.reporting.text import empty_table

    (first, *others), *lines = rows
    table = empty_table([first], [])
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, line))
    return table
