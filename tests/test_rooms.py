"""The listing of ``srbench/`` is its architecture: few rooms, imports between them in one direction, no circles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for name in ("srbench", "srflow", "baselines") for path in sorted((ROOT / name).rglob("*.py"))]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST) -> set[str]:
    """Every module or name that is imported anywhere below, inside functions too, but for the type checker alone."""
    if isinstance(node, ast.Import):
        return {name.name for name in node.names}
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute"
        return {f"{node.module}.{name.name}" for name in node.names}
    children = [*ast.iter_child_nodes(node)]
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        children = [*node.orelse]
    return {name for child in children for name in imported(child)}


def all_imports() -> dict[str, set[str]]:
    """The modules of ours that each module imports."""
    trees = {module_name(path): ast.parse(path.read_text()) for path in SOURCES}
    imports = {}
    for module, tree in trees.items():
        names = {name if name in trees else name.rpartition(".")[0] for name in imported(tree)}
        imports[module] = names & trees.keys()
    return imports


def test_no_import_goes_in_a_circle():
    """A CycleError names the modules of a circle."""
    TopologicalSorter(all_imports()).prepare()


def test_no_import_goes_up():
    """The contracts of pyproject.toml are kept."""
    pytest.importorskip("importlinter")
    code = "from importlinter.cli import lint_imports_command as main; main(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def floors() -> dict[str, int]:
    """The floor of each room or module of srbench; 0 is the lowest."""
    [contract] = [one for one in CONTRACTS if one["type"] == "layers" and one["containers"] == ["srbench"]]
    return {name: floor for floor, layer in enumerate(reversed(contract["layers"])) for name in layer.split(" | ")}


def test_the_rooms_are_the_folders():
    rooms = {path.parent.name for path in (ROOT / "srbench").glob("*/*.py")}
    assert rooms == floors().keys() - {path.stem for path in (ROOT / "srbench").glob("*.py")}


def test_every_room_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert [room for room in floors() if not re.search(rf"^\| `{room}(\.py|/)?` \|", text, re.M)] == []


def test_files_of_the_architecture_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    first = text.partition("## Rooms and floors")[0]
    read = re.findall(r"^\| `(\S+\.py)` \|", first, re.M)
    assert len(read) == 8
    path = re.search(r"## The life of a number.*?```text\n(.*?)```", text, re.S)[1]
    named = [f"srbench/{file}.py" for file in re.findall(r"\b([a-z_]+(?:/[a-z_]+)+)\b", path)]
    assert len(named) > 10
    assert [file for file in (*read, *named) if not (ROOT / file).is_file()] == []
