"""Terminal output: results on stdout, progress and errors on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

from srbench.words import printable

STDERR = Console(stderr=True, emoji=False)
STDOUT = Console(emoji=False)
_NO_LIMIT = 10_000


def say(text: str) -> None:
    """Print a line on stderr, above any progress bar; unwrapped, without markup or control codes."""
    STDERR.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def show(result: str | Path | Table) -> None:
    """Print a line or a table on stdout.

    In a terminal that is too narrow, a table is split into several tables that repeat its first column. In a pipe or
    file, a table is as wide as its content.
    """
    if not isinstance(result, Table):
        STDOUT.print(printable(str(result), but="\n"), soft_wrap=True, markup=False, highlight=False)
    elif STDOUT.is_terminal:
        for part in _parts(result, STDOUT.width):
            STDOUT.print(part)
    else:
        Console(width=_NO_LIMIT, emoji=False).print(result)


def _parts(table: Table, width: int) -> list[Table]:
    """Split a table into tables that fit ``width``, each with the first column and at least one more."""
    first, *remaining = table.columns
    first = replace(first, max_width=max(width // 2, 1), no_wrap=False, overflow="fold")
    parts: list[Table] = []
    while remaining or not parts:
        count = len(remaining)
        while count > 1 and _width(_with_columns(table, [first, *remaining[:count]])) > width:
            count -= 1
        parts.append(_with_columns(table, [first, *remaining[:count]]))
        remaining = remaining[count:]
    for part in parts[1:]:
        part.title = None
    for part in parts[:-1]:
        part.caption = None
    return parts


def _with_columns(table: Table, columns: Sequence[Column]) -> Table:
    part = copy(table)
    part.columns = Table(*map(copy, columns)).columns  # which numbers them
    return part


def _width(table: Table) -> int:
    wide = Console(width=_NO_LIMIT, emoji=False)
    return Measurement.get(wide, wide.options, table).maximum


def duration(seconds: float) -> str:
    """Format a duration: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
