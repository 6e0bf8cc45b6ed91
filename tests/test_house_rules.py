"""What no linter checks: documented commands, links, packaged files."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import tomllib
from importlib.resources import files
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("srbench", "srflow", "baselines")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FOLDERS = [ROOT / name for name in ("tests", "examples", "benchmarks", "tools")]
OTHERS = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))
PAPERS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "reports").glob("*/report/report.md")),
]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fenced_commands(path: Path) -> list[str]:
    """Every `srbench ...` command of the shell blocks; continued lines are joined, `&&` is taken apart."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", path.read_text(), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [part.strip() for line in lines for part in line.split("&&")]
    return [command for command in commands if command.startswith("srbench ")]


COMMANDS = [(path, command) for path in PAPERS for command in fenced_commands(path)]


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[command for _, command in COMMANDS])
def test_documented_commands_are_understood(path, command, monkeypatch):
    """Names of commands and options, and the number of arguments; paths in examples need not exist."""
    from srbench.cli.main import main

    arguments = shlex.split(command, comments=True)[1:]
    context = click.Context(main, info_name="srbench")
    found = main.get_command(context, arguments[0])
    assert found is not None, f"{named(path)} shows a command that does not exist"
    for parameter in found.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    found.make_context(arguments[0], arguments[1:], parent=context)


def test_the_readme_shows_both_first_commands_on_one_screen():
    readme = (ROOT / "README.md").read_text().splitlines()
    assert "pip install . && srbench run --models bicubic,rrdb,esrgan,srflow --scale 8" in readme
    assert "pip install '.[test]' && pytest -n auto" in readme
    assert len(readme) <= 75


def test_the_readme_is_cited_as_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"version = {{{version}}}" in (ROOT / "README.md").read_text()
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("path", PAPERS, ids=named)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("package", PACKAGES)
def test_packaged_files_are_installed(package):
    """Weights, parameters, photographs: what is beside the sources is beside the installed package too."""
    here = [path.relative_to(ROOT / package) for path in (ROOT / package).rglob("*") if path.is_file()]
    there = Path(str(files(package)))
    assert Path("py.typed") in here
    assert not [path for path in here if "__pycache__" not in path.parts and not (there / path).is_file()]


def test_entry_points_name_objects_that_exist():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    for group, entries in groups.items():
        for name, target in entries.items():
            module, _, attribute = target.partition(":")
            found = importlib.import_module(module)
            assert not attribute or hasattr(found, attribute), f"{group}: {name}"


@pytest.mark.parametrize("path", [*SOURCES, *(path for path in OTHERS if "tests" not in path.parts)], ids=named)
def test_an_image_is_opened_in_the_formats_that_are_named(path):
    """Pillow goes by contents, and knows formats that start other programs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open"):
            assert "formats" in [one.arg for one in node.keywords], f"{named(path)} line {node.lineno}"
