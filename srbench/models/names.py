"""Names of models, parsed without importing torch. A name is one of

    srflow                      a registered model
    srflow:FILE                 the model with a weights file or an official checkpoint
    srflow:RUN                  the model with the weights of a training folder; while it is unfinished, the weights of
                                its last checkpoint
    srflow:NAME                 the model with fetched weights, by their name in ``srbench list weights``
    esrgan@0.7                  network interpolation: 0.7 of its weights and 0.3 of those of RRDB; also before a
                                colon: ``esrgan@0.7:FILE``
    package.module:Name         a class or function that creates a model
    path/to/file.py:Name        a class or function in a file
    path/to/file.py:Name:FILE   either of the two with the weights of a checkpoint
    path/to/4x-any.pth          a network in a file: weights of an architecture that spandrel knows, TorchScript, ONNX
                                or ncnn (``third_party``)
    label=FOLDER                precomputed outputs, paired by name
    label=MODEL                 any of the models above under another label; in ``runs/lr=1e-3/net.pth`` is no label
    MODEL+consistent            any of the models above, with outputs projected onto the images that downscale to LR
    MODEL+bf16                  a network in bfloat16 (``half_precision``); also MODEL+bf16+consistent

``srbench run`` and ``srbench.evaluate`` take a pattern as the path of a file, ``net.py:Net:net_g_*.pth``, for all
checkpoints of a training (``srbench.benchmark.checkpoints``).

A registered name takes precedence over a folder of that name (write ``./srflow`` for the folder).
A class or function is called with ``scale=`` if it has that parameter. Named weights are passed as ``weights=`` if it
has that parameter, and are otherwise loaded into the network that it creates.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from srbench.plugins import PluginError
from srbench.plugins.registry import registered
from srbench.weights.files import WeightsError, weights_in
from srbench.weights.table import cached_path, released_weights

CONSISTENT = "+consistent"
BFLOAT16 = "+bf16"
NETWORKS = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".param")
"""Extensions of files that are complete models."""
_CODE_AND_WEIGHTS = re.compile(r"(.+?\.py:\w+|[\w.]+:\w+):(.*)")


@dataclass(frozen=True)
class ModelSpec:
    """A parsed name of a model."""

    text: str
    typed_label: str
    """Label before ``=``; empty without a label."""
    name: str
    """Registered name, file.py:Name, package.module:Name, a file that is a network, or a folder of results."""
    weights: str
    """File, folder or name of weights; empty for the model's default weights."""
    strength: float | None
    """Weight of the model's weights in network interpolation, 0 to 1; None without interpolation."""
    consistent: bool
    """True if outputs are projected onto the images that downscale to LR."""
    bfloat16: bool
    """True if the network computes in bfloat16."""

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Parse a name.

        Raises PluginError for an invalid label or strength, an unknown option, a folder without a label, or a colon
        without weights.
        """
        label, rest = split_label(text)
        if label is None or is_path(text):
            label, rest = "", text
        else:
            require_label(label, text)
        exact = rest.removesuffix(CONSISTENT) or rest
        model = exact.removesuffix(BFLOAT16) or exact
        consistent, bfloat16 = exact != rest, model != exact
        before, colon, weights = model.partition(":")
        name, at, share = before.partition("@")
        base, plus, option = name.partition("+")
        if plus and base in registered("models") and not is_network(model) and not Path(model).exists():
            raise PluginError(
                f"{text}: no option +{option}; at the end of a name, write {BFLOAT16}, {CONSISTENT} or "
                f"{BFLOAT16}{CONSISTENT}"
            )
        if name in registered("models") and not is_network(model):
            if colon and not weights:
                raise PluginError(f"{text}: no weights file after the colon; write {name} or {name}:FILE")
            return cls(text, label, name, weights, _strength(share, text) if at else None, consistent, bfloat16)
        spec = cls(text, label, model, "", None, consistent, bfloat16)
        if spec.is_folder and not label:
            raise PluginError(f"{text}: a folder of results needs a label; write NAME={text}")
        if spec.is_folder and spec.suffix:
            raise PluginError(f"{text}: {spec.suffix} does not apply to a folder of results; omit it")
        code = _CODE_AND_WEIGHTS.fullmatch(model)
        if code is None or spec.is_folder or spec.is_network:
            return spec
        if not code[2]:
            raise PluginError(f"{text}: no weights file after the colon; write {code[1]} or {code[1]}:FILE")
        return replace(spec, name=code[1], weights=code[2])

    @property
    def is_folder(self) -> bool:
        """True if the name is a folder of precomputed results."""
        return self.name not in registered("models") and Path(self.name).is_dir()

    @property
    def is_network(self) -> bool:
        """True if the name is a file with a complete network."""
        return is_network(self.name)

    @property
    def suffix(self) -> str:
        """Options at the end of the name, such as ``+bf16+consistent``."""
        return BFLOAT16 * self.bfloat16 + CONSISTENT * self.consistent

    @property
    def label(self) -> str:
        """Label in tables and file names: the typed label, or one derived from name, weights and options."""
        if self.typed_label:
            return self.typed_label
        label = self.name.rpartition(":")[2]
        if self.is_network:
            label = as_label(Path(self.name).stem, "-").lstrip("._+-") or "network"
        if self.weights:
            path = Path(self.weights)
            weights = as_label(path.stem if path.is_file() else path.resolve().name, "-")
            label = weights if weights == label or weights.startswith(f"{label}-") else f"{label}-{weights}"
        if self.strength is not None:
            label += f"-{self.strength:g}"
        return label + self.suffix

    def weights_file(self) -> Path | None:
        """The weights file after the colon; None for the default weights. Raises WeightsError if it is missing."""
        if not self.weights:
            return None
        path = weights_in(Path(self.weights), unfinished=True)
        if path.is_file():
            return path
        if self.weights not in released_weights():
            raise WeightsError(f"{self.weights}: no such weights file; check the path in {self.text!r}")
        if not cached_path(self.weights).is_file():
            raise WeightsError(f"{self.weights}: not downloaded yet; run srbench weights fetch {self.weights}")
        return cached_path(self.weights)


def split_label(text: str) -> tuple[str | None, str]:
    """Split ``label=NAME`` into label and name. A ``=`` after a colon or a slash belongs to a path: the label is None."""
    label, equals, rest = text.partition("=")
    return (label, rest) if equals and not re.search("[:/]", label) else (None, text)


def require_label(label: str, text: str) -> None:
    """Raise PluginError unless ``label``, which is used in ``text``, can be a label."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", label):
        raise PluginError(f"label {label!r} in {text!r}: use letters, digits and . _ + - only")


