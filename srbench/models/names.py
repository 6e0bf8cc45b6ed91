"""Names of models, and digests that follow from them; torch is not imported. A name is

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

import math
import re
from dataclasses import dataclass
from pathlib import Path

from srbench.files.hashes import sha256_file
from srbench.models.onnx_files import external_data
from srbench.plugins import PluginError
from srbench.plugins.code_digest import package_digest, texts_digest
from srbench.plugins.registry import is_ours, registered
from srbench.weights.files import WeightsError, packaged_weights, weights_in
from srbench.weights.table import cached_path, released_weights
from srbench.words import unknown

CONSISTENT = "+consistent"
NETWORKS = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx")
"""Endings of files that are models by themselves."""
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
    return path.suffix.lower() in NETWORKS and (":" not in text or path.is_file()) and not path.is_dir()


def _strength(share: str, text: str) -> float:
    try:
        strength = float(share)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise PluginError(f"{text}: {share} is not a share of the weights; write one from 0 to 1, as in esrgan@0.7")
    return strength


def weights_file(spec: ModelSpec) -> Path:
    """The file that the part after the colon names. Raises WeightsError if it is missing."""
    path = weights_in(Path(spec.weights))
    if path.is_file():
        return path
    if spec.weights not in released_weights():
        raise WeightsError(f"{spec.weights}: no such weights file; check the path in {spec.text!r}")
    if not cached_path(spec.weights).is_file():
        raise WeightsError(f"{spec.weights}: not fetched yet; run srbench weights fetch {spec.weights}")
    return cached_path(spec.weights)


def digest_by_files(text: str, scale: int) -> tuple[str, str] | None:
    """Label and digest of the model that ``text`` names, from code and files alone; torch is not imported.

    None for a model whose digest shows only once it is loaded: code of others, and weights in a file that are
    interpolated with weights from elsewhere. ``load_model`` gives all other models the same label and digest. Raises
    PluginError for an invalid name, WeightsError for missing weights.
    """
    spec = ModelSpec.parse(text)
    if spec.is_folder:
        if not spec.label:
            raise PluginError(f"{text}: a folder of results needs a label; write NAME={text}")
        if spec.consistent:
            raise PluginError(f"{text}: a folder of results takes no {CONSISTENT}; leave it out")
        # every output has a digest of its own
        return spec.label, texts_digest("results", str(scale), package_digest("srbench.models.precomputed"))
    if is_network(spec.name):
        path = Path(spec.name)
        files = [path, *external_data(path)] if path.is_file() else []
        code = package_digest("srbench.models.third_party")
    elif is_ours("models", spec.name) and spec.name in registered("models"):
        if spec.weights and spec.strength is not None:
            return None
        point = registered("models")[spec.name]
        files = [weights_file(spec)] if spec.weights else _packaged(spec, point.module.partition(".")[0], scale)
        code = f"{package_digest(point.module)} {point.attr}"
    else:
        return None
    sums = [sha256_file(file) for file in files]
    return label_of(spec), texts_digest(code, harness_digest(spec.consistent), str(scale), str(spec.strength), *sums)


def harness_digest(consistent: bool) -> str:
    """Digest of the code of this distribution that runs a model."""
    inference = package_digest("srbench.models.inference")
    return f"{inference} {package_digest('srbench.images.lr_projection')}" if consistent else inference


def _packaged(spec: ModelSpec, package: str, scale: int) -> list[Path]:
    """Packaged weights of a model; if it is interpolated, those of all models of its package."""
    return [
        file
        for (model, size), file in packaged_weights(package).items()
        if size == scale and (model == spec.name or spec.strength is not None)
    ]


def label_of(spec: ModelSpec, name: str | None = None) -> str:
    """The label of a model, in tables and file names: as typed, or made from its name, weights and options."""
    if spec.label:
        return spec.label
    if is_network(spec.name):
        label = re.sub("[^A-Za-z0-9._+-]", "-", Path(spec.name).stem).lstrip("._+-") or "network"
        return label + CONSISTENT * spec.consistent
    label = name or spec.name
    if spec.weights:
        path = weights_file(spec)
        named = path.stem if path == Path(spec.weights) else Path(spec.weights).resolve().name
        named = re.sub("[^A-Za-z0-9._+-]", "-", named)
        label = named if named.startswith(f"{label}-") else f"{label}-{named}"
    if spec.strength is not None:
        label += f"-{spec.strength:g}"
    return label + CONSISTENT * spec.consistent
