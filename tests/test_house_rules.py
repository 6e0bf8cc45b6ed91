"""The rules of the house that a machine can check: sizes, docstrings, documented commands, packaged files."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from importlib.resources import files
from pathlib import Path

import click
import pytest
import torch

ROOT = Path(__file__).parents[1]
PACKAGES = ("srbench", "srflow", "baselines")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
OTHERS = sorted(
    [*(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
)
PAPERS = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "reports").glob("*/report.md")),
]  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function)]


def public(body: list[ast.stmt]) -> list[Function | ast.ClassDef]:
    """Functions, classes and methods that a user may call, at the top and inside public classes.

    The two directions of a layer are left out: their contract stands once, in the base class.
    """
    found: list[Function | ast.ClassDef] = []
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if node.name not in ("forward", "inverse"):
                found.append(node)
            if isinstance(node, ast.ClassDef):
                found.extend(public(node.body))
    return found


def fenced_commands(path: Path) -> list[str]:
    """Every `srbench ...` command of the shell blocks; continued lines are joined, `&&` is taken apart."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", path.read_text(), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [part.strip() for line in lines for part in line.split("&&")]
    return [command for command in commands if command.startswith("srbench ")]


@pytest.mark.parametrize("path", [*SOURCES, *OTHERS], ids=named)
def test_sizes(path):
    assert len(path.read_text().splitlines()) <= 400
    for function in functions(path):
        assert function.end_lineno - function.lineno < 80, function.name


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
    trees = {module_name(path): ast.parse(path.read_text()) for path in SOURCES}
    imports = {}
    for module, tree in trees.items():
        names = {name if name in trees else name.rpartition(".")[0] for name in imported(tree)}
        imports[module] = names & trees.keys()
    assert imports["srflow.model"] >= {"srflow.flow", "srbench.types"}
    assert circles(imports) == []


def test_circles_are_found():
    tree = ast.parse("if TYPE_CHECKING:\n    import a\ndef f():\n    import b.c\n    from d import e\n")
    assert imported(tree) == {"b.c", "d.e"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}) == [["b", "c"]]


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_docstrings(path):
    module = ast.parse(path.read_text())
    if path.name != "__init__.py":
        assert ast.get_docstring(module), "a module says in one line what it is"
    for node in public(module.body):
        assert ast.get_docstring(node), node.name


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
    assert "pip install . && srbench run --models srflow,esrgan --scale 8" in readme
    assert "pip install '.[test]' && pytest" in readme
    assert len(readme) <= 75


@pytest.mark.parametrize("path", PAPERS, ids=named)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_example_model_is_twelve_lines_and_runs():
    path = ROOT / "examples" / "my_model.py"
    assert len(path.read_text().splitlines()) == 12
    specification = importlib.util.spec_from_file_location("my_model", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    model = module.MyModel()
    assert model(torch.zeros(2, 3, 5, 6)).shape == (2, 3, 5 * model.scale, 6 * model.scale)


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
            assert hasattr(importlib.import_module(module), attribute), f"{group}: {name}"


def test_the_list_of_layers_in_the_documentation():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one["name"] == "Imports go one way inside the harness"]
    checked = [{name.removeprefix("srbench.") for name in layer.split(" | ")} for layer in layers]
    text = (ROOT / "docs" / "architecture.md").read_text()
    listed = re.search(r"`lint-imports` checks it\.\n\n((?:    .*\n)+)", text)[1]
    assert [set(line.strip().split(", ")) for line in listed.splitlines()] == checked


def test_every_module_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = [path for path in SOURCES if path.name not in ("__init__.py", "__main__.py")]
    folders = ("metrics", "prepare", "cli")  # told of as a whole
    assert [named(path) for path in modules if path.parent.name not in folders and f"`{path.name}`" not in text
            and f"/{path.name}`" not in text] == []  # fmt: skip
