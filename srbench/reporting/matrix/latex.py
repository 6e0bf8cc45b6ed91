"""The tables of a matrix for a paper: LaTeX with booktabs, groups of columns under the names of their datasets."""

from __future__ import annotations

from collections.abc import Sequence

from srbench.reporting.latex import COLUMN, LETTER, MARK, display_name, escape, one_line, row, title
from srbench.reporting.matrix.parts import Part, Value
from srbench.reporting.ranking import RULE

PAGE = 505.0
"""Points: how wide a table may be that takes both columns of a paper."""
_GAP = 6.0


def latex_tables(parts: Sequence[Part]) -> str:
    """A table environment a suite. Groups that do not fit side by side are set beneath each other."""
    head = "% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}."
    return "\n".join([head, *(line for part in parts for line in _table(part))]) + "\n"


def _table(part: Part) -> list[str]:
    panels = _panels(part)
    environment = "table" if len(panels) == 1 and _names(part) + sum(_widths(part)) <= COLUMN else "table*"
    metrics = {m.signature: m.protocol for entry in part.entries for m in entry.scores.metrics}
    lines = [
        *(f"% {one_line(signature)}: {one_line(protocol)}" for signature, protocol in metrics.items()),
        f"\\begin{{{environment}}}",
        "\\centering",
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{3pt}",
        "\\setlength{\\belowcaptionskip}{6pt}",
        f"\\caption{{{_caption(part)}}}",
        f"\\label{{tab:{''.join(c if c.isalnum() else '-' for c in part.suite)}}}",
    ]
    for place, groups in enumerate(panels):
        lines += [*(["\\par\\medskip"] if place else []), *_tabular(part, groups)]
    return [*lines, f"\\end{{{environment}}}"]


def _tabular(part: Part, groups: Sequence[int]) -> list[str]:
    """The columns of some groups, by their places."""
    width = len(part.metrics)
    heads = [rf"\multicolumn{{{width}}}{{c}}{{{escape(part.groups[place])}}}" for place in groups]
    rules = [rf"\cmidrule(lr){{{3 + n * width}-{2 + (n + 1) * width}}}" for n in range(len(groups))]
    lines = [
        f"\\begin{{tabular}}{{lc{'r' * width * len(groups)}}}",
        "\\toprule",
        row(["", "", *heads]),
        "".join(rules),
        row(["model", "scale", *([title(metric) for metric in part.metrics] * len(groups))]),
    ]
    for scale, rows in part.blocks:
        lines.append("\\midrule")
        for label, values in rows:
            cells = [values[place * width + n] for place in groups for n in range(width)]
            lines.append(row([escape(display_name(label)), rf"${scale}\times$", *map(_printed, cells)]))
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def _printed(value: Value) -> str:
    return MARK[value.mark].format(escape(value.text)) + ("$^\\dagger$" if value.partial else "")


def _panels(part: Part) -> list[list[int]]:
    """The groups, by their places, that stand side by side."""
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
    """Points of the columns model and scale."""
    longest = max(len(label) for _, rows in part.blocks for label, _ in rows)
    return (longest + len("scale")) * LETTER + 2 * _GAP


def _widths(part: Part) -> list[float]:
    """Points of every group."""
    count, widths = len(part.metrics), []
    for place in range(len(part.groups)):
        columns = 0.0
        for n, metric in enumerate(part.metrics):
            words = [*metric.title.split()[:-1], f"{metric.title.split()[-1]} ↑"]
            texts = [values[place * count + n].shown for _, rows in part.blocks for _, values in rows]
            columns += max(map(len, [*words, *texts])) * LETTER + _GAP
        widths.append(columns)
    return widths


def _caption(part: Part) -> str:
    rule = RULE.format(best="\\textbf{Bold}", second="\\underline{underlined}", less="$<$")
    partial = any(value.partial for _, rows in part.blocks for _, values in rows for value in values)
    dagger = " $^\\dagger$: not all images are measured." if partial else ""
    return (
        f"Super-resolution, protocol {escape(part.suite)}. {'; '.join(map(escape, part.images))}. "
        f"Means over images; every scale and dataset is compared by itself. {rule}{dagger}"
    )
