"""Packaged weights and presets of registered models, read from their files without importing torch."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from srbench.files.config import preset_names
from srbench.plugins import PluginError
from srbench.plugins.registry import registered
from srbench.weights import files
from srbench.weights.files import load_metadata, parameter_count
from srbench.weights.metadata import WeightsMetadata, read_metadata


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
