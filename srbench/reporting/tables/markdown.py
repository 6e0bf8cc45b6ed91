"""Tables in Markdown."""

from __future__ import annotations

from typing import Literal

from srbench.pages import markdown
from srbench.reporting.tables.table import Block, Table, Tables, as_tables, header, together


def markdown_table(
    tables: Table | Tables[Block], part: Literal["models", "variants"] = "models", *, letters: bool = False
) -> str:
    """Return a Markdown table of the means of the models, or of the variants, the best in bold.

    With ``letters``, every model has a letter, and a mean has the letters of the models that are significantly worse.
    Rows of a stack name their runs.
    """
    stack = as_tables(tables)
    letters = letters and part == "models"
    names = (*(("dataset", "scale") if stack.title else ()), *(("",) if letters else ()), "model")
    rows = [
        [
            *map(markdown.escape, (*block.place, *((line.letter,) if letters else ()), line.label)),
            *(
                (f"**{cell.text}**" if cell.is_best else cell.text)
                + (f"<sup>{together(cell.beaten)}</sup>" if letters and cell.beaten else "")
                for cell in cells
            ),
            str(line.n),
            *([markdown.escape(", ".join(block.run_names(line)))] if stack.title else []),
        ]
        for block, line, cells in stack.rows(part)
    ]
    columns = [markdown.escape(header(metric)) for metric in stack.columns]
    return markdown.table([*names, *columns, "n", *(["runs"] if stack.title else [])], rows, texts=len(names))


def interval_table(table: Table) -> str:
    """Return a Markdown table of the 95 % intervals of all lines; empty if there are none."""
    rows = [[markdown.escape(line.label), *(cell.interval for cell in table.cells(line))] for line in table.shown]
    if not any(any(row[1:]) for row in rows):
        return ""
    return markdown.table(["model", *(markdown.escape(header(metric)) for metric in table.columns)], rows)
