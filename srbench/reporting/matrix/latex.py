"""Tables of a matrix for a paper: LaTeX with booktabs, columns grouped under the names of their datasets."""

from __future__ import annotations

from collections.abc import Sequence

from srbench.reporting.latex import COLUMN, LETTER, bold, column_width, display_name, escape, row, title
from srbench.reporting.matrix.parts import Part
from srbench.reporting.rendering import rendered

PAGE = 505.0
"""Width of both columns of a paper, in points."""
_GAP = 6.0


def latex_tables(parts: Sequence[Part]) -> str:
    """Table environments, one per suite. Groups that do not fit side by side stand beneath each other."""
    return rendered("table.tex.jinja", comments=[], tables=list(map(_table, parts)))


def _table(part: Part) -> dict[str, object]:
    panels = _panels(part)
    values = [value for _, rows in part.blocks for _, found in rows for value in found]
    remark = r" $^\dagger$ Not all images are measured." if any(value.partial for value in values) else ""
    return {
        "definitions": part.definitions,
        "is_wide": len(panels) > 1 or _names(part) + sum(_widths(part)) > COLUMN,
        "caption": f"Super-resolution, protocol {escape(part.suite)}. {'; '.join(map(escape, part.images))}. "
        f"Means over images; every scale and dataset is compared by itself.{remark}",
        "label": "".join(c if c.isalnum() else "-" for c in part.suite),
        "variants": part.has_variants,
        "tabulars": [_tabular(part, groups) for groups in panels],
    }


def _tabular(part: Part, groups: Sequence[int]) -> dict[str, object]:
    """Tabular of some groups, given by their places."""
    width = len(part.metrics)
    names = [rf"\multicolumn{{{width}}}{{c}}{{{escape(part.groups[place])}}}" for place in groups]
    rules = [rf"\cmidrule(lr){{{3 + n * width}-{2 + (n + 1) * width}}}" for n in range(len(groups))]
    titles = [title(metric) for metric in part.metrics] * len(groups)
    blocks = []
    for scale, rows in part.blocks:
        lines = []
        for label, values in rows:
            cells = [
                bold(escape(value.shown), is_best=value.is_best)
                for place in groups
                for value in values[place * width : (place + 1) * width]
            ]
            lines.append(row([escape(display_name(label)), rf"${scale}\times$", *cells]))
        blocks.append(lines)
    return {
        "columns": f"lc{'r' * width * len(groups)}",
        "head": [row(["", "", *names]), "".join(rules), row(["model", "scale", *titles])],
        "blocks": blocks,
    }


def _panels(part: Part) -> list[list[int]]:
    """Groups that stand side by side, by their places."""
    panels: list[list[int]] = [[]]
    left = PAGE - _names(part)
    for place, width in enumerate(_widths(part)):
        if panels[-1] and width > left:
            panels.append([])
            left = PAGE - _names(part)
        panels[-1].append(place)
        left -= width
    return panels


def _names(part: Part) -> float:
    """Width of the columns model and scale, in points."""
    longest = max(len(label) for _, rows in part.blocks for label, _ in rows)
    return (longest + len("scale")) * LETTER + 2 * _GAP


def _widths(part: Part) -> list[float]:
    """Width of every group, in points."""
    count = len(part.metrics)
    lines = [values for _, rows in part.blocks for _, values in rows]
    columns = [
        column_width(part.metrics[place % count], (values[place].shown for values in lines)) + _GAP
        for place in range(count * len(part.groups))
    ]
    return [sum(columns[first : first + count]) for first in range(0, len(columns), count)]
