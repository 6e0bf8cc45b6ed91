"""The table for a paper: LaTeX with booktabs. Names from users are escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from srbench.interfaces import MetricInfo
from srbench.judging.sentences import CAPTION_LETTERS, CAPTION_RULE, CAPTION_TEST
from srbench.judging.sign_flips import FEWEST_UNITS
from srbench.reporting.tables.table import Block, Cell, Line, Table, Tables, as_tables, other_means, together
from srbench.reporting.tables.templating import rendered
from srbench.run_folder.protocol import Manifest, tasks

COLUMN = 232.0
"""Width of one column of a two-column paper, in points."""
TEXT = 496.0
"""Width of the text of a two-column paper, in points: a wider table is shrunk to it."""
LETTER = 4.4
"""Mean width of a letter at font size 8, in points."""
NAMES = {"bicubic": "Bicubic", "esrgan": "ESRGAN", "rrdb": "RRDB", "srflow": "SRFlow"}
"""Spelling of packaged models in the literature, by the name that the user typed."""
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
    "†": r"$^\dagger$",
}


def escape(text: str) -> str:
    """Escape text so that pdflatex prints it verbatim; a character that its fonts lack becomes its code point."""
    escaped = "".join(map(_escape, unicodedata.normalize("NFC", " ".join(text.split()))))
    return re.sub(
        r"^(?=[\[*])|(?<=-)(?=-)", "{}", escaped
    )  # else [ or * would be an argument of the rule above, and -- a dash


def latex_table(
    table: Table,
    manifest: Manifest,
    *,
    intervals: bool,
    letters: bool = False,
    caption: str | None = None,
    label: str | None = None,
) -> str:
    """Return the table of a run, as ``captioned_table`` does; the caption states the protocol.

    ``caption``, in LaTeX, and ``label`` replace those made here.
    """
    protocol = manifest.protocol
    crop = f", the central {protocol.crop} $\\times$ {protocol.crop} of each" if protocol.crop else ""
    task = protocol.task(rf"${protocol.scale}\times$")
    subject = (
        f"{task} on {escape(protocol.dataset)} ({manifest.extent}{crop}, {protocol.lr_title} {escape(protocol.lr)}), "
        f"protocol {escape(protocol.suite)}"
    )
    own = {name: text for name, text in (("caption", caption), ("label", label)) if text is not None}
    name = f"{protocol.dataset}-x{protocol.scale}"
    return captioned_table(table, subject, name, intervals=intervals, letters=letters, own=own)


def captioned_table(
    table: Table,
    subject: str,
    label: str,
    *,
    intervals: bool,
    letters: bool = False,
    own: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return a table of means with one row per model, with ``intervals`` on a line below each row.

    With ``letters``, every row has a letter, and a mean has the letters of the rows that are significantly worse.
    The caption begins with ``subject``, in LaTeX; ``own`` has a caption or label to print instead. Comments above the
    table name the LaTeX packages that it needs and the signatures of its columns. The number of images is a column only
    if rows differ in it.
    """
    comments = [*filter(None, [table.left_out])]
    filled = _filled(as_tables(table), subject, label, intervals=intervals, letters=letters)
    return rendered("table.tex.jinja", comments=comments, tables=[{**filled, **own}])


def latex_tables(stacks: Iterable[tuple[Tables[Block], str]], *, intervals: bool, letters: bool = False) -> str:
    """Return the tables of some stacks, each given with the origin of its images, for its caption."""
    tables = [
        _filled(
            stack,
            f"{tasks(block.scale for block in stack.blocks)}, protocol {escape(stack.title)} ({escape(origin)})",
            stack.title,
            intervals=intervals,
            letters=letters,
        )
        for stack, origin in stacks
    ]
    return rendered("table.tex.jinja", comments=[], tables=tables)


