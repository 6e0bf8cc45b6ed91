"""docs/votes.md: its example runs from the run to the tally, and prints what the page shows."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "votes.md"
WEIGHTS = "vgg_shift_tolerant.pth"


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """An empty folder, with the weights that the page's metric needs."""
    package = importlib.util.find_spec("stlpips_pytorch")
    if package is None:
        pytest.skip("stlpips-pytorch is not installed")
    folder = tmp_path / "torch" / "hub" / "pyiqa"
    folder.mkdir(parents=True)
    (folder / WEIGHTS).symlink_to(Path(package.origin).parent / "weights" / "vST0.0" / WEIGHTS)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(folder))  # another test has imported it
    monkeypatch.chdir(tmp_path)


def numbers(text):
    """The text with its numbers apart: other processors change the last digits of metrics, hardly ever an answer."""
    return re.sub(r"\d+(\.\d+)?", "0", " ".join(text.split())), [float(n) for n in re.findall(r"\d+(?:\.\d+)?", text)]


def test_the_example(srbench, in_a_folder, monkeypatch, capsys):
    [(commands, shown)] = re.findall(r"```sh\n([^`]*)```\n\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for command in commands.strip().splitlines():
        program, *arguments = shlex.split(command)
        if program == "python":
            monkeypatch.setattr(sys, "argv", arguments)
            runpy.run_path(str(ROOT / arguments[0]))
            assert "87 answers by a script" in capsys.readouterr().out
        else:
            done = srbench(*arguments)
            assert done.exit_code == 0, done.output
    found, page = numbers(done.stdout), numbers(shown)
    assert found[0] == page[0]
    assert found[1] == pytest.approx(page[1], abs=2)
