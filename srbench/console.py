"""What a person sees: progress and faults on stderr, results on stdout."""

from __future__ import annotations

import warnings

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from srbench.names import printable

_STDERR = Console(stderr=True)
_STDOUT = Console()
_NO_LIMIT = 10_000


def say(text: str) -> None:
    """One line on stderr, above a progress bar that may be there; never wrapped, and nothing in it is a command."""
    _STDERR.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def show(result: str | Table) -> None:
    """A line or a table on stdout. Into a pipe or a file a table is as wide as it needs to be."""
    if isinstance(result, str):
        _STDOUT.print(printable(result, but="\n"), soft_wrap=True, markup=False, highlight=False)
    elif _STDOUT.is_terminal:
        _STDOUT.print(result)
    else:
        Console(width=_NO_LIMIT).print(result)


def progress() -> Progress:
    """A bar on stderr with the number done, the time taken and the time left."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
        console=_STDERR,
    )


def transfer() -> Progress:
    """A bar on stderr with the bytes done, the speed and the time left; only in a terminal, and gone at the end."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=_STDERR if _STDERR.is_terminal else Console(quiet=True),
        transient=True,
    )


def warn_in_one_line() -> None:
    """From now on a warning is one line on stderr, without the line of code that gave it."""
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
