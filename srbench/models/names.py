"""Names of models, and their labels and digests, without importing torch. A name is one of

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
    MODEL+bf16                  a network in bfloat16 (``half_precision``)
    rectified-flow+8steps       another number of steps per sample; in a name, options have the order
                                ``+8steps+bf16+consistent``

``srbench run`` and ``srbench.evaluate`` take a pattern as the path of a file, ``net.py:Net:net_g_*.pth``, for all
checkpoints of a training (``srbench.benchmark.checkpoints``).

A registered name takes precedence over a folder of that name (write ``./srflow`` for the folder).
A class or function is called with ``scale=`` if it has that parameter, and has to have a parameter for a strength
(``strength=``) and for steps (``steps=``). Named weights are passed as ``weights=`` if it
has that parameter, and are otherwise loaded into the network that it creates.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from srbench.files.hashes import sha256_file, sha256_texts
from srbench.models import Checkpoint, ModelError
from srbench.plugins import PluginError
from srbench.plugins.code_digest import package_digest
from srbench.plugins.registry import find_plugin, is_ours, registered
from srbench.weights.files import WeightsError, packaged_weights, weights_in
from srbench.weights.metadata import stated_metadata
from srbench.weights.table import cached_path, released_weights

CONSISTENT = "+consistent"
BFLOAT16 = "+bf16"
NETWORKS = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".param")
"""Extensions of files that are complete models."""
_OPTIONS = re.compile(
    r"(?P<model>.+?)(?:\+(?P<steps>[1-9]\d*)steps)?(?P<bfloat16>\+bf16)?(?P<consistent>\+consistent)?", re.DOTALL
)
_CODE_AND_WEIGHTS = re.compile(r"(.+?\.py:\w+|[\w.]+:\w+)(:)(.*)")


@dataclass(frozen=True)
class ModelSpec:
    """A parsed name of a model."""

    kind: Literal["registered", "code", "network", "folder"]
    """A registered model; a class or function in a file or module; a file with a complete network; results made
    elsewhere. Decided once, when the name is parsed."""
    text: str
    typed_label: str
    """Label before ``=``; empty without a label."""
    name: str
    """Registered name, file.py:Name, package.module:Name, a file that is a network, or a folder of results."""
    consistent: bool
    """True if outputs are projected onto the images that downscale to LR."""
    bfloat16: bool
    """True if the network computes in bfloat16."""
    steps: int | None = None
    """Steps per sample, for models with such a number; None for the model's own number."""
    weights: str = ""
    """File, folder or name of weights; empty for the model's default weights."""
    strength: float | None = None
    """Weight of the model's weights in network interpolation, 0 to 1; None without interpolation."""
    checkpoint: Checkpoint | None = None
    """Its place among the checkpoints that a pattern stands for; None for a name of its own."""

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Parse a name.

        Raises PluginError for an invalid label or strength, an unknown option, a folder without a label, or a colon
        without weights.
        """
        label, rest = split_label(text)
        pattern = _options(text)[0]
        if label is None or os.path.lexists(pattern) or glob.glob(pattern):  # noqa: PTH207 - Path.glob refuses absolute patterns
            label, rest = "", text
        else:
            require_label(label, text)
        model, options = _options(rest)
        path = Path(model)
        if path.suffix.lower() in NETWORKS and (":" not in model or path.is_file()) and not path.is_dir():
            return cls("network", text, label, model, *options)
        before, colon, weights = model.partition(":")
        name, at, share = before.partition("@")
        if name in registered("models"):
            spec = cls("registered", text, label, name, *options, weights, _strength(share, text) if at else None)
        elif path.is_dir():
            spec = cls("folder", text, label, model, *options)
            if not label:
                raise PluginError(f"{text}: a folder of results needs a label; write NAME={text}")
            if spec.suffix:
                raise PluginError(f"{text}: {spec.suffix} does not apply to a folder of results; omit it")
            return spec
        else:
            base, plus, option = name.partition("+")
            if plus and base in registered("models") and not path.exists():
                raise PluginError(
                    f"{text}: no option +{option}; at the end of a name, write one or more of +8steps, {BFLOAT16} and "
                    f"{CONSISTENT}, in this order"
                )
            code = _CODE_AND_WEIGHTS.fullmatch(model)
            name, colon, weights = code.groups() if code else (model, "", "")
            spec = cls("code", text, label, name, *options, weights)
        if colon and not weights:
            raise PluginError(f"{text}: no weights file after the colon; write {name} or {name}:FILE")
        return spec

    @property
    def suffix(self) -> str:
        """Options at the end of the name, such as ``+bf16+consistent``."""
        steps = "" if self.steps is None else f"+{self.steps}steps"
        return steps + BFLOAT16 * self.bfloat16 + CONSISTENT * self.consistent

    @property
    def label(self) -> str:
        """Label in tables and file names: the typed label, or one derived from name, weights and options."""
        if self.typed_label:
            return self.typed_label
        label = self.name.rpartition(":")[2]
        if self.kind == "network":
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

    def digest(self, scale: int) -> str:
        """Digest of the model without loading it, and without torch; loading it gives the same digest.

        Empty if the digest is known only after loading: for third-party code, and for a weights file that is
        interpolated with other weights. Raises WeightsError for missing weights, and ModelError if an ONNX file needs a
        missing package.
        """
        if self.kind == "folder":  # every result has its own digest
            return sha256_texts("results", str(scale), package_digest("srbench.models.precomputed"))
        if self.kind == "network":
            path = Path(self.name)
            files = [path, *external_data(path)] if path.is_file() else []
            return self.digest_with(scale, package_digest("srbench.models.third_party"), files)
        if self.kind == "code" or not is_ours("models", self.name) or (self.weights and self.strength is not None):
            return ""
        point = registered("models")[self.name]
        if weights := self.weights_file():
            files = [weights]
        else:  # the packaged weights; if they are interpolated, those of all models of the package
            packaged = packaged_weights(point.module.partition(".")[0]).items()
            models = {model for (model, _), _ in packaged} if self.strength is not None else {self.name}
            files = [file for (model, size), file in packaged if size == scale and model in models]
        return self.digest_with(scale, f"{package_digest(point.module)} {point.attr}", files)

    def digest_with(self, scale: int, code: str, files: Sequence[Path]) -> str:
        """Digest of all that determines the outputs: the model's code, the code that runs it, options and files."""
        if self.bfloat16:
            code = f"{code} {package_digest('srbench.models.half_precision')}"
        harness = package_digest("srbench.models.inference")
        if self.consistent:
            harness = f"{harness} {package_digest('srbench.models.wrapped')}"
        steps = [] if self.steps is None else [f"{self.steps} steps"]
        return sha256_texts(code, harness, str(scale), str(self.strength), *steps, *map(sha256_file, files))

    def scale(self) -> int | None:
        """The scale that the weights or the class of the model state; None if they state none.

        Raises the errors of ``load_model`` for an unknown name.
        """
        if self.kind == "folder":
            return None
        if self.kind == "network":
            from srbench.models.third_party import load_file  # imports torch

            return load_file(Path(self.name)).scale
        weights = self.weights_file()
        if weights is not None and self.kind == "registered":
            metadata = stated_metadata(weights)
            return metadata.scale if metadata else None
        scale = getattr(find_plugin("models", self.name).factory, "scale", None)
        return scale if type(scale) is int else None


