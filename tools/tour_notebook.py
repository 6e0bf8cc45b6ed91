"""Execute examples/tour.py and write it as a notebook that code hosts render: python tools/tour_notebook.py

Every `# %%` of the script starts a cell, with its comment as text above. Outputs are what the cell prints and the HTML
of its last expression; the temporary folder of the run is written as /tmp/run.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPT, NOTEBOOK = EXAMPLES / "tour.py", EXAMPLES / "tour.ipynb"
Cell = dict[str, Any]


def cells_of(script: str) -> list[tuple[Cell, int]]:
    """Split a script into cells without outputs, each with the line at which it starts, from 0."""
    cells: list[tuple[Cell, int]] = []
    lines = script.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("# %%")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        first = next((number for number in range(start, end) if not lines[number].startswith("#")), end)
        words = [re.sub(r"^# (%% ?(\[markdown\])?)?", "", line) for line in lines[start:first]]
        cells.append((_cell("markdown", " ".join(filter(None, words)), len(cells)), start))
        if code := "\n".join(lines[first:end]).strip("\n"):
            cells.append((_cell("code", code, len(cells)) | {"outputs": [], "execution_count": None}, first))
    return cells


def _cell(kind: str, text: str, number: int) -> Cell:
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}


def execute(script: Path, cells: list[tuple[Cell, int]]) -> None:
    """Run the code cells in order, and add their outputs. They keep their places in the script for tracebacks."""
    facts: dict[str, Any] = {"__name__": "__main__"}
    code = [each for each in cells if each[0]["cell_type"] == "code"]
    statements = ast.parse(script.read_text()).body
    for count, ((cell, start), end) in enumerate(zip(code, [*(line for _, line in code[1:]), None], strict=True), 1):
        own = [each for each in statements if start < each.lineno and (end is None or each.lineno <= end)]
        last = own[-1]
        shown = last.value if isinstance(last, ast.Expr) else None
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(ast.Module(own[:-1] if shown else own, []), script, "exec"), facts)
            value = None if shown is None else eval(compile(ast.Expression(shown), script, "eval"), facts)
        cell["execution_count"] = count
        if text := printed.getvalue():
            cell["outputs"].append({"output_type": "stream", "name": "stdout", "text": _portable(text)})
        if value is not None:
            data = {"text/plain": _portable(repr(value))}
            if hasattr(value, "_repr_html_"):
                data["text/html"] = _portable(value._repr_html_())
            cell["outputs"].append(
                {"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}}
            )


def _portable(text: str) -> list[str]:
    """Return the lines of an output without the name of a temporary folder."""
    folder = re.escape(tempfile.gettempdir())
    return re.sub(rf"{folder}/[\w.-]+", "/tmp/run", text).splitlines(keepends=True)


def notebook(cells: list[tuple[Cell, int]]) -> str:
    """Return the text of a notebook file."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    facts = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": [cell for cell, _ in cells], "metadata": facts, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    made = cells_of(SCRIPT.read_text())
    execute(SCRIPT, made)
    NOTEBOOK.write_text(notebook(made))
    print(NOTEBOOK)
