"""What a command has done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """Result of a command."""

    folder: Path
    items: int
    """Number of settings and images that the command asked for."""
    sampled: int
    """Number of items sampled now, without those that the folder already held."""
    scored: int
    """Number of values measured now."""
    usable: bool
    """True if the folder holds anything that a report can show."""
    failures: tuple[str, ...]
    """One line for everything that could not be read, sampled or measured now."""