def _options(text: str) -> tuple[str, tuple[bool, bool, int | None]]:
    """Split the options off the end of a name: the model; ``consistent``, ``bfloat16`` and ``steps`` of a ModelSpec."""
    match = _OPTIONS.fullmatch(text)
    if match is None:
        return text, (False, False, None)
    steps = match["steps"]
    return match["model"], (bool(match["consistent"]), bool(match["bfloat16"]), int(steps) if steps else None)


def split_label(text: str) -> tuple[str | None, str]:
    """Split ``label=NAME`` into label and name. A ``=`` after a colon or a slash belongs to a path:
    the label is None.
    """
    label, equals, rest = text.partition("=")
    return (label, rest) if equals and not re.search("[:/]", label) else (None, text)


def require_label(label: str, text: str) -> None:
    """Raise PluginError unless ``label``, which is used in ``text``, can be a label."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", label):
        raise PluginError(f"label {label!r} in {text!r}: use letters, digits and . _ + - only")


def with_absolute_paths(text: str) -> str:
    """The name with absolute paths, for the same model under the same label in any folder;
    text that is no name as it is.
    """
    try:
        spec = ModelSpec.parse(text)
    except PluginError:
        return text
    code, colon, name = spec.name.rpartition(":")
    located = f"{absolute(code)}:{name}" if colon and spec.kind == "code" else absolute(spec.name)
    if spec.kind == "registered":
        located = spec.name if spec.strength is None else f"{spec.name}@{spec.strength!r}"
    weights = f":{absolute(spec.weights)}" if spec.weights else ""
    label = f"{spec.typed_label}=" if spec.typed_label else ""
    return f"{label}{located}{weights}{spec.suffix}"


def absolute(path: str) -> str:
    """Return an existing path as an absolute path, and any other text unchanged."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def is_same_but_for_paths(text: str, other: str) -> bool:
    """Return whether two names have equal labels, strengths, options and registered models. Raises PluginError."""
    one, two = (
        (spec.typed_label, spec.name if spec.kind == "registered" else "", spec.strength, spec.suffix)
        for spec in map(ModelSpec.parse, (text, other))
    )
    return one == two


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


def external_data(path: Path) -> list[Path]:
    """Weights files beside a graph: those that an ONNX graph names by relative paths, or the .bin of an ncnn graph.

    Empty for any other or damaged file. Raises ModelError if the package onnx is missing.
    """
    if path.suffix.lower() == ".param":
        return [weights] if (weights := path.with_suffix(".bin")).is_file() else []
    if path.suffix.lower() != ".onnx":
        return []
    try:
        import onnx
    except ImportError:
        raise ModelError(f"{path}: needs onnx; install it: pip install 'sr-bench[onnx]'") from None
    try:
        graph = onnx.load(path, load_external_data=False)
    except Exception:  # a damaged file, whose fault is named when the model is loaded
        return []
    # Private: nothing public lists the tensors; those in branches, functions and constants may lie elsewhere, too.
    tensors = onnx.external_data_helper._get_all_tensors(graph)
    names = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return sorted(file for name in names if (file := path.parent / name).is_file())
