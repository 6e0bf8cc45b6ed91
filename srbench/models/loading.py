"""Models by name, as ``srbench.models.names`` lists them, or given as objects, ready to run."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srbench.files.hashes import sha256_file
from srbench.images.lr_projection import Consistent, ConsistentSamples
from srbench.interfaces import Model, PrecomputedResults, SRBenchError, StochasticSRModel, WeightsInfo
from srbench.models import ModelFacts, third_party
from srbench.models.names import (
    ModelSpec,
    digest_by_files,
    harness_digest,
    is_network,
    label_of,
    weights_file,
)
from srbench.models.precomputed import ResultFolder, stated_facts
from srbench.plugins import PluginError
from srbench.plugins.code_digest import texts_digest
from srbench.plugins.identity import Loading, given_digest
from srbench.plugins.registry import Plugin, call, find_plugin
from srbench.weights.files import load_metadata
from srbench.weights.metadata import read_metadata

SCALES = (2, 3, 4, 8)
"""Scales of the literature, at which a registered model is tried when it is described."""


@dataclass(frozen=True)
class LoadedModel(ModelFacts):
    """A model that is ready to run."""

    model: Model
    given: bool = False
    """True for an object of this process, which cannot be loaded by ``spec``."""

    def facts(self) -> ModelFacts:
        """The facts alone."""
        return ModelFacts(**{one.name: getattr(self, one.name) for one in fields(ModelFacts)})


def load_model(text: str, scale: int, device: str) -> LoadedModel:
    """Load the model that ``text`` names, on a device and ready to run.

    Raises PluginError for an unknown name or a model that fails to load, and the SRBenchError of the model itself
    (weights that are damaged or of another scale).
    """
    spec = ModelSpec.parse(text)
    by_files = digest_by_files(text, scale)
    if by_files and spec.is_folder:
        label, digest = by_files
        folder = Path(spec.name)
        return LoadedModel(label, text, digest, False, None, ResultFolder(folder, scale), stated=stated_facts(folder))
    if by_files and is_network(spec.name):
        network = third_party.load_file(Path(spec.name), device)
        if network.scale != scale:
            raise PluginError(f"{spec.name}: made for scale {network.scale}, not {scale}; use --scale {network.scale}")
        return _ready(*by_files, text, network, scale, device, consistent=spec.consistent)
    if "/" in spec.name and ":" not in spec.name and not spec.name.endswith(".py"):
        raise PluginError(f"{spec.name}: no such folder of results; check the path in {text!r}")
    with Loading() as loading:
        plugin = find_plugin("models", spec.name)
        weights = weights_file(spec) if spec.weights else None
        model = _made(plugin, spec, weights, scale)
    scaled = _with_scale(model, text, scale)
    if by_files is None:
        code = call(f"digest of {text}", loading.digest, plugin.module, plugin.member, model)
        file = "" if weights is None else sha256_file(weights)  # a library may have opened it unseen
        digest = texts_digest(code, harness_digest(spec.consistent), str(scale), str(spec.strength), file)
        by_files = label_of(spec, plugin.name), digest
    return _ready(*by_files, text, scaled, scale, device, consistent=spec.consistent)


def scale_of(text: str) -> int | None:
    """The scale of a model by its name, if its weights or its class state one; else None.

    Raises the errors of ``load_model`` for an unknown name.
    """
    spec = ModelSpec.parse(text)
    if spec.is_folder:
        return None
    if is_network(spec.name):
        return third_party.load_file(Path(spec.name)).scale
    if not spec.weights:
        scale = getattr(find_plugin("models", spec.name).factory, "scale", None)
        return scale if type(scale) is int else None
    path = weights_file(spec)
    return read_metadata(load_metadata(path), path).scale if path.suffix == ".safetensors" else None


def wrap_model(thing: object, scale: int, device: str, label: str | None = None) -> LoadedModel:
    """A model that is an object of this process: anything callable, or with ``sample`` or ``read``.

    Its method ``digest()`` returns a text that changes with its outputs. Without it, the object is known by the source
    file of its class, and by the parameters, buffers, numbers and texts that it holds. Raises PluginError for anything
    else.
    """
    if not (callable(thing) or hasattr(thing, "sample") or isinstance(thing, PrecomputedResults)):
        raise PluginError(f"{thing!r} is not a model; give a name, a callable, or an object with a method sample")
    if isinstance(thing, type):
        raise PluginError(f"{thing.__qualname__} is a class; give an instance: {thing.__qualname__}()")
    made_by = thing if hasattr(thing, "__qualname__") else type(thing)
    name = re.sub("[^A-Za-z0-9._+-]", "", getattr(made_by, "__qualname__", "").rpartition(".")[2]) or "model"
    text = f"python {getattr(made_by, '__module__', '')}.{name}"
    model: Any = _with_scale(thing, name, scale)
    model = model if model.scale == scale else _Scaled(model, scale)
    loaded = replace(_ready(label or name, "", text, model, scale, device), given=True)
    # a network is known as it is after it was put into evaluation mode
    code = call(f"digest of {name}", given_digest, thing)
    return replace(loaded, digest=texts_digest(code, harness_digest(False), str(scale)))


def ready_models(name: str) -> dict[int, LoadedModel]:
    """A registered model by scale, for every one of SCALES at which it runs without a weights file.

    Raises the SRBenchError of the largest scale if there is none.
    """
    ready, fault = {}, None
    for scale in SCALES:
        try:
            ready[scale] = load_model(name, scale, "cpu")
        except SRBenchError as error:
            fault = error
    if fault is not None and not ready:
        raise fault
    return ready


class _Scaled:
    """A callable that does not state its scale; inference checks the size of its outputs."""

    def __init__(self, function: Any, scale: int) -> None:  # noqa: ANN401 - any callable
        if getattr(function, "scale", scale) != scale:
            raise PluginError(f"{function!r} has scale {function.scale}, not {scale}; give the scale it was made for")
        self.scale, self.function = scale, function

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.function(lr)
        return output


def _with_scale(model: Any, text: str, scale: int) -> Any:  # noqa: ANN401 - a model
    """A model that states a scale: one that only maps images takes that of the run, as its outputs show it."""
    if call(f"scale of {text}", getattr, model, "scale", None) is not None or not (
        callable(model) or hasattr(model, "sample")
    ):
        return model
    if hasattr(model, "sample"):
        raise PluginError(f"{text} has no attribute scale, which a model that samples needs: add scale = {scale}")
    return _Scaled(model, scale)


def _ready(
    label: str,
    digest: str,
    text: str,
    model: Any,  # noqa: ANN401 - whatever a plug-in returns
    scale: int,
    device: str,
    *,
    consistent: bool = False,
) -> LoadedModel:
    """A model on its device. Raises PluginError if it is none, or of another scale."""
    if not (callable(model) or isinstance(model, StochasticSRModel | PrecomputedResults)):
        raise PluginError(
            f"{text} returns {type(model).__name__}, not a model; it must be callable or have a method sample"
        )
    made_for = call(f"scale of {text}", getattr, model, "scale", None)
    if made_for != scale:
        advice = f"use scale {made_for}" if type(made_for) is int else "its attribute scale must be a whole number"
        raise PluginError(f"{text} has scale {made_for!r}, not {scale}; {advice}")
    weights = model.weights if isinstance(getattr(model, "weights", None), WeightsInfo) else None
    projected = bool(getattr(model, "projected", False)) or consistent
    network = model.function if isinstance(model, _Scaled) else model
    if isinstance(network, nn.Module):
        network.to(device).eval()
    if consistent:
        is_random = isinstance(model, StochasticSRModel)
        model = ConsistentSamples(model) if is_random else Consistent(network, scale)
    return LoadedModel(label, text, digest, projected, weights, model)


def _made(plugin: Plugin, spec: ModelSpec, weights: Path | None, scale: int) -> Any:  # noqa: ANN401 - a model
    arguments: dict[str, Any] = {"scale": scale} if plugin.takes("scale") else {}
    if weights is not None:
        if not plugin.takes("weights"):
            raise PluginError(f"{spec.text}: the model {plugin.name} takes no weights file; leave it out")
        arguments["weights"] = weights
    if spec.strength is not None:
        if not plugin.takes("strength"):
            raise PluginError(f"{spec.text}: {plugin.name} cannot be interpolated; leave @{spec.strength:g} out")
        arguments["strength"] = spec.strength
    if lacking := plugin.lacking(arguments):
        made = f"{plugin.name}(...)" if isinstance(plugin.factory, type) else plugin.name
        raise PluginError(
            f"{spec.text} needs the arguments {', '.join(lacking)}; add a function that returns the model, "
            f"def make(scale): return {made}, and name that"
        )
    return call(spec.text, plugin.factory, **arguments)
