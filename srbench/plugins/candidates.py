"""Classes and functions of a Python file that could be a plug-in, read from its syntax; nothing is executed."""

from __future__ import annotations

import ast
from pathlib import Path

from srbench.plugins import PluginError

MEMBERS = {"models": {"forward", "__call__", "sample"}, "metrics": {"facts"}, "datasets": {"read"}}
"""Members of a plug-in class of each kind, which has at least one of them."""


def name_missing(path: Path, kind: str) -> PluginError:
    """Error for a file that is named without a class or function: it lists those that could be a plug-in of a kind."""
    if not path.is_file():
        return PluginError(f"{path}: no such file; a plug-in is named as path/to/file.py:Name")
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError) as error:
        place = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        return PluginError(f"{path}: Python cannot read it ({place}); correct it, and name file.py:Name")
    classes, functions = _classes(module, kind), _functions(module)
    if not classes and not functions:
        return PluginError(f"{path}: has no class or function that could be one of {kind}; see docs/add-your-own.md")
    parts = [
        f"the {word if len(names) == 1 else plural} {', '.join(names)}"
        for word, plural, names in (("class", "classes", classes), ("function", "functions", functions))
        if names
    ]
    return PluginError(f"{path} has {' and '.join(parts)}; write {path}:{(classes or functions)[0]}")


def _classes(module: ast.Module, kind: str) -> list[str]:
    """Public classes with a member that the kind needs, of their own or inherited; parts of others come last."""
    found = {one.name: one for one in module.body if isinstance(one, ast.ClassDef)}
    members = {name: _members(name, found, set()) for name in found if name[0] != "_"}
    fitting = [name for name, own in members.items() if MEMBERS[kind] & own and ("facts" in own) == (kind == "metrics")]
    used = {name for one in found.values() for name in _names_in(one) if name != one.name}
    return sorted(fitting, key=lambda name: name in used)


def _members(name: str, classes: dict[str, ast.ClassDef], seen: set[str]) -> set[str]:
    """Names that a class and its bases in the file define, also on ``self``."""
    if name not in classes or name in seen:
        return set()
    body = list(ast.walk(classes[name]))
    own = {one.name for one in body if isinstance(one, ast.FunctionDef)}
    own |= {one.id for one in body if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    own |= {one.attr for one in body if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)}
    bases = [base.id for base in classes[name].bases if isinstance(base, ast.Name)]
    return own.union(*(_members(base, classes, seen | {name}) for base in bases))


def _names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}


def _functions(module: ast.Module) -> list[str]:
    """Public functions that can be called with ``scale`` alone."""
    found = [one for one in module.body if isinstance(one, ast.FunctionDef) and one.name[0] != "_"]
    return [one.name for one in found if _required(one.args) <= {"scale"}]


def _required(arguments: ast.arguments) -> set[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    named = [one for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None]
    return {one.arg for one in [*positional[: len(positional) - len(arguments.defaults)], *named]}
