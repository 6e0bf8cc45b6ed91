"""``srbench vote``. Imports that load torch are inside the functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from srbench.cli import completion, options
from srbench.terminal.output import say, show
from srbench.terminal.progress import shown_progress

if TYPE_CHECKING:
    from rich.table import Table


@click.command(
    epilog=options.examples(
        "srbench vote runs/mine --models esrgan,srflow-t0.85 --out study",
        "srbench vote runs/mine --add votes-*.jsonl",
        "srbench vote runs/mine --tally",
    )
)
@click.argument("run", type=options.PATH)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=options.PATH)
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
@options.folder("--out", help="Folder of the page. [default: RUN/vote]")
@click.option("--add", is_flag=True, help="Add the FILEs that raters have saved to the votes of the run.")
@click.option("--tally", is_flag=True, help="Print the result of the votes so far.")
def vote(
    run: Path,
    files: tuple[Path, ...],
    models: tuple[str, ...] | None,
    reference: Literal["hr", "lr"] | None,
    votes: int,
    out: Path | None,
    add: bool,
    tally: bool,
) -> None:
    """Ask people which outputs they prefer.

    Writes a page with unlabelled outputs in pairs, beside HR or LR, to send to raters or to put on a web server. Raters
    open it in a browser, and save their votes as a file.
    """
    if add != bool(files):
        raise click.UsageError("--add takes the files that raters have saved: srbench vote RUN --add FILE...")
    if tally:
        _show_tally(run)
        return
    from srbench.voting.study import open_study

    if add:
        from srbench.voting.joining import join

        joined, refused = join(open_study(run), files)
        for line in joined:
            show(line)
        for line in refused:
            say(line)
        if refused:
            raise click.exceptions.Exit(1)
        return
    from srbench.reporting.generated_folder import replacing
    from srbench.voting.page import page
    from srbench.voting.study import turns

    place = out or run / "vote"
    with shown_progress(f"writing {place}"):
        study = open_study(run, begin=True)
        asked = turns(study, models or (), reference)
        with replacing(place) as draft:
            for name, content in page(study, asked, votes):
                draft.write(name, content)
    show(f"Page: {place / 'index.html'}")
    show(f"Send raters the folder, or its address on a web server; then: srbench vote {run} --add votes-*.jsonl")


def _show_tally(run: Path) -> None:
    from srbench.voting.tally import tally
    from srbench.voting.words import agreement_table, agreement_words, remarks, sentence, strength_table

    with shown_progress(f"counting votes on {run}"):
        result = tally(run)
    show(sentence(result))
    show(_table(strength_table(result)))
    show(_table(agreement_table(result.agreements)))
    for remark in filter(None, [agreement_words(result.agreements), *remarks(result)]):
        show(remark)


def _table(rows: Sequence[Sequence[str]]) -> Table:
    from rich.text import Text

    from srbench.reporting.tables.terminal import empty_table

    (first, *others), *lines = rows
    table = empty_table([first], [])
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, line))
    return table
