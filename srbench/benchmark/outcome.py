"""The outcome of ``srbench run`` or ``srbench score``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What a command did in a run folder."""

    folder: Path
    items: int
    """Number of items (setting and image) requested."""
    sampled: int
    """Number of items sampled by this command."""
    scored: int
    """Number of values measured by this command."""
    usable: bool
    """True if the folder has a result that a report can show."""
    failures: tuple[str, ...]
    """One line for each pair, item or value that failed in this command."""
