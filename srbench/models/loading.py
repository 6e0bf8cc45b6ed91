"""Models by name, ready to run. A name is

    srflow                      a registered model
    srflow:FILE                 a registered model with the weights of a file or an official checkpoint
    srflow:RUN                  the same with the weights of a finished training's folder
    srflow:NAME                 the same with fetched weights, by their name in ``srbench list weights``
    esrgan@0.7                  0.7 of the weights and 0.3 of those they started from (network interpolation); also
                                with a colon and any of the above
    package.module:Name         a class or function that makes a model
    path/to/file.py:Name        the same in a file
    path/to/4x-any.pth          weights of an architecture that spandrel knows, a TorchScript or an ONNX file
                                (``third_party``)
    label=FOLDER                results made elsewhere, paired by name
    label=ANY OF THE OTHERS     any model under another label
    ANY MODEL+consistent        with outputs projected onto the images that downscale to LR; not for a folder

A registered name comes before a folder of that name (write ``./srflow`` for the folder).
A class or function is called with ``scale=`` if it takes that, and with ``weights=`` if a file is named.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srbench.files.hashes import sha256_file
from srbench.images.lr_projection import Consistent, ConsistentSamples
from srbench.interfaces import (
    Model,
    ModelFacts,
    PrecomputedResults,
    SRBenchError,
    StochasticSRModel,
    WeightsInfo,
)
from srbench.models import third_party
from srbench.models.precomputed import ResultFolder, stated_facts
from srbench.plugins import PluginError
from srbench.plugins.code_digest import package_digest
from srbench.plugins.identity import Identity, watched
from srbench.plugins.registry import Plugin, call, find_plugin, is_ours, registered
from srbench.plugins.watch import Inputs
from srbench.weights.files import WeightsError, load_metadata, parameters_sha256, weights_in
from srbench.weights.metadata import read_metadata
from srbench.weights.table import cached_path, released_weights
from srbench.words import unknown

SCALES = (2, 3, 4, 8)
"""Scales of the literature, at which a registered model is tried when it is described."""
CONSISTENT = "+consistent"

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_STRENGTH = re.compile(r"([^:/@]+)@([^:/@]+)")


@dataclass(frozen=True)
class ModelSpec:
    """The parts of a model's name."""

    text: str
    label: str
    name: str
    """Registered name, file.py:Name, package.module:Name, a file that is a network, or a folder of results."""
    weights: str
    """File, folder or name of weights; empty for the model's own."""
    strength: float | None
    consistent: bool
    """True for outputs projected onto the images that downscale to LR."""

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Raises PluginError for an invalid label or strength."""
        label, named, rest = text.partition("=")
        if not named:
            label, rest = "", text
        elif not _LABEL.fullmatch(label):
            raise PluginError(f"label {label!r} in {text!r}: use letters, digits and . _ + - only")
        consistent = rest.endswith(CONSISTENT) and rest != CONSISTENT
        rest = rest.removesuffix(CONSISTENT) if consistent else rest
        if is_network(rest):
            return cls(text, label, rest, "", None, consistent)
        name, colon, weights = rest.partition(":")
        strength = None
        if found := _STRENGTH.fullmatch(name):
            name, strength = found[1], _strength(found[2], text)
        if name not in registered("models"):
            if strength is not None:
                raise PluginError(unknown("model", name, registered("models")))
            name, colon, weights = rest, "", ""
        if colon and not weights:
            raise PluginError(f"{text}: no weights file after the colon; write {name} or {name}:FILE")
        return cls(text, label, name, weights, strength, consistent)

    @property
    def is_folder(self) -> bool:
        """True for a folder of results made elsewhere."""
        return self.name not in registered("models") and Path(self.name).is_dir()


def is_network(text: str) -> bool:
    """True for a file that is a network by itself; a colon comes before weights, unless a file has such a name."""
    path = Path(text)
    return path.suffix.lower() in third_party.ENDINGS and (":" not in text or path.is_file()) and not path.is_dir()


@dataclass(frozen=True)
class LoadedModel(ModelFacts):
    """A model that is ready to run."""

    model: Model
    given: bool = False
    """True for an object of this process, which cannot be loaded by ``spec``."""
    identity: Identity | None = field(default=None, compare=False)
    """Everything known of a third-party model; None for our own."""

    def facts(self) -> ModelFacts:
        """The facts alone."""
        return ModelFacts(**{one.name: getattr(self, one.name) for one in fields(ModelFacts)})


def load_model(text: str, scale: int, device: str, known: ModelFacts | None = None) -> LoadedModel:
    """Load the model that ``text`` names, on a device and ready to run.

    A third-party model that still matches ``known`` has its digest; any other digest lacks what the first call shows.
    Raises PluginError for an unknown name or a model that fails to load, and the SRBenchError of the model itself
    (weights that are damaged or of another scale).
    """
    spec = ModelSpec.parse(text)
    if spec.is_folder:
        return _results(spec, scale)
    if is_network(spec.name):
        return _network(spec, scale, device)
    if "/" in spec.name and ":" not in spec.name and not spec.name.endswith(".py"):
        raise PluginError(f"{spec.name}: no such folder of results; check the path in {text!r}")
    with watched(not is_ours("models", spec.name)) as seen:
        plugin = find_plugin("models", spec.name)
        weights = _weights_file(spec) if spec.weights else None
        model = _made(plugin, spec, weights, scale)
    code = f"{plugin.digest} {sha256_file(weights) if weights else ''} @{spec.strength}"
    label = spec.label or _label(spec, plugin, weights)
    stated = _with_scale(model, text, scale)
    loaded = _ready(label, text, stated, code, scale, device, spec.consistent, ours=plugin.sources is None)
    if plugin.sources is None:
        return loaded
    sources = plugin.sources if weights is None else plugin.sources.with_file(weights)
    return _identified(loaded, Identity.of(model, loaded.digest, sources, seen()), known)


def _identified(loaded: LoadedModel, identity: Identity, known: ModelFacts | None = None) -> LoadedModel:
    """A model with the digest of all that is known of it."""
    evidence = identity.confirmed(known.evidence if known else None) or identity.evidence(identity.inputs)
    digest = known.digest if known and known.evidence == evidence else evidence.digest
    return replace(loaded, identity=identity, evidence=evidence, digest=digest)


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
    path = _weights_file(spec)
    return read_metadata(load_metadata(path), path).scale if path.suffix == ".safetensors" else None


def wrap_model(thing: object, scale: int, device: str, label: str | None = None) -> LoadedModel:
    """A model that is an object of this process: anything callable, or with ``sample`` or ``read``.

    Its method ``digest()`` returns a text that changes with its outputs. Without one, it is known by all that can be
    reached from it. Raises PluginError for anything else.
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
    loaded = replace(_ready(label or name, text, model, text, scale, device, ours=False), given=True)
    if isinstance(thing, PrecomputedResults):
        return loaded  # its digest(name) identifies each output
    return _identified(loaded, call(f"digest of {name}", Identity.of, thing, loaded.digest, None, Inputs()))


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
    text: str,
    model: Any,  # noqa: ANN401 - whatever a plug-in returns
    code: str,
    scale: int,
    device: str,
    consistent: bool = False,
    *,
    ours: bool = True,
) -> LoadedModel:
    """A model on its device, known by its code and, if it is one of ours, its parameters."""
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
    facts = [code, package_digest("srbench.models.inference"), weights.sha256 if weights else ""]
    network = model.function if isinstance(model, _Scaled) else model
    if isinstance(network, nn.Module):
        facts += [parameters_sha256(network)] if ours else []
        network.to(device).eval()
    if consistent:
        is_random = isinstance(model, StochasticSRModel)
        model = ConsistentSamples(model) if is_random else Consistent(network, scale)
        facts += [CONSISTENT, package_digest("srbench.images.lr_projection")]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return LoadedModel(label, text, digest, projected, weights, model)


