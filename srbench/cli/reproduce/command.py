"""The command that measures published numbers again. Imports that load torch are inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srbench.cli import options
from srbench.cli.terminal import show, shown_progress
from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from srbench.benchmark.engines.choice import Workers
    from srbench.benchmark.run import Outcome
    from srbench.cli.reproduce.logs import LoggedOutputs
    from srbench.cli.reproduce.tables import Reproduction


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@click.argument("source", required=False, metavar="[SOURCE]", default=Path(), type=options.PATH)
@options.folder("--out", help="Run folder. [default: runs/NAME]")
@options.workers
def reproduce(name: str | None, source: Path, out: Path | None, workers: Workers) -> None:
    """Measure published numbers again.

    Prints both and their differences. Without NAME, lists the numbers that are known:

    \b
    a table, such as srflow-celeba-x8    models are run
    outputs with a log, osediff-realsr   the outputs are measured, value by value

    SOURCE is a clone of the project that published the outputs, or its folder of this dataset [default: this folder].
    What is missing is listed, with where it goes; then the exit code is 1. A column whose weights are missing is named,
    and the others are measured.
    """  # noqa: D301 - click's mark
    from srbench.cli.reproduce.logs import logs
    from srbench.cli.reproduce.tables import reproductions
    from srbench.words import unknown

    tables, logged = reproductions(), logs()
    if name is None:
        known: dict[str, Reproduction | LoggedOutputs] = {**tables, **logged}
        for one, asked in known.items():
            show(f"{one:17} {asked.source}. Needs: {asked.needs}")
        return
    folder = out or Path("runs") / name
    if name in tables:
        _reproduce_table(name, tables[name], folder, workers)
    elif name in logged:
        _reproduce_log(logged[name], source, folder, workers)
    else:
        raise SRBenchError(unknown("reproduction", name, [*tables, *logged]))


def _reproduce_table(name: str, asked: Reproduction, folder: Path, workers: Workers) -> None:
    from srbench.benchmark.run import run
    from srbench.cli.reproduce.tables import side_by_side

    if missing := asked.missing():
        for line in missing:
            show(line)
        raise SRBenchError(f"{name}: lacks data or weights; see above")
    with shown_progress(f"opening {name}") as progress:
        outcome = run(asked.spec(folder), progress, workers)
    if outcome.usable:
        show(side_by_side(asked, folder))
    _refuse_failures(outcome)


def _reproduce_log(asked: LoggedOutputs, source: Path, out: Path, workers: Workers) -> None:
    from srbench.benchmark.run import run
    from srbench.cli.reproduce.logs import beside, log_columns, set_values, summary, write_beside

    folder = asked.located(source)
    log = asked.read_log(folder)
    show(asked.check_pixels(folder))
    columns = log_columns(asked, log)
    if not columns.metrics:
        raise SRBenchError(f"no column of the log can be measured: {'; '.join(columns.missing.values())}")
    metrics = tuple(metric.spec for metric in columns.metrics.values())
    with shown_progress(f"reading {folder}") as progress:
        outcome = run(asked.spec(folder, metrics, out), progress, workers)
    if outcome.usable:
        found = beside(asked, log, columns, out)
        show(summary(found))
        for column, value in set_values(asked, folder, columns).items():
            measured = value if isinstance(value, str) else f"measured {value:.4f}"
            show(f"{column}, {log.means.get(column, 'not in the log')} in the log: {measured}")
        for column, reason in columns.missing.items():
            show(f"{column}, {log.means.get(column, 'not in the log')} in the log, is not measured: {reason}")
        show(f"Every image: {write_beside(found, out)}")
        show(f"Report: srbench report {out}; check it: srbench verify {out}")
    _refuse_failures(outcome)


def _refuse_failures(outcome: Outcome) -> None:
    if outcome.failures:
        raise SRBenchError(f"{len(outcome.failures)} could not be measured: {'; '.join(outcome.failures)}")
