"""The committed notebook is the tour, executed."""

from __future__ import annotations

import json

import pytest
from tour_notebook import NOTEBOOK, SCRIPT, cells_of, execute, notebook


def sources(cells):
    """The cells without what running them adds."""
    return [{**cell, "outputs": [], "execution_count": None} for cell in cells]


@pytest.fixture
def committed():
    return json.loads(NOTEBOOK.read_text())


def test_its_cells_are_those_of_the_script(committed):
    made = json.loads(notebook(cells_of(SCRIPT.read_text())))
    assert len(made["cells"]) > 10
    assert sources(committed["cells"]) == sources(made["cells"])
    assert {**committed, "cells": []} == {**made, "cells": []}
    code = "\n".join("".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code")
    statements = [line for line in SCRIPT.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in code.splitlines() if line and not line.startswith("#")] == statements


def test_it_was_executed_in_order_and_is_small(committed):
    counts = [cell["execution_count"] for cell in committed["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert text.count("<table>") == text.count('src=\\"data:image/') == 1
    assert ": proven: " in text
    assert "/tmp/run/run/report/report.md" in text


def test_outputs_are_what_is_printed_and_the_last_expression(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/var/tmp")
    script = tmp_path / "script.py"
    script.write_text(
        "# %% [markdown]\n# Two\n# lines.\n\n# %% A title\n# that goes on.\ndef triple(x):\n    return 3 * "
        "x\n\n\nclass Shown:\n    def _repr_html_(self):\n        return "
        "'<b>/var/tmp/ab_1/run</b>'\n\n\nprint('/var/tmp/ab_1/x')\n\n# %% Next\nShown()\n\n# %%\nimport "
        "inspect\n\nprint(inspect.getsource(triple))\n"
    )
    cells = cells_of(script.read_text())
    execute(script, cells)
    texts = ["".join(cell["source"]) for cell, _ in cells if cell["cell_type"] == "markdown"]
    assert texts == ["Two lines.", "A title that goes on.", "Next", ""]
    first, second, third = (cell["outputs"] for cell, _ in cells if cell["cell_type"] == "code")
    assert [output["text"] for output in first] == [["/tmp/run/x\n"]]
    assert second[0]["data"]["text/html"] == ["<b>/tmp/run/run</b>"]
    assert third[0]["text"] == ["def triple(x):\n", "    return 3 * x\n", "\n"]
