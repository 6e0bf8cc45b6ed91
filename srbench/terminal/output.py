"""Terminal output: progress and errors on stderr, results on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from srbench.terminal.time_left import TimeLeft
from srbench.words import printable

_STDERR = Console(stderr=True)
_STDOUT = Console()
_NO_LIMIT = 10_000


def say(text: str) -> None:
    """Print one line on stderr, above a progress bar if there is one; unwrapped, without markup or control codes."""
    _STDERR.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def show(result: str | Table) -> None:
    """Print a line or a table on stdout. In a pipe or a file, a table is as wide as its contents.

    In a terminal that is narrower, its columns are printed in several tables, each with the first column.
    """
    if isinstance(result, str):
        _STDOUT.print(printable(result, but="\n"), soft_wrap=True, markup=False, highlight=False)
    elif _STDOUT.is_terminal:
        for part in _parts(result, _STDOUT.width):
            _STDOUT.print(part)
    else:
        Console(width=_NO_LIMIT).print(result)


def _parts(table: Table, width: int) -> list[Table]:
    """Tables of the first column and of as many others as fit, at least one."""
    named, *left = table.columns
    named = replace(named, max_width=max(width // 2, 1), no_wrap=False, overflow="fold")
    parts: list[Table] = []
    while left or not parts:
        count = len(left)
        while count > 1 and _width(_with_columns(table, [named, *left[:count]])) > width:
            count -= 1
        parts.append(_with_columns(table, [named, *left[:count]]))
        left = left[count:]
    for part in parts[1:]:
        part.title = None
    for part in parts[:-1]:
        part.caption = None
    return parts


def _with_columns(table: Table, columns: Sequence[Column]) -> Table:
    part = copy(table)
    part.columns = [replace(column, _index=place) for place, column in enumerate(columns)]
    return part


def _width(table: Table) -> int:
    wide = Console(width=_NO_LIMIT)
    return Measurement.get(wide, wide.options, table).maximum


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def elapsed_and_left(elapsed: float, left: float | None) -> str:
    """``1 min 5 s elapsed, about 3 min left``; None for a time left that is unknown or over."""
    return f"{duration(elapsed)} elapsed" + ("" if left is None else f", about {duration(left)} left")


class _Durations(ProgressColumn):
    """Time elapsed, and time left as a task's field ``left`` tells."""

    def render(self, task: Task) -> Text:
        """The time left counts down between steps that take minutes."""
        left: TimeLeft | None = task.fields.get("left")
        seconds = None if left is None or task.finished else left.seconds()
        return Text(elapsed_and_left(task.elapsed or 0.0, seconds), style="dim")


class _Count(MofNCompleteColumn):
    """``3/88``; empty while nothing has been counted."""

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task)


class _Description(TextColumn):
    """Description on one line, which is shortened where the line would not fit the terminal: the numbers stay whole."""

    def __init__(self) -> None:
        super().__init__("{task.description}", markup=False, table_column=Column())

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def progress() -> Progress:
    """A bar on stderr with the number done and the time elapsed, and the time left if a task has a field ``left``."""
    whole = Column(no_wrap=True)
    return Progress(
        _Description(),
        BarColumn(),
        _Count(table_column=whole),
        _Durations(whole),
        console=_STDERR,
        redirect_stdout=_STDOUT.is_terminal,  # lines for a pipe or a file must not land on stderr
    )


def transfer() -> Progress:
    """A bar on stderr with bytes done, speed and time left; only in a terminal, and removed at the end."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=_STDERR if _STDERR.is_terminal else Console(quiet=True),
        transient=True,
    )
