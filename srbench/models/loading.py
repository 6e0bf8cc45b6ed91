"""From what a user types to a model that is ready to run. A model is named as

    srflow                      a registered model
    srflow:FILE                 a registered model with the weights of a file or an official checkpoint
    srflow:RUN                  the same, with those of the finished training in a folder
    srflow:NAME                 the same, by a name of ``srbench weights list`` that has been fetched
    esrgan@0.7                  0.7 of the weights and 0.3 of those they started from (network interpolation); also
                                with a colon and any of the above
    package.module:Name         a class or function that makes a model
    path/to/file.py:Name        the same, in a file
    path/to/4x-any.pth          weights of an architecture that spandrel knows; an ONNX file (``third_party``)
    label=FOLDER                results made elsewhere, paired by name
    label=ANY OF THE OTHERS     under another label
    ANY MODEL+consistent        with a transform of its outputs; a folder of results takes none

A registered name comes before a folder of that name (write ``./srflow`` for the folder).
A class or function is called with ``scale=`` if it takes that, and with ``weights=`` if a file is named.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import torch
from torch import nn

from srbench.images.lr_projection import Consistent, ConsistentSamples
from srbench.interfaces import PrecomputedResults, SRBenchError, SRModel, StochasticSRModel, Weighted, WeightsInfo
from srbench.models import third_party as foreign
from srbench.models.precomputed import ResultFolder
from srbench.plugins import PluginError
from srbench.plugins.code_digest import package_digest
from srbench.plugins.registry import Plugin, call, find_plugin, registered, source_digest
from srbench.system.file_names import unknown
from srbench.weights.files import WeightsError, load_metadata, sha256_file, weights_in
from srbench.weights.metadata import read_metadata
from srbench.weights.table import cached_path, released_weights

SCALES = (2, 3, 4, 8)
"""Those that the field uses: what a registered model is asked for when it is described."""
Model = SRModel | StochasticSRModel | PrecomputedResults

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_STRENGTH = re.compile(r"([^:/@]+)@([^:/@]+)")


def _consistent(model: SRModel | StochasticSRModel) -> SRModel | StochasticSRModel:
    """Outputs projected onto the images that downscale to LR: see ``srbench.images.lr_projection``."""
    return ConsistentSamples(model) if isinstance(model, StochasticSRModel) else Consistent(model)


TRANSFORMS: dict[str, Callable[[SRModel | StochasticSRModel], SRModel | StochasticSRModel]] = {
    "consistent": _consistent
}
"""What can be done to a model's outputs, by the word after ``+``."""


@dataclass(frozen=True)
class ModelSpec:
    """The name of a model, taken apart."""

    text: str
    """As it was typed."""
    label: str
    """Empty where none was given."""
    name: str
    """Registered name, file.py:Name, package.module:Name, a file that is a network, or a folder of results."""
    weights: str
    """File, folder or name of weights; empty for those of the model itself."""
    strength: float | None
    """Share of the weights in an interpolated network."""
    transforms: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Raises PluginError for a label or a strength that cannot be one."""
        label, named, rest = text.partition("=")
        if not named:
            label, rest = "", text
        elif not _LABEL.fullmatch(label):
            raise PluginError(f"label {label!r} in {text!r}: use letters, digits and . _ + - only")
        transforms: list[str] = []
        while (before := rest.rpartition("+"))[2] in TRANSFORMS and before[1]:
            rest = before[0]
            transforms.insert(0, before[2])
        if _is_network(rest):
            return cls(text, label, rest, "", None, tuple(transforms))
        name, colon, weights = rest.partition(":")
        strength = None
        if found := _STRENGTH.fullmatch(name):
            name, strength = found[1], _strength(found[2], text)
        if name not in registered("models"):
            name, colon, weights = rest, "", ""
            if strength is not None:
                raise PluginError(unknown("model", found[1] if found else name, registered("models")))
        if colon and not weights:
            raise PluginError(f"{text}: no weights file after the colon; write {name} or {name}:FILE")
        return cls(text, label, name, weights, strength, tuple(transforms))

    @property
    def is_folder(self) -> bool:
        """Does it name a folder of results made elsewhere?"""
        return self.name not in registered("models") and Path(self.name).is_dir()

    @property
    def is_network(self) -> bool:
        """Does it name a file that is a network by itself?"""
        return _is_network(self.name)


def _is_network(text: str) -> bool:
    """A colon parts a registered model from its weights, unless a file is named so."""
    path = Path(text)
    return path.suffix.lower() in foreign.ENDINGS and (":" not in text or path.is_file()) and not path.is_dir()


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run."""

    label: str
    """Its name in the table and in file names."""
    spec: str
    """What the user typed."""
    model: Model
    digest: str
    """sha256 of what determines its outputs: its code, that of the harness around it, and its weights."""
    projected: bool
    """Are its outputs projected onto the images that downscale to LR?"""
    weights: WeightsInfo | None
    given: bool = False
    """Is it an object of this process, which cannot be loaded by ``spec``?"""


