"""Loading of models, by name (``srbench.models.names``) or from objects."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import nn

from srbench.files.hashes import sha256_texts
from srbench.interfaces import PrecomputedResults, SRBenchError, WeightsInfo
from srbench.models import LoadedModel
from srbench.models.half_precision import InBfloat16, require_bfloat16
from srbench.models.names import NETWORKS, ModelSpec, as_label
from srbench.models.precomputed import ResultFolder, stated_facts
from srbench.models.third_party import OutsideTorch, load_file, weights_info
from srbench.models.wrapped import Consistent, Wrapped, move, network_of
from srbench.plugins import PluginError
from srbench.plugins.code_digest import package_digest
from srbench.plugins.identity import object_digest, plugin_digest
from srbench.plugins.registry import Plugin, call, find_plugin, registered
from srbench.weights.pretrained import load_checkpoint
from srbench.weights.table import released_weights
from srbench.words import one_line, unknown

SCALES = (2, 3, 4, 8)
"""Scales of the literature, which are tried when a model is described."""


def load_model(text: str, scale: int, device: str, *, is_recorded: bool = False, runs_here: bool = True) -> LoadedModel:
    """Load the model named ``text`` onto a device, ready to run; onto the CPU if other processes run it there.

    A network that draws random numbers while it is created is created twice, to see whether its weights are random;
    not if ``is_recorded``, for a model of a run, whose command has done so.

    Raises PluginError for an unknown name or a model that fails to load, and any SRBenchError of the model itself, such
    as WeightsError.
    """
    spec = ModelSpec.parse(text)
    digest = spec.digest(scale)
    if spec.kind == "folder":
        folder = Path(spec.name)
        facts = stated_facts(folder)
        return LoadedModel(spec.label, text, digest, False, None, ResultFolder(folder, scale), stated=facts)
    if spec.kind == "network":
        if spec.steps is not None:
            raise PluginError(f"{text}: a file has no number of steps per sample; omit +{spec.steps}steps")
        network = _with_scale(load_file(Path(spec.name), device if runs_here else "cpu"), spec.name, scale)
        return _ready(network, spec, digest, device, runs_here=runs_here)
    if spec.kind == "code":
        _require_code(spec)
    weights = spec.weights_file()
    plugin = find_plugin("models", spec.name)
    arguments = _arguments(plugin, spec, weights, scale)
    random_state = torch.get_rng_state()
    created = call(text, plugin.factory, **arguments)
    info = None
    if weights is not None and "weights" not in arguments:
        info = _load_weights(created, plugin, weights, text)
    elif weights is None and not digest and not is_recorded and not torch.equal(random_state, torch.get_rng_state()):
        _require_weights(created, call(text, plugin.factory, **arguments), spec.name)
    model = _with_scale(created, text, scale)
    if digest and weights and spec.digest(scale) != digest:
        raise PluginError(f"{weights}: changed while it was read, perhaps by a training; run the command again")
    if not digest:
        code = call(f"digest of {text}", plugin_digest, plugin.module, plugin.member, created)
        digest = spec.digest_with(scale, code, [weights] if weights else [])
    return _ready(model, spec, digest, device, weights=info, runs_here=runs_here)


def wrap_model(model: object, scale: int, device: str, label: str | None = None) -> LoadedModel:
    """Wrap an object of this process as a model: a callable, or an object with ``sample`` or ``read``.

    ``plugins.identity`` says what identifies it. Raises PluginError for any other object.
    """
    if isinstance(model, type):
        raise PluginError(f"{model.__qualname__} is a class; give an instance: {model.__qualname__}()")
    named = model if hasattr(model, "__qualname__") else type(model)
    name = as_label(getattr(named, "__qualname__", "").rpartition(".")[2], "") or "model"
    spec = ModelSpec("code", f"python {getattr(named, '__module__', '')}.{name}", label or name, name, False, False)
    loaded = _ready(_with_scale(model, name, scale), spec, "", device)
    # after ``_ready``, because evaluation mode may change the network's state
    code = call(f"digest of {name}", object_digest, model)
    digest = sha256_texts(code or uuid4().hex, package_digest("srbench.models.inference"), str(scale))
    return replace(loaded, is_object=True, is_identified=code is not None, digest=digest)


def ready_models(name: str) -> dict[int, LoadedModel]:
    """Load a named model at the scale that it states, else at each of SCALES at which it can be loaded.

    If there is none, raises the SRBenchError of the largest scale.
    """
    ready: dict[int, LoadedModel] = {}
    scales = SCALES if (stated := ModelSpec.parse(name).scale()) is None else (stated,)
    for scale in scales:
        try:
            ready[scale] = load_model(name, scale, "cpu")
        except SRBenchError:
            if scale == scales[-1] and not ready:
                raise
    return ready


def _require_code(spec: ModelSpec) -> None:
    """Raise PluginError, with advice, for what cannot be the name of a class or function."""
    name = spec.name
    if Path(name).is_file() and not name.endswith(".py"):
        endings = ", ".join(NETWORKS)
        raise PluginError(f"{name}: not a model; a file of a network ends in {endings}, and code is file.py:Name")
    if released := released_weights().get(name):
        raise PluginError(f"{name}: released weights; name them after a model: {released.model}:{name}")
    if "/" in name and ":" not in name and not name.endswith(".py"):
        label = "; a label has letters, digits and . _ + - only" if "=" in name else ""
        raise PluginError(f"{name}: no such folder of results; check the path in {spec.text!r}{label}")
    if spec.typed_label and re.fullmatch(r"[\w-]+", name):
        raise PluginError(f"{name}: no folder of that name, and {unknown('model', name, registered('models'))}")


def _with_scale(model: Any, name: str, scale: int) -> Any:  # noqa: ANN401 - a plug-in may return anything
    """Return the model with the attribute ``scale``. Raises PluginError if it is no model or has another scale."""
    samples = hasattr(model, "sample")
    if not (callable(model) or samples or isinstance(model, PrecomputedResults)):
        shown = one_line(model)[:80]
        raise PluginError(f"{name}: {shown} is not a model; it must be callable or have a method sample")
    stated = call(f"scale of {name}", getattr, model, "scale", None)
    if stated == scale:
        return model
    if stated is None and samples:
        raise PluginError(f"{name} has no attribute scale, which a stochastic model needs: add scale = {scale}")
    if stated is None:
        return Wrapped(model, scale)
    advice = (
        f"use scale {stated}, or a model of scale {scale}"
        if type(stated) is int
        else "its attribute scale must be a whole number"
    )
    raise PluginError(f"{name} has scale {stated!r}, but scale {scale} is requested; {advice}")


def _arguments(plugin: Plugin, spec: ModelSpec, weights: Path | None, scale: int) -> dict[str, Any]:
    """Arguments for the class or function that creates a model. Raises PluginError if its parameters differ."""
    arguments: dict[str, Any] = {"scale": scale} if plugin.takes("scale") else {}
    if weights is not None and plugin.takes("weights"):
        arguments["weights"] = weights
    if spec.strength is not None:
        if not plugin.takes("strength"):
            raise PluginError(f"{spec.text}: {plugin.name} cannot be interpolated; omit @{spec.strength:g}")
        arguments["strength"] = spec.strength
    if spec.steps is not None:
        if not plugin.takes("steps"):
            raise PluginError(f"{spec.text}: {plugin.name} has no number of steps per sample; omit +{spec.steps}steps")
        arguments["steps"] = spec.steps
    if missing := plugin.missing(arguments):
        created = f"{plugin.name}(...)" if isinstance(plugin.factory, type) else plugin.name
        raise PluginError(
            f"{spec.text} needs the arguments {', '.join(missing)}; add a function that returns the model, "
            f"def make(scale): return {created}, and name the function"
        )
    return arguments


def _load_weights(network: object, plugin: Plugin, weights: Path, text: str) -> WeightsInfo:
    """Load weights into a network whose class has no argument for them. Raises PluginError if it is no network."""
    if not isinstance(network, nn.Module):
        raise PluginError(
            f"{text}: the model {plugin.name} takes no weights file; omit the file, make the model a torch.nn.Module, "
            "or add an argument weights, which receives the path"
        )
    call(f"{text}: loading {weights}", load_checkpoint, network, weights)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return weights_info(weights, f"architecture {type(network).__name__}", parameters)


def _require_weights(network: object, again: object, name: str) -> None:
    """Raise PluginError if a network differs from ``again``, created by the same call: its weights are random."""
    if not isinstance(network, nn.Module) or not isinstance(again, nn.Module):
        return
    pairs = zip(network.parameters(), again.parameters(), strict=False)
    if not all(torch.equal(parameter, other) for parameter, other in pairs):
        raise PluginError(
            f"{name}: the network has random weights; name a checkpoint: {name}:FILE.pth, or load weights in its code"
        )


def _ready(
    model: Any,  # noqa: ANN401 - a model of any kind
    spec: ModelSpec,
    digest: str,
    device: str,
    *,
    weights: WeightsInfo | None = None,
    runs_here: bool = True,
) -> LoadedModel:
    """Move the model to its device, if it runs in this process, in evaluation mode, and gather its facts."""
    move(model, device if runs_here else "cpu")
    network = network_of(model)
    if isinstance(network, nn.Module):
        network.eval()
    stated = getattr(network, "weights", None)
    weights = stated if isinstance(stated, WeightsInfo) else weights
    projected = bool(getattr(network, "projected", False))
    if spec.bfloat16:
        if not isinstance(network, nn.Module):
            raise PluginError(f"{spec.text}: only a torch.nn.Module can run in bfloat16; omit +bf16")
        require_bfloat16(device, spec.text)
        model = InBfloat16(model, model.scale)
    if spec.consistent:
        if model.scale == 1:
            raise PluginError(f"{spec.text}: scale 1 has no downscaling to be consistent with; omit +consistent")
        projected = True
        model = Consistent(model, model.scale)
    environment = network.environment if isinstance(network, OutsideTorch) else {}
    images = getattr(network, "training_images", None)
    images = images if isinstance(images, bytes) else b""
    return LoadedModel(
        spec.label, spec.text, digest, projected, weights, model, environment=environment, training_images=images
    )
