"""The table of scores for a paper: LaTeX with booktabs, in which what a user named stays text."""

from __future__ import annotations

import re
import unicodedata

from srbench.facts import Manifest
from srbench.reporting.ranking import Mark
from srbench.reporting.scores import Scores

WIDEST = 4
"""Of how many metrics a table may be to stand in one column of a paper with two; with more it takes both."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "–": r"\textendash{}",
    "τ": r"$\tau$",
    "²": r"\texttwosuperior{}",
}
_MARK: dict[Mark, str] = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}


def escape(text: str) -> str:
    """Text that prints as it is with pdflatex; of a character it has not, the code point is printed."""
    escaped = "".join(map(_escape, unicodedata.normalize("NFC", _one_line(text))))
    return re.sub("-(?=-)", "-{}", escaped)


def latex_table(scores: Scores, manifest: Manifest) -> str:
    """A table with a line of means and a line of intervals for every row, and a caption with the protocol.

    What the document has to load, and how every metric is defined, stands above it as comments.
    """
    arrows = ["$\\uparrow$" if metric.higher_is_better else "$\\downarrow$" for metric in scores.metrics]
    titles = [f"{escape(metric.title)} {arrow}" for metric, arrow in zip(scores.metrics, arrows, strict=True)]
    lines = []
    for line in scores.lines:
        means = [_MARK[cell.mark].format(cell.text) for cell in line.cells]
        intervals = [rf"{{\scriptsize {escape(cell.interval)}}}" if cell.interval else "" for cell in line.cells]
        lines.append(_row([escape(line.label), *means, str(line.images)]))
        lines.append(_row(["", *intervals, ""]))
        lines.append("\\addlinespace[2pt]")
    lines.pop()
    environment = "table*" if len(scores.metrics) > WIDEST else "table"
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs}, \\usepackage{graphicx} and \\usepackage[T1]{fontenc}.",
            *(f"% {_one_line(metric.signature)}: {_one_line(metric.protocol)}" for metric in scores.metrics),
            f"\\begin{{{environment}}}",
            "\\centering",
            "\\setlength{\\tabcolsep}{3pt}",
            "\\setlength{\\belowcaptionskip}{6pt}",
            f"\\caption{{{_caption(manifest)}}}",
            "\\resizebox{\\linewidth}{!}{%",
            f"\\begin{{tabular}}{{l{'r' * (len(scores.metrics) + 1)}}}",
            "\\toprule",
            _row(["model", *titles, "$n$"]),
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}}",
            f"\\end{{{environment}}}",
            "",
        ]
    )


def _caption(manifest: Manifest) -> str:
    protocol = manifest.protocol
    crop = f", the central {protocol.crop} $\\times$ {protocol.crop} of each" if protocol.crop else ""
    return (
        f"Super-resolution ${protocol.scale}\\times$ on {escape(protocol.dataset)}, {len(manifest.scope)} images"
        f"{crop}, LR {escape(protocol.lr)}; protocol {escape(protocol.suite)}. Means over $n$ images; beneath them "
        "their 95\\,\\% intervals (BCa bootstrap over images). \\textbf{Bold}: better than every other row; "
        "\\underline{underlined}: better than every row but one (paired permutation test, $p < 0.05$)."
    )


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escape(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else f"[U+{ord(character):04X}]"
    is_latin = unicodedata.name(character, "").startswith("LATIN") and ord(character) < 0x180
    return character if is_latin else f"[U+{ord(character):04X}]"