def load_model(text: str, scale: int, device: str) -> LoadedModel:
    """Make the model that ``text`` names, on a device and ready to run.

    Raises PluginError where the name stands for nothing or cannot be loaded, and whatever SRBenchError the
    model itself raises (weights that are damaged or of another scale).
    """
    spec = ModelSpec.parse(text)
    if spec.is_folder:
        return _results(spec, scale)
    if spec.is_network:
        return _network(spec, scale, device)
    if "/" in spec.name and ":" not in spec.name:
        raise PluginError(f"{spec.name}: no such folder of results; check the path in {text!r}")
    plugin = find_plugin("models", spec.name)
    weights = _weights_file(spec) if spec.weights else None
    model = _made(plugin, spec, weights, scale)
    file = sha256_file(weights) if weights else ""
    code = f"{plugin.digest} {file} @{spec.strength}"
    return _ready(spec.label or _label(spec, plugin, weights), text, model, code, scale, device, spec.transforms)


def scale_of(text: str) -> int | None:
    """The scale that the model a user typed is made for, where its weights or its class say one; else None.

    Raises what ``load_model`` raises where the name stands for nothing.
    """
    spec = ModelSpec.parse(text)
    if spec.is_folder:
        return None
    if spec.is_network:
        return foreign.load_file(Path(spec.name)).scale
    if not spec.weights:
        scale = getattr(find_plugin("models", spec.name).factory, "scale", None)
        return scale if type(scale) is int else None
    path = _weights_file(spec)
    return read_metadata(load_metadata(path), path).scale if path.suffix == ".safetensors" else None


def wrap_model(thing: object, scale: int, device: str, label: str | None = None) -> LoadedModel:
    """A model that is an object of this process: anything callable, or with ``sample`` or ``read``.

    Its code counts where it comes from a file, with the parameters of an ``nn.Module`` and plain attributes (numbers,
    texts); an object without such code, or that holds anything else, is taken to be another one in every process, so
    that its results are never mistaken for those of a changed one.
    Raises PluginError for what is no model.
    """
    if not (callable(thing) or isinstance(thing, StochasticSRModel | PrecomputedResults)):
        raise PluginError(f"{thing!r} is no model; give a name, a callable, or an object with a method sample")
    if isinstance(thing, type):
        raise PluginError(f"{thing.__qualname__} is a class; give an object of it: {thing.__qualname__}()")
    made_by = thing if hasattr(thing, "__qualname__") else type(thing)
    name = re.sub("[^A-Za-z0-9._+-]", "", getattr(made_by, "__qualname__", "").rpartition(".")[2]) or "model"
    code, held = source_digest(thing), _held(thing)
    code = _identity(thing) if code is None or held is None else f"{code} {held}"
    model: Any = thing if getattr(thing, "scale", None) == scale else _Scaled(thing, scale)
    text = f"python {getattr(made_by, '__module__', '')}.{name}"
    return replace(_ready(label or name, text, model, code, scale, device, ()), given=True)