def _filled(stack: Tables[Block], subject: str, label: str, *, intervals: bool, letters: bool) -> dict[str, object]:
    """Return the values of a table for ``table.tex.jinja``."""
    lines = [*stack.rows()]
    last = ["$n$"] if len({line.n for _, line, _ in lines}) > 1 else []
    places = ["dataset", "scale"] if stack.title else []
    columns = [*zip(*(cells for *_, cells in lines), strict=True)]
    used = [{letter for cell in column for letter in cell.beaten} if letters else set() for column in columns]
    blocks = []
    for block in stack.blocks:
        place = [escape(block.dataset), rf"${block.scale}\times$"] if places else []
        rows: list[str] = []
        for line in block.table.models:
            names = [*place, *([line.letter] if letters else []), escape(display_name(line))]
            count = [str(line.n)] if last else []
            rows += _lines(names, stack.cells(block, line), used, count, intervals=intervals)
            place = ["" for _ in places]
        if intervals:
            rows.pop()  # the space below the last row
        blocks.append(rows)
    units = " or ".join(dict.fromkeys(block.table.units for block in stack.blocks))
    over = f"$n$ {units}" if last else units
    if samples := sorted({n for block in stack.blocks for n in block.table.samples}):
        over += f", and over {' or '.join(map(str, samples))} samples of each{'' if units == 'images' else ' image'}"
    others = f"; {escape(words)}" if (words := other_means(stack.columns)) else ""
    separately = ", separately for every dataset and scale" if places else ""
    has_best = any(cell.is_best for column in columns for cell in column)
    marks = [*([CAPTION_RULE] if has_best else []), *([CAPTION_LETTERS] if any(used) else [])]
    best = f", {', '.join(marks)} {CAPTION_TEST}{separately}" if marks else ""
    flipped = " or ".join(dict.fromkeys(f"{block.table.unit}s" for block in stack.blocks))
    beneath = (
        f"{',' if samples else ''} with 95\\,\\% intervals (by sign flips, from {FEWEST_UNITS} {flipped} on)"
        if intervals
        else ""
    )
    width = _width(stack, used, intervals=intervals)
    return {
        "signatures": [metric.signature for metric in stack.columns],
        "is_wide": width > COLUMN,
        "is_shrunk": width > TEXT,
        "caption": f"{subject}: means over {over}{beneath}{best}{others}.",
        "label": f"tab:{re.sub('[^a-z0-9]+', '-', label.lower()).strip('-')}",
        "columns": "l" * (len(places) + letters + 1) + "r" * (len(stack.columns) + len(last)),
        "head": row([*places, *([""] if letters else []), "model", *map(title, stack.columns), *last]),
        "blocks": blocks,
    }


def _lines(
    names: Sequence[str], cells: Sequence[Cell], used: Sequence[set[str]], count: Sequence[str], *, intervals: bool
) -> Iterator[str]:
    """Yield the lines of a row: its means and, with ``intervals``, its intervals and a space.

    ``used`` are the letters in every column.
    """
    means = [rf"\textbf{{{escape(cell.text)}}}" if cell.is_best else escape(cell.text) for cell in cells]
    means = [mean + _superscript(cell, column) for mean, cell, column in zip(means, cells, used, strict=True)]
    yield row([*names, *means, *count])
    if intervals:
        ends = [rf"{{\scriptsize {escape(cell.interval)}}}" if cell.interval else "" for cell in cells]
        if any(ends):
            yield row([*("" for _ in names), *ends, *("" for _ in count)])
        yield r"\addlinespace[2pt]"


def _superscript(cell: Cell, used: set[str]) -> str:
    """Return the letters of a cell, and the space of all other letters in its column, so that digits are aligned."""
    shown = [letter for letter in cell.beaten if letter in used]
    texts = (together(letters) for letters in (shown, sorted(used - {*shown})))
    shown_text, space = (rf"\textsuperscript{{{text}}}" if text else "" for text in texts)
    return shown_text + (rf"\hphantom{{{space}}}" if space else "")


def title(metric: MetricInfo) -> str:
    """Format the title and arrow of a column, one word per line."""
    words = [escape(word) for word in metric.title.split()]
    words[-1] += ("", " $\\uparrow$", " $\\downarrow$")[metric.direction]
    return words[0] if len(words) == 1 else rf"\shortstack[r]{{{(chr(92) * 2).join(words)}}}"


def display_name(line: Line) -> str:
    """Return the label of a row, with a packaged model spelt as in papers: ``SRFlow τ=0.8``.

    A label that the user gave, as in ``esrgan=FOLDER``, is not changed.
    """
    name = line.typed.partition("+")[0]
    return NAMES[name] + line.label.removeprefix(name) if name in NAMES else line.label


def _width(stack: Tables[Block], used: Sequence[set[str]], *, intervals: bool) -> float:
    """Estimate the width of a table in points; intervals and superscripts are set at font size 7."""
    rows = [*stack.rows()]
    texts = zip(*((*block.place, line.label) for block, line, _ in rows), strict=True)
    names = [max(map(len, column)) * LETTER for column in texts]
    columns = [*names, 2 * LETTER, *([LETTER] if any(used) else [])]
    cells_of = zip(*(cells for *_, cells in rows), strict=True)
    for metric, letters, cells in zip(stack.columns, used, cells_of, strict=True):
        beneath = max(len(cell.interval) for cell in cells) if intervals else 0
        *words, last = metric.title.split()  # one word per line
        widest = max(map(len, [*words, f"{last} ↑", *(cell.text for cell in cells)]))
        columns.append(max(widest + 0.88 * len(together(sorted(letters))), 0.88 * beneath) * LETTER)
    return sum(columns) + 6 * (len(columns) - 1)


def row(cells: list[str]) -> str:
    """Join cells in LaTeX into a line of a tabular."""
    return " & ".join(cells) + r" \\"


def _escape(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else f"[U+{ord(character):04X}]"
    is_latin = unicodedata.name(character, "").startswith("LATIN") and ord(character) < 0x180
    return character if is_latin else f"[U+{ord(character):04X}]"
