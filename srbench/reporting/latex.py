"""The table of scores for a paper: LaTeX with booktabs, in which what a user named stays text."""

from __future__ import annotations

import re
import unicodedata

from srbench.interfaces import MetricFacts
from srbench.reporting.published import DIFFERS
from srbench.reporting.ranking import RULE, Mark
from srbench.reporting.scores import Scores
from srbench.run_folder.protocol import Manifest

COLUMN = 232.0
"""Points: how wide a table may be to stand in one column of a paper with two."""
LETTER = 4.4
"""Points: width of a letter of 8 points."""
LONGEST = 20
"""Letters of a name; a longer one is broken into lines."""
NAMES = {
    "bicubic": "Bicubic", "edsr": "EDSR", "esrgan": "ESRGAN", "hat": "HAT", "rcan": "RCAN",
    "real-esrgan": "Real-ESRGAN", "rrdb": "RRDB", "srflow": "SRFlow", "srgan": "SRGAN", "swinir": "SwinIR",
}  # fmt: skip
"""Models as the literature writes their names."""

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
_PUBLISHED = {DIFFERS: "$\\neq$", "–": r"\textendash{}"}
MARK: dict[Mark, str] = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}


def escape(text: str) -> str:
    """Text that prints as it is with pdflatex; of a character it has not, the code point is printed."""
    escaped = "".join(map(_escape, unicodedata.normalize("NFC", one_line(text))))
    return re.sub("-(?=-)", "-{}", escaped)


def latex_table(scores: Scores, manifest: Manifest, *, intervals: bool) -> str:
    """A table with a line of means for every row, where ``intervals`` a line of these beneath it, and the protocol.

    What the document has to load, and how every metric is defined, stands above it as comments. It takes one column of
    a paper with two where it fits there, else both.
    """
    header = ["model", *map(title, scores.metrics), "$n$"]
    is_broken = _longest(scores) > LONGEST
    lines = []
    for line in scores.lines:
        name = escape(display_name(line.label))
        means = [MARK[cell.mark].format(cell.text) for cell in line.cells]
        lines.append(row([rf"\raggedright {name}" if is_broken else name, *means, str(line.images)]))
        if intervals:
            ends = [rf"{{\scriptsize {escape(cell.interval)}}}" if cell.interval else "" for cell in line.cells]
            lines += [row(["", *ends, ""]), "\\addlinespace[2pt]"]
    if intervals:
        lines.pop()
    lines += _published(scores)
    names = f"p{{{LONGEST * LETTER:g}pt}}" if is_broken else "l"
    environment = "table" if _width(scores, intervals=intervals) <= COLUMN else "table*"
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}.",
            *(
                ["% And \\usepackage{xcolor}, for the rows that are published and were not measured here."]
                if scores.published.lines
                else []
            ),
            *(f"% {one_line(note)}" for note in scores.published.notes),
            *(f"% {one_line(metric.signature)}: {one_line(metric.protocol)}" for metric in scores.metrics),
            f"\\begin{{{environment}}}",
            "\\centering",
            "\\footnotesize",
            "\\setlength{\\tabcolsep}{3pt}",
            "\\setlength{\\belowcaptionskip}{6pt}",
            f"\\caption{{{_caption(manifest, intervals=intervals)}}}",
            f"\\label{{{_label(manifest, intervals=intervals)}}}",
            f"\\begin{{tabular}}{{{names}{'r' * (len(scores.metrics) + 1)}}}",
            "\\toprule",
            row(header),
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
            f"\\end{{{environment}}}",
            "",
        ]
    )


def _published(scores: Scores) -> list[str]:
    """The rows that were not measured here, grey, beneath a rule."""
    lines = []
    for line in scores.published.lines:
        texts = [escape(display_name(line.label)), *(_PUBLISHED.get(cell.text, cell.text) for cell in line.cells)]
        lines.append(row([rf"\textcolor{{gray}}{{{text}}}" for text in [*texts, str(line.images)]]))
    return ["\\midrule", *lines] if lines else []


def title(metric: MetricFacts) -> str:
    """Title and arrow, a word a line."""
    words = [escape(word) for word in metric.title.split()]
    words[-1] += ("", " $\\uparrow$", " $\\downarrow$")[metric.direction]
    return words[0] if len(words) == 1 else rf"\shortstack[r]{{{(chr(92) * 2).join(words)}}}"


def display_name(label: str) -> str:
    """A label with its model as papers write it: ``SRFlow τ=0.8``; a user's own label as it is."""
    return re.sub(r"^[a-z-]+(?=$| |\+)", lambda found: NAMES.get(found[0], found[0]), label)


def _longest(scores: Scores) -> int:
    return max(len(line.label) for line in scores.lines)


def _width(scores: Scores, *, intervals: bool) -> float:
    """About how wide the table is, in points: letters of 8 points, intervals of 7."""
    columns = [min(_longest(scores), LONGEST) * LETTER, 2 * LETTER]
    for place, metric in enumerate(scores.metrics):
        words = [*metric.title.split()[:-1], f"{metric.title.split()[-1]} ↑"]
        widest = max([*map(len, words), *(len(line.cells[place].text) for line in scores.lines)])
        beneath = max(len(line.cells[place].interval) for line in scores.lines) if intervals else 0
        columns.append(max(widest, 0.88 * beneath) * LETTER)
    return sum(columns) + 6 * (len(columns) - 1)


def _caption(manifest: Manifest, *, intervals: bool) -> str:
    protocol = manifest.protocol
    crop = f", the central {protocol.crop} $\\times$ {protocol.crop} of each" if protocol.crop else ""
    beneath = "; beneath them their 95\\,\\% intervals (BCa bootstrap over images)" if intervals else ""
    rule = RULE.format(best="\\textbf{Bold}", second="\\underline{underlined}", less="$<$")
    return (
        f"Super-resolution ${protocol.scale}\\times$ on {escape(protocol.dataset)}, {len(manifest.scope)} images"
        f"{crop}, LR {escape(protocol.lr)}; protocol {escape(protocol.suite)}. Means over $n$ images{beneath}. "
        f"{rule}"
    )


def _label(manifest: Manifest, *, intervals: bool) -> str:
    name = re.sub("[^a-z0-9]+", "-", f"{manifest.protocol.dataset}-x{manifest.protocol.scale}".lower()).strip("-")
    return f"tab:{name}{'-intervals' if intervals else ''}"


def row(cells: list[str]) -> str:
    """A line of a tabular, of cells that are LaTeX already."""
    return " & ".join(cells) + r" \\"


def one_line(text: str) -> str:
    """The text with single spaces, and nothing else that breaks a line."""
    return " ".join(text.split())


def _escape(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else f"[U+{ord(character):04X}]"
    is_latin = unicodedata.name(character, "").startswith("LATIN") and ord(character) < 0x180
    return character if is_latin else f"[U+{ord(character):04X}]"
