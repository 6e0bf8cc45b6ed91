"""Progress for callers in Python: a bar where somebody looks on, nothing elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from srbench.terminal import progress as module
from srbench.terminal.progress import Step, silent

CODE = """
from srbench.terminal.progress import Step
from srbench.terminal.progress import progress_of
with progress_of({asked}) as progress:
    progress(Step(1, 2, "dog"))
"""


@pytest.mark.parametrize(("asked", "shown"), [("True", True), ("False", False)])
def test_a_bar_in_a_terminal(asked, shown):
    leader, follower = pty.openpty()
    code = CODE.format(asked=asked)
    subprocess.run(
        [sys.executable, "-c", code], stderr=follower, env={**os.environ, "TERM": "xterm"}, check=True, timeout=300
    )
    os.write(follower, b"end")
    found = b""
    while not found.endswith(b"end"):
        found += os.read(leader, 10_000)
    os.close(leader)
    os.close(follower)
    assert (b"dog" in found, b"1/2" in found) == (shown, shown)
    assert shown or found == b"end"


def test_nothing_in_a_pipe():
    done = subprocess.run([sys.executable, "-c", CODE.format(asked=True)], capture_output=True, check=True, timeout=300)
    assert done.stdout + done.stderr == b""


def test_a_function_is_called():
    steps = []
    with module.progress_of(steps.append) as progress:
        progress(Step(1, 2, "dog"))
    assert steps == [Step(1, 2, "dog")]


def test_a_bar_ends_as_one_line_on_stderr(capsys, monkeypatch):
    """The share of the bar may differ from the count, and the numbers stay whole where a description is shortened."""
    monkeypatch.setenv("COLUMNS", "60")
    with module.shown_progress() as progress:
        progress(Step(3, 4, "[a] folder/" * 20 + "photo.png", fraction=0.5))
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("[a] folder/")
    assert "…" in line
    assert re.search(r"3/4 0:00:00 left -:--:--$", line)


def test_failures_and_what_has_begun_are_lines(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with module.shown_progress("reading runs/x") as progress:
        progress(Step(0, 0, "", fault="a.png: not an image"))
    assert capsys.readouterr() == ("", "reading runs/x ...\nfailed: a.png: not an image\n")


def test_lines_where_stderr_is_no_terminal(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with module.shown_progress() as progress:
        for done, moment in enumerate((0, 10, 31, 40, 65)):
            now[0] = moment
            progress(Step(done, 4, "dog"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines[:-1]] == ["dog: 50%", "dog: 100%"]
    assert " elapsed" in lines[0]


def test_a_new_round_takes_its_own_time(capsys):
    with module.shown_progress() as progress:
        for done in (1, 2, 1):
            progress(Step(done, 2, "dog"))
    assert capsys.readouterr().err.rstrip().endswith("1/2 0:00:00 left -:--:--")


@pytest.fixture
def cell(monkeypatch):
    """Texts that a notebook has shown: one handle, of which every update takes the place of the last."""
    shown: list[str] = []
    display = ModuleType("IPython.display")
    display.HTML = str
    display.display = lambda text, display_id: SimpleNamespace(update=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(module, "Console", lambda stderr: SimpleNamespace(is_jupyter=True))
    return shown


def test_a_line_in_a_notebook(cell, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with module.progress_of(True) as progress:
        for done, moment in ((0, 100), (1, 100.1), (2, 110)):
            now[0] = moment
            progress(Step(done, 4, "<dog>"))
        progress(Step(3, 4, "cat", fault="<dog>: too small"))
        progress(Step(4, 4, ""))
    assert cell[:2] == [
        '<div><progress value="0.000"></progress> 0/4 &lt;dog&gt; 0 s elapsed</div>',
        '<div><progress value="0.500"></progress> 2/4 &lt;dog&gt; 10 s elapsed, about 10 s left</div>',
    ]
    assert cell[-1].endswith(" elapsed</div><div>failed: &lt;dog&gt;: too small</div>")
    assert len(cell) == 4


def test_nothing_in_a_notebook_that_asks_for_none(cell):
    with module.progress_of(False) as progress:
        assert progress is silent
    assert cell == []