def ready_models(name: str) -> dict[int, LoadedModel]:
    """A registered model by scale, for every one of SCALES at which it runs without a weights file.

    Raises the SRBenchError of the largest scale where there is none.
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


_PROCESS = uuid4().hex
"""Tells this process from others, whatever random seed it was given."""
_NUMBERS: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_NEXT = count()


_PLAIN = (int, float, str, bytes, Path, torch.dtype, torch.Size, type(None))
_OF_TORCH = frozenset(vars(nn.Module()))


def _held(thing: object) -> str | None:
    """What an object holds besides its code and parameters, as text; None where that cannot be told."""
    if callable(thing) and hasattr(thing, "__code__"):  # a function
        cells = [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
        return _plain([cells, getattr(thing, "__defaults__", None), getattr(thing, "__kwdefaults__", None)])
    if isinstance(thing, nn.Module):
        return _plain(
            [[name, {key: value for key, value in vars(one).items() if key not in _OF_TORCH}]
             for name, one in thing.named_modules()]
        )  # fmt: skip
    return _plain(vars(thing)) if hasattr(thing, "__dict__") else None


def _plain(value: object) -> str | None:
    if isinstance(value, _PLAIN):
        return repr(value)
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict):
        value = [[key, one] for key, one in value.items()]
    if not isinstance(value, list | tuple):
        return None
    parts = [_plain(one) for one in value]
    return None if None in parts else f"[{', '.join(map(str, parts))}]"


def _identity(thing: Any) -> str:  # noqa: ANN401 - any object
    """Text that no other object has, here or in another process; an address would, once its object is gone."""
    try:
        number = _NUMBERS[thing] if thing in _NUMBERS else _NUMBERS.setdefault(thing, next(_NEXT))
    except TypeError:  # neither hashable nor weakly referenced
        number = next(_NEXT)
    return f"object {number} of {_PROCESS}"


class _Scaled:
    """A callable that does not say its scale, taken at its word: its outputs are checked."""

    def __init__(self, function: Any, scale: int) -> None:  # noqa: ANN401 - any callable
        if getattr(function, "scale", scale) != scale:
            raise PluginError(f"{function!r} has scale {function.scale}, not {scale}; give the scale it was made for")
        self.scale, self.function = scale, function

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.function(lr)
        return output


def _ready(
    label: str,
    text: str,
    model: Any,  # noqa: ANN401 - of any kind
    code: str,
    scale: int,
    device: str,
    transforms: tuple[str, ...],
) -> LoadedModel:
    if getattr(model, "scale", None) != scale:
        made_for = getattr(model, "scale", "no")
        raise PluginError(f"{text} has scale {made_for}, not {scale}; its attribute 'scale' must be --scale")
    weights = model.weights if isinstance(model, Weighted) and isinstance(model.weights, WeightsInfo) else None
    projected = bool(getattr(model, "projected", False)) or "consistent" in transforms
    network = model.function if isinstance(model, _Scaled) else model
    numbers = _parameters_sha256(network) if isinstance(network, nn.Module) else "no parameters"
    if isinstance(network, nn.Module):
        network.to(device).eval()
    for name in transforms:
        model = TRANSFORMS[name](model)
    facts = [code, package_digest("srbench.models.inference"), weights.sha256 if weights else "", numbers, *transforms]
    if transforms:
        facts.append(package_digest("srbench.images.lr_projection"))
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return LoadedModel(label, text, model, digest, projected, weights)


def _results(spec: ModelSpec, scale: int) -> LoadedModel:
    if not spec.label:
        raise PluginError(f"{spec.text}: a folder of results needs a label; write NAME={spec.text}")
    if spec.transforms:
        raise PluginError(f"{spec.text}: a folder of results takes no +{spec.transforms[0]}; leave it out")
    digest = hashlib.sha256(f"results x{scale} {package_digest('srbench.models.precomputed')}".encode()).hexdigest()
    return LoadedModel(spec.label, spec.text, ResultFolder(Path(spec.name), scale), digest, False, None)


def _network(spec: ModelSpec, scale: int, device: str) -> LoadedModel:
    path = Path(spec.name)
    model = foreign.load_file(path)
    if model.scale != scale:
        raise PluginError(f"{path}: made for scale {model.scale}, not {scale}; use --scale {model.scale}")
    label = spec.label or re.sub("[^A-Za-z0-9._+-]", "-", path.stem).lstrip("._+-") or "network"
    code = f"{package_digest('srbench.models.third_party')} {model.weights.sha256}"
    return _ready("+".join([label, *spec.transforms]) if not spec.label else label,
                  spec.text, model, code, scale, device, spec.transforms)  # fmt: skip


def _parameters_sha256(network: nn.Module) -> str:
    """Of names and bytes of all parameters and buffers."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        if isinstance(value, torch.Tensor):
            found.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _label(spec: ModelSpec, plugin: Plugin, weights: Path | None) -> str:
    label = plugin.name
    if weights is not None:
        named = weights.stem if weights == Path(spec.weights) else Path(spec.weights).resolve().name
        named = re.sub("[^A-Za-z0-9._+-]", "-", named)
        label = named if named.startswith(f"{label}-") else f"{label}-{named}"
    if spec.strength is not None:
        label += f"-{spec.strength:g}"
    return "+".join([label, *spec.transforms])


def _strength(share: str, text: str) -> float:
    try:
        strength = float(share)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise PluginError(f"{text}: {share} is no share of the weights; write a number from 0 to 1, as in esrgan@0.7")
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
    return call(spec.text, plugin.factory, **arguments)
