"""Models that are ready to run, by name (``srbench.models.names``) or from objects."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srbench.images.lr_projection import Consistent, ConsistentSamples
from srbench.interfaces import Model, PrecomputedResults, SRBenchError, StochasticSRModel, WeightsInfo
from srbench.models import ModelFacts
from srbench.models.digest import digest_by_files, harness_digest, model_digest
from srbench.models.names import ModelSpec, as_label
from srbench.models.precomputed import ResultFolder, stated_facts
from srbench.models.third_party import load_file, weights_info
from srbench.plugins import PluginError
from srbench.plugins.code_digest import texts_digest
from srbench.plugins.identity import Loading, given_digest
from srbench.plugins.registry import Plugin, call, find_plugin, registered
from srbench.weights.metadata import stated_metadata
from srbench.weights.pretrained import load_checkpoint
from srbench.words import one_line

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
        return ModelFacts(**{fact.name: getattr(self, fact.name) for fact in fields(ModelFacts)})


def load_model(text: str, scale: int, device: str) -> LoadedModel:
    """Load the model that ``text`` names, on a device and ready to run.

    Raises PluginError for an unknown name or a model that fails to load, and the SRBenchError of the model itself
    (weights that are damaged or of another scale).
    """
    spec = ModelSpec.parse(text)
    digest = digest_by_files(spec, scale)
    if spec.is_folder:
        folder = Path(spec.name)
        return LoadedModel(
            spec.label, text, digest, False, None, ResultFolder(folder, scale), stated=stated_facts(folder)
        )
    if spec.is_network:
        network = _with_scale(load_file(Path(spec.name), device), spec.name, scale)
        return _ready(network, spec.label, text, digest, device, consistent=spec.consistent)
    if "/" in spec.name and ":" not in spec.name and not spec.name.endswith(".py"):
        raise PluginError(f"{spec.name}: no such folder of results; check the path in {text!r}")
    weights = spec.weights_file()
    with Loading() as loading:
        plugin = find_plugin("models", spec.name)
        arguments = _arguments(plugin, spec, weights, scale)
        made = call(text, plugin.factory, **arguments)
        loaded = None
        if weights is not None and "weights" not in arguments:
            loaded = _loaded(made, plugin, weights, text)
    model = _with_scale(made, text, scale)
    if digest and weights and digest_by_files(spec, scale) != digest:
        raise PluginError(f"{weights}: changed while it was read, as by a training; run the command again")
    if not digest:
        code = call(f"digest of {text}", loading.digest, plugin.module, plugin.member, made)
        # a library may have opened the weights file unseen
        digest = model_digest(spec, scale, code, [weights] if weights else [])
    return _ready(model, spec.label, text, digest, device, consistent=spec.consistent, weights=loaded)


def wrap_model(thing: object, scale: int, device: str, label: str | None = None) -> LoadedModel:
    """A model that is an object of this process: anything callable, or with ``sample`` or ``read``.

    Its method ``digest()`` returns a text that changes with its outputs. Without it, the object is known by the source
    file of its class, and by the parameters, buffers, numbers and texts that it holds. Raises PluginError for anything
    else.
    """
    if isinstance(thing, type):
        raise PluginError(f"{thing.__qualname__} is a class; give an instance: {thing.__qualname__}()")
    made_by = thing if hasattr(thing, "__qualname__") else type(thing)
    name = as_label(getattr(made_by, "__qualname__", "").rpartition(".")[2], "") or "model"
    text = f"python {getattr(made_by, '__module__', '')}.{name}"
    loaded = _ready(_with_scale(thing, name, scale), label or name, text, "", device)
    # taken after the network was put into evaluation mode, which may change what it holds
    code = call(f"digest of {name}", given_digest, thing)
    return replace(loaded, given=True, digest=texts_digest(code, harness_digest(False), str(scale)))


def scale_of(text: str) -> int | None:
    """The scale of a model by its name, if its weights or its class state a scale; else None.

    Raises the errors of ``load_model`` for an unknown name.
    """
    spec = ModelSpec.parse(text)
    if spec.is_folder:
        return None
    if spec.is_network:
        return load_file(Path(spec.name)).scale
    weights = spec.weights_file()
    if weights is not None and spec.name in registered("models"):
        metadata = stated_metadata(weights)
        return metadata.scale if metadata else None
    scale = getattr(find_plugin("models", spec.name).factory, "scale", None)
    return scale if type(scale) is int else None


def ready_models(name: str) -> dict[int, LoadedModel]:
    """A registered model by scale, for each of SCALES at which it runs without a weights file.

    Raises the SRBenchError of the largest scale if there is none.
    """
    ready: dict[int, LoadedModel] = {}
    for scale in SCALES:
        try:
            ready[scale] = load_model(name, scale, "cpu")
        except SRBenchError:
            if scale == SCALES[-1] and not ready:
                raise
    return ready


class _Scaled:
    """A callable that states no scale: it takes that of the run, and inference checks the size of its outputs."""

    def __init__(self, function: Any, scale: int) -> None:  # noqa: ANN401 - any callable
        self.scale, self.function = scale, function

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.function(lr)
        return output


def _with_scale(model: Any, name: str, scale: int) -> Any:  # noqa: ANN401 - whatever a plug-in returns
    """A model of this scale. Raises PluginError if it is no model, or of another scale."""
    samples = hasattr(model, "sample")
    if not (callable(model) or samples or isinstance(model, PrecomputedResults)):
        shown = one_line(model)[:80]
        raise PluginError(f"{name}: {shown} is not a model; it must be callable or have a method sample")
    stated = call(f"scale of {name}", getattr, model, "scale", None)
    if stated == scale:
        return model
    if stated is None and samples:
        raise PluginError(f"{name} has no attribute scale, which a model that samples needs: add scale = {scale}")
    if stated is None:
        return _Scaled(model, scale)
    advice = f"use scale {stated}" if type(stated) is int else "its attribute scale must be a whole number"
    raise PluginError(f"{name} has scale {stated!r}, not {scale}; {advice}")


def _arguments(plugin: Plugin, spec: ModelSpec, weights: Path | None, scale: int) -> dict[str, Any]:
    """Arguments of the class or function that makes a model. Raises PluginError if it takes or needs others."""
    arguments: dict[str, Any] = {"scale": scale} if plugin.takes("scale") else {}
    if weights is not None and plugin.takes("weights"):
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
    return arguments


def _loaded(made: object, plugin: Plugin, weights: Path, text: str) -> WeightsInfo:
    """Load weights into a network whose code does not take them. Raises PluginError if it is no network."""
    if not isinstance(made, nn.Module):
        raise PluginError(
            f"{text}: the model {plugin.name} takes no weights file; leave it out, make it a torch.nn.Module, or add "
            "an argument weights, which gets the path"
        )
    call(f"{text}: loading {weights}", load_checkpoint, made, weights)
    parameters = sum(parameter.numel() for parameter in made.parameters())
    return weights_info(weights, f"architecture {type(made).__name__}", parameters)


def _ready(
    model: Any,  # noqa: ANN401 - a model of any kind
    label: str,
    text: str,
    digest: str,
    device: str,
    *,
    consistent: bool = False,
    weights: WeightsInfo | None = None,
) -> LoadedModel:
    """The model on its device in evaluation mode, with its facts."""
    network = model.function if isinstance(model, _Scaled) else model
    if isinstance(network, nn.Module):
        network.to(device).eval()
    stated = getattr(network, "weights", None)
    weights = stated if isinstance(stated, WeightsInfo) else weights
    projected = consistent or bool(getattr(network, "projected", False))
    if consistent:
        is_random = isinstance(model, StochasticSRModel)
        model = ConsistentSamples(model) if is_random else Consistent(network, model.scale)
    return LoadedModel(label, text, digest, projected, weights, model)
