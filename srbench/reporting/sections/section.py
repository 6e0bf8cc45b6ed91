"""A section of a report, which Markdown and the page show alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srbench.reporting.figures.plots import Plot


@dataclass(frozen=True)
class Section:
    """Text, tables and plots under a title, in this order."""

    name: str
    """Anchor of the page and, with a capital, word of its navigation."""
    title: str
    caption: str = ""
    sentences: Sequence[str] = ()
    tables: Sequence[Sequence[Sequence[str]]] = ()
    """Rows of text, the header first."""
    remarks: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    summary: Sequence[str] = ()
    """Sentences for the summary of the report."""
