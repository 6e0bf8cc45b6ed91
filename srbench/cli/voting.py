"""The command that asks people: srbench vote. Imports that load torch are inside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from srbench.cli import options
from srbench.cli.terminal import show

if TYPE_CHECKING:
    from rich.table import Table

    from srbench.voting.tally import Tally


@click.command()
@click.argument("run", type=options.PATH)
@options.models(help="Models or rows to vote on, such as esrgan,srflow-t0.8. [default: all]")
@click.option("--reference", metavar="hr|lr", type=click.Choice(["hr", "lr"]), help="Image shown beside. [default: hr "
              "if the run has HR images]")  # fmt: skip
@click.option("--votes", default=60, type=options.COUNT, metavar="N", help="Questions of one rater that count; "
              "obvious and repeated ones are added.")  # fmt: skip
@click.option("--tally", "action", flag_value="tally", help="Print what the votes say.")
@click.option("--plan", "action", flag_value="plan", help="Estimate how many votes are needed.")
@click.option("--half-width", default=0.05, type=click.FloatRange(0.01, 0.3), metavar="W", help="With --plan, wanted "
              "half width of the 95 % intervals of shares.")  # fmt: skip
@options.seed(default=0, help="Random seed of the ballots.")
def vote(
    run: Path, models: tuple[str, ...] | None, reference: Literal["hr", "lr"] | None, votes: int,
    action: Literal["tally", "plan"] | None, half_width: float, seed: int,
) -> None:  # fmt: skip
    """Ask people which outputs of RUN they prefer."""
    from srbench.voting.ballot import open_candidates
    from srbench.voting.plan import plan
    from srbench.voting.tally import tally

    if action == "tally":
        show_tally(tally(run))
        return
    if action is None:
        raise click.UsageError("Give --tally or --plan.")
    show(plan(open_candidates(run, models or (), reference), half_width, votes, seed).sentence)


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
