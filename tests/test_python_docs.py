"""docs/python.md: every block of Python is run, in order and in one namespace."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"


@pytest.fixture
def in_a_copy(tmp_path, monkeypatch):
    """A folder with all that the page names, to be written into."""
    for name in ("examples", "srbench"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)


def test_every_block_runs(in_a_copy, capsys):
    text = PAGE.read_text()
    names: dict = {"__name__": "python_page"}
    blocks = [*re.finditer(r"```python\n(.*?)```", text, flags=re.DOTALL)]
    assert len(blocks) >= 9
    for block in blocks:
        lines = "\n" * text[: block.start(1)].count("\n")  # faults have the line of the page
        exec(compile(lines + block[1], str(PAGE), "exec"), names)
    assert names["report"] == Path("runs/python/report.md")
    assert names["samples"].shape == (2, 3, 160, 160)
    torch.testing.assert_close(names["hr_again"], names["hr"], atol=1e-3, rtol=0)
    assert "2/2" in capsys.readouterr().out


def test_the_page_and_the_package_list_the_same():
    import srbench

    text = PAGE.read_text()
    assert all(f"srbench.{name}" in text for name in srbench.__all__ if name != "__version__")
    assert all(f"`{name}`" in text for name in srbench.metrics.__all__)


@pytest.mark.parametrize(
    "name", ["srbench.benchmark.explain.search", "srbench.run_folder.reading", "srbench.images.resize", "srflow.model"]
)
def test_the_examples_of_the_python_api(name, monkeypatch):
    """Examples of all modules but srbench.api and the metrics, which have tests beside their own."""
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed
