"""Names of models; torch is not imported. A model is named by

    srflow                      a registered model
    srflow:FILE                 the same with the weights of a file or an official checkpoint
    srflow:RUN                  the same with the weights of a training, by its folder; before its end, those of the last
                                checkpoint
    srflow:NAME                 the same with fetched weights, by their name in ``srbench list weights``
    esrgan@0.7                  0.7 of its weights and 0.3 of the weights that their training started from (network
                                interpolation); also before a colon: ``esrgan@0.7:FILE``
    package.module:Name         a class or function that makes a model
    path/to/file.py:Name        the same in a file
    path/to/file.py:Name:FILE   the same with the weights of a checkpoint; package.module:Name:FILE too
    path/to/4x-any.pth          a network in a file: weights of an architecture that spandrel knows, TorchScript or ONNX
                                (``third_party``)
    label=FOLDER                results made elsewhere, paired by name
    label=MODEL                 any of these models under another label
    MODEL+consistent            any of these but a folder, with outputs projected onto the images that downscale to LR

A registered name comes before a folder of that name (write ``./srflow`` for the folder).
A class or function is called with ``scale=`` if it takes that, and with ``weights=`` if weights are named and it takes
them; otherwise they are loaded into the network that it makes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from srbench.plugins import PluginError
from srbench.plugins.registry import registered
from srbench.weights.files import WeightsError, weights_in
from srbench.weights.table import cached_path, released_weights

CONSISTENT = "+consistent"
NETWORKS = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx")
"""Endings of files that are models by themselves."""
_CODE_AND_WEIGHTS = re.compile(r"(.+?\.py:\w+|[\w.]+:\w+):(.*)")


@dataclass(frozen=True)
class ModelSpec:
    """The parts of a model's name."""

    text: str
    typed_label: str
    """The label before ``=``; empty if there is none."""
    name: str
    """Registered name, file.py:Name, package.module:Name, a file that is a network, or a folder of results."""
    weights: str
    """File, folder or name of weights; empty for the model's own."""
    strength: float | None
    """Share of the weights in network interpolation; None without interpolation."""
    consistent: bool
    """True for outputs projected onto the images that downscale to LR."""

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Raises PluginError for an invalid label or strength, a folder without a label, or a colon without weights."""
        label, equals, rest = text.partition("=")
        if not equals:
            label, rest = "", text
        elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", label):
            raise PluginError(f"label {label!r} in {text!r}: use letters, digits and . _ + - only")
        model = rest.removesuffix(CONSISTENT) or rest
        consistent = model != rest
        before, colon, weights = model.partition(":")
        name, at, share = before.partition("@")
        if name in registered("models") and not is_network(model):
            if colon and not weights:
                raise PluginError(f"{text}: no weights file after the colon; write {name} or {name}:FILE")
            return cls(text, label, name, weights, _strength(share, text) if at else None, consistent)
        spec = cls(text, label, model, "", None, consistent)
        if spec.is_folder and not label:
            raise PluginError(f"{text}: a folder of results needs a label; write NAME={text}")
        if spec.is_folder and consistent:
            raise PluginError(f"{text}: a folder of results takes no {CONSISTENT}; leave it out")
        code = _CODE_AND_WEIGHTS.fullmatch(model)
        if code is None or spec.is_folder or spec.is_network:
            return spec
        if not code[2]:
            raise PluginError(f"{text}: no weights file after the colon; write {code[1]} or {code[1]}:FILE")
        return replace(spec, name=code[1], weights=code[2])

    @property
    def is_folder(self) -> bool:
        """True for a folder of results made elsewhere."""
        return self.name not in registered("models") and Path(self.name).is_dir()

    @property
    def is_network(self) -> bool:
        """True for a file that is a network by itself."""
        return is_network(self.name)

    @property
    def label(self) -> str:
        """Label in tables and file names: as typed, or made from name, weights and options."""
        if self.typed_label:
            return self.typed_label
        label = self.name.rpartition(":")[2]
        if self.is_network:
            label = as_label(Path(self.name).stem, "-").lstrip("._+-") or "network"
        if self.weights:
            path = Path(self.weights)
            weights = as_label(path.stem if path.is_file() else path.resolve().name, "-")
            label = weights if weights.startswith(f"{label}-") else f"{label}-{weights}"
        if self.strength is not None:
            label += f"-{self.strength:g}"
        return label + CONSISTENT * self.consistent

    def weights_file(self) -> Path | None:
        """The weights file after the colon; None for the model's own weights. Raises WeightsError if it is missing."""
        if not self.weights:
            return None
        path = weights_in(Path(self.weights), unfinished=True)
        if path.is_file():
            return path
        if self.weights not in released_weights():
            raise WeightsError(f"{self.weights}: no such weights file; check the path in {self.text!r}")
        if not cached_path(self.weights).is_file():
            raise WeightsError(f"{self.weights}: not fetched yet; run srbench weights fetch {self.weights}")
        return cached_path(self.weights)


def with_absolute_paths(text: str) -> str:
    """The name of the same model, under the same label, in any folder; the text itself for an object of any label."""
    try:
        spec = ModelSpec.parse(text)
    except PluginError:
        return text
    code, colon, name = spec.name.rpartition(":")
    located = f"{_absolute(code)}:{name}" if colon and not spec.is_folder else _absolute(spec.name)
    if spec.name in registered("models"):
        located = spec.name if spec.strength is None else f"{spec.name}@{spec.strength!r}"
    weights = f":{_absolute(spec.weights)}" if spec.weights else ""
    label = f"{spec.typed_label}=" if spec.typed_label else ""
    return f"{label}{located}{weights}{CONSISTENT * spec.consistent}"


def _absolute(path: str) -> str:
    return str(Path(path).resolve()) if Path(path).exists() else path


def is_network(text: str) -> bool:
    """True for a file that is a network by itself; a colon precedes weights, unless a file has such a name."""
    path = Path(text)
    return path.suffix.lower() in NETWORKS and (":" not in text or path.is_file()) and not path.is_dir()


def as_label(text: str, replacement: str) -> str:
    """The text with a replacement for every character that no label may have."""
    return re.sub("[^A-Za-z0-9._+-]", replacement, text)


def _strength(share: str, text: str) -> float:
    try:
        strength = float(share)
    except ValueError:
        strength = -1
    if not 0 <= strength <= 1:
        raise PluginError(f"{text}: {share} is not a share of the weights; write one from 0 to 1, as in esrgan@0.7")
    return strength