def _results(spec: ModelSpec, scale: int) -> LoadedModel:
    if not spec.label:
        raise PluginError(f"{spec.text}: a folder of results needs a label; write NAME={spec.text}")
    if spec.consistent:
        raise PluginError(f"{spec.text}: a folder of results takes no {CONSISTENT}; leave it out")
    digest = hashlib.sha256(f"results x{scale} {package_digest('srbench.models.precomputed')}".encode()).hexdigest()
    folder = Path(spec.name)
    results = ResultFolder(folder, scale)
    return LoadedModel(spec.label, spec.text, digest, False, None, results, stated=stated_facts(folder))


def _network(spec: ModelSpec, scale: int, device: str) -> LoadedModel:
    path = Path(spec.name)
    model = third_party.load_file(path, device)
    if model.scale != scale:
        raise PluginError(f"{path}: made for scale {model.scale}, not {scale}; use --scale {model.scale}")
    label = re.sub("[^A-Za-z0-9._+-]", "-", path.stem).lstrip("._+-") or "network"
    label = spec.label or label + CONSISTENT * spec.consistent
    files = [model.weights.sha256, *map(sha256_file, third_party.external_data(path))]
    code = f"{package_digest('srbench.models.third_party')} {' '.join(files)}"
    return _ready(label, spec.text, model, code, scale, device, spec.consistent)


def _label(spec: ModelSpec, plugin: Plugin, weights: Path | None) -> str:
    label = plugin.name
    if weights is not None:
        named = weights.stem if weights == Path(spec.weights) else Path(spec.weights).resolve().name
        named = re.sub("[^A-Za-z0-9._+-]", "-", named)
        label = named if named.startswith(f"{label}-") else f"{label}-{named}"
    if spec.strength is not None:
        label += f"-{spec.strength:g}"
    return label + CONSISTENT * spec.consistent


def _strength(share: str, text: str) -> float:
    try:
        strength = float(share)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise PluginError(f"{text}: {share} is not a share of the weights; write one from 0 to 1, as in esrgan@0.7")
    return strength


def _weights_file(spec: ModelSpec) -> Path:
    path = weights_in(Path(spec.weights))
    if path.is_file():
        return path
    if spec.weights not in released_weights():
        raise WeightsError(f"{spec.weights}: no such weights file; check the path in {spec.text!r}")
    if not cached_path(spec.weights).is_file():
        raise WeightsError(f"{spec.weights}: not fetched yet; run srbench weights fetch {spec.weights}")
    return cached_path(spec.weights)


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
