"""Markdown that is legible as plain text, with user-supplied names escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

_SPECIAL = re.compile(r"[\\`*\[\]<>#|~$&!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def escape(text: str) -> str:
    """Escape text so that it is shown verbatim on one line: no markup, links, HTML or formulas."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def code(text: str) -> str:
    """Format text, which may contain backticks, as inline code."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"


def block(text: str, language: str) -> str:
    """Format text as a fenced code block."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def image(title: str, *folders_and_file: str) -> str:
    """Embed an image, given the parts of its path."""
    return f"![{escape(title)}]({'/'.join(quote(part, safe='') for part in folders_and_file)})"


def table(headers: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1) -> str:
    """Format a table of Markdown cells; the first ``texts`` columns are left-aligned, all others right-aligned."""
    widths = [max(3, *map(len, column)) for column in zip(headers, *lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            f"{cell:{'<' if place < texts else '>'}{width}}"
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if place < texts else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join(line(cells) for cells in [headers, rule, *lines])
