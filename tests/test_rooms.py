"""The listing of ``srbench/`` is its architecture: few rooms, imports between them in one direction, no circles."""

from __future__ import annotations

import ast
import re
import tomllib
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


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """The modules of every strongly connected part that is larger than one module, or imports itself."""
    below: dict[str, set[str]] = {}
    for module in imports:
        below[module], waiting = set(), [module]
        while waiting:
            new = imports[waiting.pop()] - below[module]
            below[module] |= new
            waiting.extend(new)
    parts = {tuple(sorted(b for b in below[a] if a in below[b])) for a in imports}
    return sorted([*part] for part in parts if part)


def test_no_import_goes_in_a_circle():
    assert circles(all_imports()) == []


def test_circles_are_found():
    tree = ast.parse("if TYPE_CHECKING:\n    import a\ndef f():\n    import b.c\n    from d import e\n")
    assert imported(tree) == {"b.c", "d.e"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}) == [["b", "c"]]


def layers(package: str) -> dict[str, int]:
    """The floor of each room or module of a package, by the contract of its name; 0 is the lowest."""
    [contract] = [one for one in CONTRACTS if one["type"] == "layers" and one["containers"] == [package]]
    return {
        name: floor for floor, layer in enumerate(reversed(contract["layers"])) for name in layer.split(" | ")
    }  # fmt: skip


def upward(package: str, floors: dict[str, int], imports: dict[str, set[str]]) -> list[str]:
    """Imports of a room from a higher one, or from another one on its floor."""
    found = []
    for module, targets in imports.items():
        for target in targets:
            if module.startswith(f"{package}.") and target.startswith(f"{package}."):
                here, there = (name.split(".")[1] for name in (module, target))
                if here != there and here != "__main__" and floors[there] >= floors[here]:
                    found.append(f"{module} -> {target}")
    return sorted(found)


def all_imports() -> dict[str, set[str]]:
    """The modules of ours that each module imports."""
    trees = {module_name(path): ast.parse(path.read_text()) for path in SOURCES}
    imports = {}
    for module, tree in trees.items():
        names = {name if name in trees else name.rpartition(".")[0] for name in imported(tree)}
        imports[module] = names & trees.keys()
    return imports


@pytest.mark.parametrize("package", ["srbench", "srflow"])
def test_no_import_goes_up(package):
    imports = all_imports()
    assert imports["srflow.model"] >= {"srflow.flow", "srbench.interfaces"}
    assert upward(package, layers(package), imports) == []


def test_upward_imports_are_found():
    floors = {"low": 0, "side": 0, "high": 1}
    imports = {"p.low.a": {"p.high.b", "p.low.c"}, "p.side": {"p.low.a"}, "p.high.b": {"p.low.a", "q.x"}}
    assert upward("p", floors, imports) == ["p.low.a -> p.high.b", "p.side -> p.low.a"]


def test_the_listing():
    """At most five modules and sixteen rooms, none with more than twenty modules; no more than thirteen floors."""
    modules = [path for path in (ROOT / "srbench").glob("*.py")]
    rooms = {path.parent for path in (ROOT / "srbench").glob("*/*.py")}
    assert len(modules) <= 5
    assert len(rooms) <= 16
    floors = layers("srbench")
    assert max(floors.values()) < 13
    assert {room.name for room in rooms} == floors.keys() - {path.stem for path in modules}
    for folder in {path.parent for path in SOURCES}:
        assert len([*folder.glob("*.py")]) <= 20 + (folder / "__init__.py").exists(), folder


def test_every_room_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert [room for room in layers("srbench") if not re.search(rf"^\| `{room}(\.py|/)?` \|", text, re.M)] == []
