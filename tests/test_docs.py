"""docs/explain.md, docs/python.md and docs/votes.md: what they show is run, and prints what stands there."""

from __future__ import annotations

import doctest
import re
import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import srbench

ROOT = Path(__file__).parents[1]
EXPLAIN, PYTHON, VOTES = (ROOT / "docs" / f"{name}.md" for name in ("explain", "python", "votes"))


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """A folder with all that the pages name, to be written into, where weights of other networks are missing."""
    for name in ("examples", "srbench"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def executed(page):
    """The names after every block of Python of a page, in order and in one namespace."""
    names, text = {"__name__": "page"}, page.read_text()
    for block in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        lines = "\n" * text[: block.start(1)].count("\n")  # faults have the line of the page
        exec(compile(lines + block[1], str(page), "exec"), names)
    return names


def without_suites(text):
    """The text without the names of suites, to which each new one would add its own, and what follows a value."""
    text = re.sub(r"--suite .*", "--suite", text)
    return re.sub(r"(?<=\))  --metrics \S+", "", text)


def test_explain(srbench, in_a_folder, capsys):
    text, shown = EXPLAIN.read_text(), 0
    for commands, output in re.findall(r"```sh\n(.*?)```(?:\n+```text\n(.*?)```)?", text, re.DOTALL):
        for command in commands.strip().splitlines():
            done = srbench(*shlex.split(command)[1:])
            assert done.exit_code == 0, done.output
        if output:
            shown += 1
            assert without_suites(done.stdout) == without_suites(output)
    assert shown == 3
    best = executed(EXPLAIN)["best"]
    assert "22.85 is PSNR on Y of BT.601" in capsys.readouterr().out
    assert best.protocol.text in text
    assert f"{best.value:.3f}" in text


def test_python(in_a_folder, capsys):
    names = executed(PYTHON)
    assert names["report"] == Path("runs/python/report/report.md")
    assert names["samples"].shape == (2, 3, 160, 160)
    torch.testing.assert_close(names["hr_again"], names["hr"], atol=1e-3, rtol=0)
    assert "2/2" in capsys.readouterr().out


def test_the_python_page_and_the_package_list_the_same():
    text = PYTHON.read_text()
    assert all(f"srbench.{name}" in text for name in srbench.__all__ if name != "__version__")
    assert all(f"`{name}`" in text for name in srbench.metrics.__all__)


@pytest.mark.parametrize(
    "name",
    [
        "srbench.api",
        "srbench.benchmark.explain.search",
        "srbench.run_folder.reading",
        "srbench.images.resize",
        "srflow.model",
    ],
)
def test_the_examples_of_the_python_api(name, monkeypatch):
    """Examples of all modules but the metrics, which have a test beside their own."""
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed


def numbers(text):
    """The text with its numbers apart: other processors change the last digits of metrics, hardly ever an answer."""
    return re.sub(r"\d+(\.\d+)?", "0", " ".join(text.split())), [float(n) for n in re.findall(r"\d+(?:\.\d+)?", text)]


def test_votes(srbench, in_a_folder, monkeypatch, capsys):
    [(commands, shown)] = re.findall(r"```sh\n([^`]*)```\n\n```text\n(.*?)```", VOTES.read_text(), re.DOTALL)
    for command in commands.strip().splitlines():
        program, *arguments = shlex.split(command)
        if program == "python":
            monkeypatch.setattr(sys, "argv", arguments)
            runpy.run_path(str(ROOT / arguments[0]))
            assert "60 answers by a script" in capsys.readouterr().out
        else:
            done = srbench(*arguments)
            assert done.exit_code == 0, done.output
    found, page = numbers(done.stdout), numbers(shown)
    assert found[0] == page[0]
    assert found[1] == pytest.approx(page[1], abs=2)
