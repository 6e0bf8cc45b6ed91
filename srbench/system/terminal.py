"""Terminal output: progress and errors on stderr, results on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from srbench.interfaces import Progress, Step
from srbench.system.file_names import printable

_STDERR = Console(stderr=True)
_STDOUT = Console()
_NO_LIMIT = 10_000
SECONDS = 30
"""Time between lines of progress if stderr is no terminal."""


def say(text: str) -> None:
    """Print one line on stderr, above a progress bar if there is one; unwrapped, without markup or control codes."""
    _STDERR.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def show(result: str | Table) -> None:
    """Print a line or a table on stdout. In a pipe or a file, a table is as wide as its contents."""
    if isinstance(result, str):
        _STDOUT.print(printable(result, but="\n"), soft_wrap=True, markup=False, highlight=False)
    elif _STDOUT.is_terminal:
        _STDOUT.print(result)
    else:
        Console(width=_NO_LIMIT).print(result)


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


class _Durations(ProgressColumn):
    """``1 min 5 s elapsed, about 3 min left``: the time left follows from a task's field ``share``, in [0, 1].

    Unlike rich's, the estimate counts down between steps that take minutes.
    """

    def render(self, task: Task) -> Text:
        """Estimate again only when the share has grown."""
        elapsed, share, fields = task.elapsed or 0.0, task.fields.get("share", 0.0), task.fields
        if share > fields.get("seen", 0.0):
            fields.update(seen=share, end=elapsed / share)
        text = f"{duration(elapsed)} elapsed"
        if "end" in fields and not task.finished:
            text += f", about {duration(max(fields['end'] - elapsed, 0))} left"
        return Text(text, style="dim")


class _Description(TextColumn):
    """Description on one line, which is shortened where the line would not fit the terminal: the numbers stay whole."""

    def __init__(self) -> None:
        super().__init__("{task.description}", markup=False, table_column=Column())

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def progress() -> Bar:
    """A bar on stderr with the number done and the time elapsed, and the time left if a task has a field ``share``."""
    whole = Column(no_wrap=True)
    return Bar(
        _Description(), BarColumn(), MofNCompleteColumn(table_column=whole), _Durations(whole),
        console=_STDERR,
        redirect_stdout=_STDOUT.is_terminal,  # lines for a pipe or a file must not land on stderr
    )  # fmt: skip


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show a bar on stderr as soon as there is something to do, and a line above it for everything that fails."""
    bar = progress()
    task = bar.add_task("", start=False, total=None)
    began = said = time.monotonic()

    def update(step: Step) -> None:
        nonlocal said
        if step.fault:
            say(f"failed: {step.fault}")
        if step.total > 0:
            share = step.done / step.total if step.share is None else step.share
            description: dict[str, Any] = {"description": printable(step.what)} if step.what else {}
            bar.update(task, completed=step.done, total=step.total, share=share, **description)
            bar.start_task(task)  # does nothing if it has started, nor does the next line
            bar.start()
            now = time.monotonic()
            if not bar.console.is_terminal and now - said > SECONDS:
                said = now
                left = f", about {duration((now - began) * (1 - share) / share)} left" if share else ""
                say(f"{step.what}: {share:.0%}, {duration(now - began)} elapsed{left}")

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


def transfer() -> Bar:
    """A bar on stderr with bytes done, speed and time left; only in a terminal, and removed at the end."""
    return Bar(
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=_STDERR if _STDERR.is_terminal else Console(quiet=True), transient=True,
    )  # fmt: skip
