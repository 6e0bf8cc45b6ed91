"""What a person sees: progress and faults on stderr, results on stdout."""

from __future__ import annotations

import time
import warnings

from rich.console import Console
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
from rich.table import Table
from rich.text import Text

from srbench.system.file_names import printable

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
    """Time elapsed, and time left once the pace is known."""

    def render(self, task: Task) -> Text:
        """``1 min 5 s elapsed, about 3 min left``."""
        text = f"{duration(task.elapsed or 0)} elapsed"
        ends = task.fields.get("ends")
        if ends is not None and not task.finished:
            text += f", about {duration(max(ends - time.monotonic(), 0))} left"
        return Text(text, style="dim")


def progress() -> Progress:
    """A bar on stderr with the number done, the time elapsed, and the time left if a task has a field ``ends``.

    ``ends`` is when a task will be done, by ``time.monotonic``; see ``Pace``.
    """
    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _Durations(),
        console=_STDERR,
        redirect_stdout=_STDOUT.is_terminal,  # lines for a pipe or a file must not land on stderr
    )  # fmt: skip


class Pace:
    """When a job will be done, from the share of it that is done."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._share = 0.0
        self.ends: float | None = None
        """By ``time.monotonic``; None until a share is done."""

    def see(self, share: float) -> None:
        """Estimate again if the share, in [0, 1], has grown. The first call starts the clock."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if share > self._share:
            self._share, self.ends = share, now + (now - self._began) * (1 / share - 1)


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
