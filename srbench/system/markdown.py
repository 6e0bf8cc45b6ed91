"""Markdown that is read as plain text as well, and in which what a user named stays text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

_SPECIAL = re.compile(r"[\\`*\[\]<>#|~$&!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def escape(text: str) -> str:
    """Text that shows as it is, on one line: no markup, no link, no HTML, no formula."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def code(text: str) -> str:
    """The text as inline code, whatever backticks it holds."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"


def block(text: str, language: str) -> str:
    """The text as a fenced block of code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def image(title: str, *folders_and_file: str) -> str:
    """An embedded image; every part of its path is quoted."""
    return f"![{escape(title)}]({'/'.join(quote(part, safe='') for part in folders_and_file)})"


def table(headers: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table of cells that are Markdown already: ``texts`` columns to the left, the others to the right."""
    columns = list(zip(headers, *lines, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if place < texts else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join(line(cells) for cells in [headers, rule, *lines])
