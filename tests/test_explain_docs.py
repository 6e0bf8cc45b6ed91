"""docs/explain.md: every command runs and prints what the page shows, and so does its Python."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explain.md"
BLOCK = re.compile(r"```sh\n(.*?)```(?:\n+```text\n(.*?)```)?", re.DOTALL)


def without_suites(text):
    """The text without the names of suites, to which each new one would add its own, and what follows a value."""
    text = re.sub(r"--suite .*", "--suite", text)
    return re.sub(r"(?<=\))  --metrics \S+", "", text)


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """An empty folder, where weights of other networks are missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def test_the_page_shows_what_is_printed(srbench, in_a_folder, capsys):
    text, shown = PAGE.read_text(), 0
    for commands, output in BLOCK.findall(text):
        for command in commands.strip().splitlines():
            done = srbench(*shlex.split(command)[1:])
            assert done.exit_code == 0, done.output
        if output:
            shown += 1
            assert without_suites(done.stdout) == without_suites(output)
    assert shown == 3
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    assert "22.85 is PSNR on Y of BT.601" in capsys.readouterr().out
    assert names["best"].protocol.text in text
    assert f"{names['best'].value:.3f}" in text