def is_path(text: str) -> bool:
    """Return whether a name, without its options, is an existing path or a pattern of existing paths."""
    path = text.removesuffix(CONSISTENT).removesuffix(BFLOAT16)
    return os.path.lexists(path) or bool(glob.glob(path))  # noqa: PTH207 - Path.glob refuses absolute patterns


def with_absolute_paths(text: str) -> str:
    """The name with absolute paths, for the same model under the same label in any folder; text that is no name as it is."""
    try:
        spec = ModelSpec.parse(text)
    except PluginError:
        return text
    code, colon, name = spec.name.rpartition(":")
    located = f"{absolute(code)}:{name}" if colon and not spec.is_folder else absolute(spec.name)
    if spec.name in registered("models"):
        located = spec.name if spec.strength is None else f"{spec.name}@{spec.strength!r}"
    weights = f":{absolute(spec.weights)}" if spec.weights else ""
    label = f"{spec.typed_label}=" if spec.typed_label else ""
    return f"{label}{located}{weights}{spec.suffix}"


def absolute(path: str) -> str:
    """Return an existing path as an absolute path, and any other text unchanged."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def is_same_but_for_paths(text: str, other: str) -> bool:
    """Return whether two names have equal labels, strengths, options and registered models. Raises PluginError."""
    models = registered("models")
    identities = [
        (spec.typed_label, spec.name if spec.name in models else "", spec.strength, spec.suffix)
        for spec in map(ModelSpec.parse, (text, other))
    ]
    return identities[0] == identities[1]


def has_paths_of(located: str, typed: str) -> bool:
    """Return whether the paths in a name may be those of ``located``, in an unknown folder. Raises PluginError.

    A link that is not here, and whose target has another name, may not.
    """
    recorded, requested = ModelSpec.parse(located), ModelSpec.parse(typed)
    return _may_be(recorded.name, requested.name) and _may_be(recorded.weights, requested.weights)


def _may_be(located: str, typed: str) -> bool:
    if located in (typed, absolute(typed)):
        return True
    tail = [part for part in Path(os.path.normpath(typed)).parts if part != ".."]
    return Path(located).is_absolute() and [*Path(located).parts[-len(tail) :]] == tail


def is_network(text: str) -> bool:
    """Return whether a name is a file with a complete network. A colon separates weights, unless a file has that very name."""
    path = Path(text)
    return path.suffix.lower() in NETWORKS and (":" not in text or path.is_file()) and not path.is_dir()


def as_label(text: str, replacement: str) -> str:
    """Replace every character that a label may not contain."""
    return re.sub("[^A-Za-z0-9._+-]", replacement, text)


def _strength(typed: str, text: str) -> float:
    try:
        strength = float(typed)
    except ValueError:
        strength = -1
    if not 0 <= strength <= 1:
        raise PluginError(f"{text}: the strength is {typed}; it has to be a number from 0 to 1, as in esrgan@0.7")
    return strength
