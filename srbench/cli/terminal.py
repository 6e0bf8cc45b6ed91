"""Output of commands: results, remarks, a progress bar. Imports that load rich are inside the functions."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from srbench.terminal.progress import Shown


def show(result: str | Path | Table) -> None:
    """Print a line or a table on stdout."""
    from srbench.terminal.output import show as show_result

    show_result(str(result) if isinstance(result, Path) else result)


def say(text: str) -> None:
    """Print a remark as one line on stderr, above a progress bar."""
    from srbench.terminal.output import say as say_text

    say_text(text)


def warn_in_one_line() -> None:
    """Show warnings as one line on stderr, without the line of code."""

    def warn(message: Warning | str, *_: object, **__: object) -> None:
        say(f"warning: {message}")

    warnings.showwarning = warn


def shown_progress(begun: str) -> AbstractContextManager[Shown]:
    """Show at once what has ``begun``, before torch is loaded, then a bar on stderr as soon as there is a count."""
    from srbench.terminal.progress import shown_progress as shown

    return shown(begun)
