"""Descriptions of registered plug-ins, read from source text, weights headers and preset files without an import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from srbench.files.config import preset_names
from srbench.plugins import PluginError
from srbench.plugins.registry import registered
from srbench.weights import files
from srbench.weights.files import load_metadata, parameter_count
from srbench.weights.metadata import WeightsMetadata, read_metadata


def first_sentence(kind: str, name: str) -> str:
    """Return the first sentence of a plug-in's docstring; empty if its module only re-exports the class or function.

    Raises PluginError if the module of the entry point is not installed.
    """
    point = registered(kind)[name]
    place = _place(point.module)
    file = next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
    if file is None:
        raise PluginError(f"no module {point.module} is installed")
    for node in _statements(file):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == point.attr:
            text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
            return text.replace("``", "").partition(". ")[0].removesuffix(".")
    return ""


def packaged_weights(model: str) -> dict[int, tuple[WeightsMetadata, int]]:
    """Return the metadata and parameter count of a model's packaged weights, by scale."""
    package = registered("models")[model].module.partition(".")[0]
    return {
        scale: (read_metadata(load_metadata(path), path), parameter_count(path))
        for (name, scale), path in files.packaged_weights(package).items()
        if name == model
    }


def presets() -> Iterator[tuple[str, str, str]]:
    """Yield model, name and TOML text of every registered preset."""
    for model, point in registered("presets").items():
        folder = _place(point.module)
        for name in preset_names(folder):
            yield model, name, (folder / f"{name}.toml").read_text(encoding="utf-8")


def _place(module: str) -> Path:
    """Return the folder of a package, or the path of a module without its suffix.

    Only the top-level package is passed to ``find_spec``, which imports the parents of a submodule. Raises PluginError
    if it is not installed.
    """
    top, *inner = module.split(".")
    spec = find_spec(top)
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        raise PluginError(f"no module {top} is installed")
    if spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0], *inner)
    return Path(str(spec.origin)).with_suffix("")


@cache
def _statements(file: Path) -> list[ast.stmt]:
    """Return the statements of a source file; an empty list if it cannot be parsed."""
    try:
        return ast.parse(file.read_bytes()).body
    except (OSError, ValueError, SyntaxError):
        return []
